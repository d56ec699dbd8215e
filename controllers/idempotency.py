"""The first answer to a POST, given again when the same request comes again with the same Idempotency-Key.

The row of a key is written before the work begins and completed with the answer afterwards. Answers are sealed, since
one may hold a secret that is kept nowhere else. What starts work notes what it made in the same transaction, so that
nothing is made twice when a process dies between the commit and its answer.
"""

import contextvars
import hashlib

from peewee import IntegrityError

from controllers.errors import BadRequest, Conflict, Invalid
from models import IdempotencyKey
from models.db import clock, database
from secretbox import SecretBoxError, open_sealed, seal
from utils.core import from_json, to_json

RETENTION_MS = 24 * 3_600_000
IN_FLIGHT_MS = 120_000  # After a crash nobody completes the row; from then on the key may be used again.
LONGEST_KEY = 255
_claimed = contextvars.ContextVar("claimed", default=None)


def claim(actor, key, method, path, body):
    """Take a key for one request; returns (row id, None), or (None, {"status", "body", "headers"}) of the first answer.

    Where a process died before it had answered, (None, {"made"}) says what the request had made by then: [kind, id].
    Raises BadRequest for a key that is none, Invalid (`idempotency-key-reused`) when it came with another request before,
    and Conflict (`request-in-flight`) while that is still being worked on.
    """
    if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise BadRequest(
            f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters.", code="idempotency-key-malformed"
        )
    request_hash = hashlib.sha256(b"\0".join([method.encode(), path.encode(), body])).hexdigest()
    at = clock()
    with database.atomic():
        forget_old(actor, at)
        row_id = insert(actor, key, request_hash, at)
    _claimed.set(row_id)
    if row_id is not None:
        return row_id, None
    row = IdempotencyKey.get_or_none(IdempotencyKey.user == actor.user_id, IdempotencyKey.key == key)
    if row is not None and row.status is None and row.request_hash == request_hash and row.made:
        return None, {"made": row.made}
    if row is None or (row.status is None and row.request_hash == request_hash):
        raise Conflict(
            "The first request with this Idempotency-Key is still being worked on: repeat this one in a moment.",
            code="request-in-flight",
            retry_after_s=1,
        )
    if row.request_hash != request_hash:
        raise Invalid(
            [],
            "This Idempotency-Key came with another request before: use a new key for a new request.",
            code="idempotency-key-reused",
        )
    return None, opened(row)


def note_made(kind, made_id):
    """Write down what the request at hand made, if it has a key; call it in the transaction that makes it."""
    row_id = _claimed.get()
    if row_id is not None:
        IdempotencyKey.update(made=[kind, made_id]).where(IdempotencyKey.id == row_id).execute()


def forget_old(actor, at):
    """Delete a user's keys that are a day old, and those that a crash left in flight."""
    is_stuck = IdempotencyKey.status.is_null() & IdempotencyKey.made.is_null() & (IdempotencyKey.created_at < at - IN_FLIGHT_MS)
    is_over = (IdempotencyKey.created_at < at - RETENTION_MS) | is_stuck
    IdempotencyKey.delete().where((IdempotencyKey.user == actor.user_id) & is_over).execute()


def insert(actor, key, request_hash, at):
    """Write the row of a key; returns its id, or None if the user's key is taken."""
    try:
        with database.atomic():
            return IdempotencyKey.insert(user=actor.user_id, key=key, request_hash=request_hash, created_at=at).execute()
    except IntegrityError:
        return None


def opened(row):
    """Return the first answer; raises Conflict when the key file it was sealed with is gone."""
    try:
        return {"status": row.status, **from_json(open_sealed(row.response))}
    except SecretBoxError:
        raise Conflict(
            "The first answer to this request can no longer be read; look up what it did, then use a new key.",
            code="idempotency-answer-lost",
        ) from None


def remember(row_id, status, body, headers):
    """Keep the answer of a claimed request: its status, its JSON value and the headers that belong to it."""
    response = seal(to_json({"body": body, "headers": headers}).decode())
    IdempotencyKey.update(status=status, response=response).where(IdempotencyKey.id == row_id).execute()
    _claimed.set(None)


def forget(row_id):
    """Free the key of a request that failed and made nothing, so that it can be tried again."""
    _claimed.set(None)
    IdempotencyKey.delete().where(IdempotencyKey.id == row_id, IdempotencyKey.made.is_null()).execute()
