"""Hooks, the HTTP requests that foreign systems send on an event: their events in one form for all systems, their signatures."""

import base64
import contextlib
import hashlib
import hmac
import json
from dataclasses import dataclass, field

BRANCH, TAG = "branch", "tag"


@dataclass(frozen=True)
class Push:
    """A branch or a tag of a repository is at another commit; `commit` is None when it was deleted."""

    repository: str
    kind: str
    name: str
    commit: str | None
    author: str | None = None


@dataclass(frozen=True)
class BuildFinished:
    """A build has ended; `state` is "success" or "failure". `job` is as the system names it, `commit` where it is known."""

    state: str
    job: str | None = None
    repository: str | None = None
    commit: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Published:
    """A file was put into a store of artifacts; `package` and `version` where it is a Python package."""

    path: str
    sha256: str | None = None
    package: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Hook:
    """One message: `delivery` tells it from every other of its system; `event` is its kind as the system names it; `events`
    holds each Push, BuildFinished or Published it reports, none for a ping.
    """

    delivery: str
    event: str
    events: tuple = field(default_factory=tuple)


def parsed(body):
    """Return the JSON object of a hook's body; raises ValueError for anything else."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("its body is not valid JSON.") from None
    if not isinstance(payload, dict):
        raise ValueError("its body is no JSON object.")
    return payload


@contextlib.contextmanager
def reading():
    """Turn what a body lacks into the ValueError that says so."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"its body is not in the shape of its event ({error}).") from None


def ref_of(ref):
    """Return (kind, name) of a whole ref such as refs/heads/main, None for one that is neither a branch nor a tag."""
    for kind, folder in ((BRANCH, "refs/heads/"), (TAG, "refs/tags/")):
        if ref.startswith(folder):
            return kind, ref.removeprefix(folder)
    return None


def is_signed(claimed, body, secret, prefix="sha256="):
    """Say whether a header holds the hex HMAC-SHA256 of a body's bytes under a secret, after `prefix`; in constant time."""
    expected = prefix + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest((claimed or "").encode(), expected.encode())


def is_token(claimed, secret):
    """Say whether a header holds the secret itself; in constant time."""
    return hmac.compare_digest((claimed or "").encode(), secret.encode())


def is_basic(header, secret):
    """Say whether an Authorization header's Basic password is the secret (RFC 7617); in constant time."""
    kind, _, encoded = (header or "").partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode() if kind.lower() == "basic" else ""
    except ValueError:
        decoded = ""
    return is_token(decoded.partition(":")[2], secret)


def delivery_of(named, body):
    """Return what tells a message from others: the system's own id, or the digest of its bytes where it gives none."""
    return named or "sha256:" + hashlib.sha256(body).hexdigest()
