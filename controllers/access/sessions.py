"""Who is asking: tokens and browser sessions looked up, logging in and out."""

import functools
import hashlib
import hmac
import secrets
import threading
import time

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cachetools import TTLCache
from peewee import OperationalError

from config import settings
from controllers import audit
from controllers.actor import Actor
from controllers.controller import Controller
from controllers.errors import Forbidden, Throttled, Unauthenticated
from models import Session, Token, User
from models.db import clock, now
from models.prepared import Prepared

HOUR_MS = 3_600_000
USE_NOTED_EVERY_MS = 60_000
ATTEMPTS = 10
ATTEMPTS_WINDOW_S = 60
REFUSED = "This token is unknown, revoked or expired: make a new one and use that."

hasher = PasswordHasher()
failures = TTLCache(maxsize=10_000, ttl=ATTEMPTS_WINDOW_S, timer=time.monotonic)
failures_guard = threading.Lock()


def digest(secret):
    """Return what is kept of a token or of a session's cookie: its SHA-256 in hex.

    The secrets are 256 random bits, so a fast digest is enough; and since the database looks for the digest, the time
    that takes tells nothing about the secret.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def still_valid(model):
    """Return the condition that a token or session has not ended, by the database's clock."""
    return model.expires_at.is_null() | (model.expires_at > now())


@Prepared
def token_row(secret_hash):
    """The query for a valid token: its id and user, and whether its use has been noted lately."""
    is_use_noted = Token.last_used_at.is_null(False) & (Token.last_used_at > now() - USE_NOTED_EVERY_MS)
    return (
        Token.select(Token.id, User.id, User.name, User.is_administrator, is_use_noted)
        .join(User)
        .where((Token.secret_hash == secret_hash) & still_valid(Token))
    )


@Prepared
def session_row(secret_hash):
    """The query for a browser session that has not ended: its user and CSRF token."""
    return (
        Session.select(User.id, User.name, User.is_administrator, Session.csrf_token)
        .join(User)
        .where((Session.secret_hash == secret_hash) & still_valid(Session))
    )


def by_token(secret):
    """Return the Actor a bearer token stands for; raises Unauthenticated for an unknown, revoked or expired one."""
    row = token_row.first(digest(secret))
    if row is None:
        raise Unauthenticated(REFUSED, code="token-invalid")
    token_id, user_id, name, is_administrator, is_use_noted = row
    if not is_use_noted:
        note_use(token_id)
    return Actor(name=name, user_id=user_id, is_administrator=bool(is_administrator))


def note_use(token_id):
    """Write down that a token is in use; while another process writes, that may wait for the next request."""
    try:
        Token.update(last_used_at=now()).where(Token.id == token_id).execute()
    except OperationalError as error:
        if "locked" not in str(error):
            raise


def by_cookie(secret):
    """Return (Actor, CSRF token) of a browser session; raises Unauthenticated when it has ended."""
    row = session_row.first(digest(secret))
    if row is None:
        raise Unauthenticated("This session has ended: log in again.", code="session-ended")
    user_id, name, is_administrator, csrf_token = row
    return Actor(name=name, user_id=user_id, is_administrator=bool(is_administrator)), csrf_token


def require_csrf(given, csrf_token):
    """Raise Forbidden unless a browser's request carries the session's CSRF token, which pages elsewhere cannot read."""
    if not hmac.compare_digest((given or "").encode(), csrf_token.encode()):
        raise Forbidden("Send the session's csrf_token (GET /me tells it) in the header X-CSRF-Token.", code="csrf-token-invalid")


def log_in(fields, address):
    """Begin a browser session for {"token"} or {"name", "password"}; `address` is where the request came from.

    Returns (secret for the cookie, its lifetime in seconds, the plain answer). Raises Unauthenticated when they are
    wrong, and Throttled after too many wrong ones.
    """
    attempt = (address, fields.get("name"))
    refuse_when_throttled(attempt)
    try:
        actor = by_token(fields["token"]) if "token" in fields else by_password(fields["name"], fields["password"])
    except Unauthenticated:
        count_failure(attempt)
        audit.write("anonymous", "session.refused", fields.get("name") or "a token")
        raise
    with audit.change(actor, "session.begin", actor.name):
        secret, csrf_token = begin(actor)
    return secret, settings.web.session_hours * 3600, describe(actor, csrf_token)


def refuse_when_throttled(attempt):
    """Raise Throttled when there were too many wrong attempts of this kind within the last minute."""
    with failures_guard:
        if failures.get(attempt, 0) >= ATTEMPTS:
            raise Throttled("Too many attempts to log in: wait a minute, then try again.", retry_after_s=ATTEMPTS_WINDOW_S)


def count_failure(attempt):
    """Count a wrong attempt to log in; each process counts its own."""
    with failures_guard:
        failures[attempt] = failures.get(attempt, 0) + 1


def hash_password(password):
    """Return the argon2id hash of a password, as it is kept in User.password_hash."""
    return hasher.hash(password)


@functools.cache
def hash_of_nothing():
    """Return a hash that no password has, so that an unknown name takes as long as a wrong password."""
    return hash_password(secrets.token_urlsafe(32))


def by_password(name, password):
    """Return the Actor with this name and password; raises Unauthenticated, in the same words whatever was wrong."""
    user = User.get_or_none(User.name == name)
    stored = user.password_hash if user and user.password_hash else hash_of_nothing()
    try:
        hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        raise Unauthenticated("No user has this name and password.", code="password-wrong") from None
    return Actor(name=user.name, user_id=user.id, is_administrator=user.is_administrator)


def begin(actor):
    """Make a session; returns the secret for the cookie and the CSRF token. Sessions that ended are swept out."""
    secret, csrf_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    at = clock()
    Session.delete().where(Session.expires_at <= at).execute()
    Session.create(
        user=actor.user_id,
        secret_hash=digest(secret),
        csrf_token=csrf_token,
        created_at=at,
        expires_at=at + settings.web.session_hours * HOUR_MS,
    )
    return secret, csrf_token


def describe(actor, csrf_token=None):
    """Return who the caller is and what they may do; `csrf_token` is None for callers with a token."""
    return {
        "name": actor.name,
        "is_administrator": actor.is_administrator,
        "permissions": permissions(actor),
        "csrf_token": csrf_token,
    }


def permissions(actor):
    """Return the names of what a caller may do. Every known caller may do all but manage other people's tokens."""
    return ["read", "deploy", "configure"] + (["administer"] if actor.is_administrator else [])


class SessionController(Controller):
    """The browser session, or the token, that somebody asks with."""

    def get(self, csrf_token=None):
        """Return who the caller is and what they may do; `csrf_token` is None for callers with a token."""
        return describe(self.actor, csrf_token)

    def log_out(self, secret):
        """End the browser session of a cookie."""
        with self.change("session.end", self.actor.name):
            Session.delete().where(Session.secret_hash == digest(secret)).execute()
