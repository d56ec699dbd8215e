"""Where the server is and who we are: a flag wins over the environment, which wins over the settings file.

The file is ``windlass/config.json`` in ``$XDG_CONFIG_HOME`` (else ``~/.config``), mode 0600::

    {"url": "https://windlass.example.org", "tokens": {"https://windlass.example.org": "…"}}

A token is kept under the address of its server and is sent to no other, so that ``--url`` with another address never
hands out a token that was not made for it.
"""

import json
import os
import pathlib
import stat
import tempfile
import urllib.parse
from dataclasses import dataclass

from windlass_cli.errors import SettingsError

DEFAULT_URL = "http://127.0.0.1:8080"
URL_VARIABLE = "WINDLASS_URL"
TOKEN_VARIABLE = "WINDLASS_TOKEN"  # noqa: S105  (a name)
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True)
class Settings:
    """What one run of the client uses; ``token`` is None when nobody is logged in at ``url``."""

    url: str
    token: str | None = None

    def __repr__(self):
        return f"Settings(url={self.url!r}, token={'…' if self.token else None})"


def file_path(environ=os.environ):
    """Return the path of the settings file."""
    home = environ.get("XDG_CONFIG_HOME")
    base = pathlib.Path(home) if home and os.path.isabs(home) else pathlib.Path.home() / ".config"
    return base / "windlass" / "config.json"


def load(url=None, token=None, environ=os.environ):
    """Return the Settings from flags (``url``, ``token``), the environment and the file, in this order.

    Raises SettingsError when the file, the address or the token cannot be used.
    """
    kept = read_file(environ)
    address = clean_url(url or environ.get(URL_VARIABLE) or kept.get("url") or DEFAULT_URL)
    secret = token or environ.get(TOKEN_VARIABLE) or kept.get("tokens", {}).get(address)
    return Settings(address, clean_token(secret) if secret else None)


def from_environment(name, environ=os.environ):
    """Return a variable of the environment, None when it is not set or empty."""
    return environ.get(name) or None


def clean_url(text):
    """Return the server's address without a trailing slash or ``/api/v1``; SettingsError when it is no http(s) URL."""
    text = text.strip()
    remedy = "Give the address as in --url https://windlass.example.org"
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"{text!r} is not the address of a server: {error}.", remedy=remedy) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{text!r} is not the address of a server.", remedy=remedy)
    if parts.username or parts.password:
        raise SettingsError(
            "The address of the server must not hold a user name or password.", remedy="Use a token: windlass login"
        )
    if parts.query or parts.fragment:
        raise SettingsError(f"{text!r} must not hold a query or a fragment.", remedy=remedy)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port_text = f":{port}" if port is not None and port != {"http": 80, "https": 443}[parts.scheme] else ""
    path = parts.path.rstrip("/").removesuffix("/api/v1").rstrip("/")
    return f"{parts.scheme}://{host}{port_text}{path}"


def clean_token(text):
    """Return the token without surrounding white space; SettingsError when it cannot be one (it goes into a header)."""
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsError(
            "That is not a token: a token is one word of plain ASCII characters.",
            remedy="Copy the whole token, without quotes or line breaks.",
        )
    return text


def is_unprotected(url):
    """Say whether a token sent to ``url`` could be read on the way (http, and not to this machine)."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in LOOPBACK


def read_file(environ=os.environ):
    """Return the settings file as a dict, empty when there is none; SettingsError when it cannot be used as it is."""
    path = file_path(environ)
    try:
        with open(path, encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            kept = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise SettingsError(
            f"The settings file {path} is not JSON: {error}.", remedy="Mend it, or remove it and run: windlass login"
        ) from None
    _check_file(path, mode, kept)
    return kept


def _check_file(path, mode, kept):
    """Refuse a settings file of the wrong shape, and one with tokens that others may read."""
    tokens = kept.get("tokens", {}) if isinstance(kept, dict) else None
    right = isinstance(tokens, dict) and all(isinstance(text, str) for text in [kept.get("url") or "", *tokens.values()])
    if not right:
        raise SettingsError(
            f"The settings file {path} does not hold what the client wrote there.",
            remedy="Remove it and run: windlass login",
        )
    if tokens and mode & 0o077:
        raise SettingsError(
            f"The settings file {path} holds a token and others may read it (mode {mode:04o}).",
            remedy=f"Run: chmod 600 {path}",
        )


def keep(settings, environ=os.environ):
    """Write address and token to the file, beside the tokens of other servers; return the file's path."""
    kept = read_file(environ)
    tokens = {**kept.get("tokens", {}), settings.url: settings.token}
    return _write_file({**kept, "url": settings.url, "tokens": tokens}, environ)


def forget(url, environ=os.environ):
    """Remove the token of the server at ``url`` from the file; return whether there was one."""
    kept = read_file(environ)
    tokens = dict(kept.get("tokens", {}))
    if url not in tokens:
        return False
    del tokens[url]
    _write_file({**kept, "tokens": tokens}, environ)
    return True


def _write_file(kept, environ):
    """Replace the file by one rename: it is never half written, and never readable by others, not even for a moment."""
    path = pathlib.Path(os.path.realpath(file_path(environ)))  # a file that is a link elsewhere stays one
    name = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".config-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        if name is not None:
            pathlib.Path(name).unlink(missing_ok=True)
        raise SettingsError(f"The settings file {path} cannot be written: {error.strerror}.") from None
    return path
