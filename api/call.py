"""One HTTP request as routes see it: who makes it, its headers, query and body. Reads no more of it than it is asked for."""

import re
from functools import cached_property

from bottle import request

from config import settings
from controllers.access import sessions
from controllers.errors import BadRequest, Forbidden, Invalid, TooLarge, Unauthenticated, UnsupportedMediaType
from utils.core import from_json
from utils.stringkit import version_key
from utils.urlkit import query_pairs
from version import CLIENT_DESIRED, CLIENT_MINIMUM, CLIENT_UPGRADE

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
BEARER = re.compile(r"Bearer +([!-~]{1,500})", re.I)
NUL = re.compile(rb"\\u0000")
JSON_TYPE = "application/json"
NEAR = ("127.0.0.1", "::1", "")  # A proxy on this machine; over a unix socket there is no address.


def cookie_name():
    """Return the session cookie's name; behind TLS the prefix makes browsers refuse one that another host planted."""
    return "__Host-windlass" if settings.web.secure_cookies else "windlass"


class Call:
    """The request being answered. Every method raises errors of controllers.errors only."""

    def __init__(self):
        self.environ = request.environ
        self.method = self.environ["REQUEST_METHOD"].upper()

    @cached_property
    def identity(self):
        """(Actor, CSRF token) of the caller; (None, None) without credentials. A bearer token goes before a cookie."""
        header = self.environ.get("HTTP_AUTHORIZATION")
        if header is not None:
            bearer = BEARER.fullmatch(header.strip())
            if not bearer:
                raise Unauthenticated("The header Authorization must be: Bearer <token>.", code="authorization-malformed")
            return sessions.by_token(bearer[1]), None
        cookie = self.session_secret()
        if not cookie:
            return None, None
        actor, csrf_token = sessions.by_cookie(cookie)
        if self.method not in SAFE_METHODS:
            sessions.require_csrf(self.environ.get("HTTP_X_CSRF_TOKEN"), csrf_token)
        return actor, csrf_token

    def session_secret(self):
        """Return what the session cookie holds, or None."""
        return request.get_cookie(cookie_name())

    def actor(self, optional=False, administrator=False):
        """Return who is asking, None if `optional` and nobody says; `administrator` refuses all others."""
        actor, _ = self.identity
        if actor is None and not optional:
            raise Unauthenticated(
                "Send a token in the header Authorization: Bearer <token>, or log in with POST /api/v1/session."
            )
        if administrator and not (actor and actor.is_administrator):
            raise Forbidden("Only an administrator may do this.", code="not-administrator")
        return actor

    def query(self):
        """Return the query parameters as a dict; raises Invalid for one that came twice."""
        try:
            pairs = query_pairs(self.environ.get("QUERY_STRING", ""))
        except ValueError as error:
            raise BadRequest(f"The query string cannot be read: {error}.", code="malformed-query") from None
        parameters = {}
        for name, value in pairs:
            if name in parameters:
                raise Invalid([(name, "was given more than once")])
            if "\0" in value:
                raise Invalid([(name, "must not contain the character NUL")])
            parameters[name] = value
        return parameters

    @cached_property
    def raw_body(self):
        """The request's body; raises TooLarge beyond web.max_body_bytes."""
        return self.read_body(settings.web.max_body_bytes)

    def message(self):
        """Return (headers by lower-case name, body) of a foreign system's hook; raises TooLarge beyond web.max_hook_bytes."""
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in self.environ.items()
            if name.startswith("HTTP_") or name == "CONTENT_TYPE"
        }
        return headers, self.read_body(settings.web.max_hook_bytes)

    def read_body(self, most):
        """Return the request's body, however it was sent; raises TooLarge beyond `most` bytes."""
        stream = self.environ["wsgi.input"]
        length = self.environ.get("CONTENT_LENGTH")
        if length:
            if not length.isdecimal():
                raise BadRequest("The header Content-Length is no number.", code="malformed-length")
            if int(length) > most:
                raise too_large(most)
            return stream.read(int(length))
        if not self.environ.get("wsgi.input_terminated"):  # Then the server does not know either where the body ends.
            return b""
        body = stream.read(most + 1)
        if len(body) > most:
            raise too_large(most)
        return body

    def body(self):
        """Return the bytes of the JSON body, "{}" when there is none; raises an error for anything that is not JSON."""
        body = self.raw_body
        if not body.strip():
            return b"{}"
        kind = self.environ.get("CONTENT_TYPE", "").split(";")[0].strip().lower()
        if kind != JSON_TYPE:
            raise UnsupportedMediaType(f"Send the body as {JSON_TYPE}" + (f", not {kind}." if kind else "."))
        try:
            value = from_json(body)  # Stricter than the schemas' own parser, which takes NaN and Infinity for numbers.
        except ValueError as error:
            raise BadRequest(f"The body is not valid JSON: {error}.", code="malformed-json") from None
        if NUL.search(body):
            refuse_nul(value)
        return body

    def check_client(self):
        """Refuse a command-line client that is older than what this server can work with."""
        version = self.environ.get("HTTP_X_WINDLASS_CLIENT")
        if version is None:
            return
        key = version_key(version)
        if key is None:
            raise BadRequest("X-Windlass-Client must be a version such as 1.4.0.", code="client-version-malformed")
        if key < version_key(CLIENT_MINIMUM):
            raise BadRequest(
                f"This client is version {version}; this server needs {CLIENT_MINIMUM} or newer. Upgrade with: {CLIENT_UPGRADE}",
                code="client-too-old",
                minimum=CLIENT_MINIMUM,
                desired=CLIENT_DESIRED,
                upgrade=CLIENT_UPGRADE,
            )

    def address(self):
        """Return where the request came from, as told by a proxy on this machine or by the connection."""
        direct = self.environ.get("REMOTE_ADDR", "")
        forwarded = self.environ.get("HTTP_X_FORWARDED_FOR", "")
        return forwarded.rpartition(",")[2].strip() or direct if direct in NEAR else direct


def too_large(most):
    """Return the error for a body that is longer than allowed."""
    return TooLarge(f"The body is larger than {most} bytes.", most=most)


def refuse_nul(body):
    """Raise BadRequest if a text in a JSON value holds the character NUL, which PostgreSQL cannot keep."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and "\0" in value:
            raise BadRequest("The body holds the character NUL (\\u0000), which cannot be kept.", code="nul-character")
