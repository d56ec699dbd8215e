"""The audit trail: who changed what, written in the transaction of the change, and so that nobody can alter it unseen.

Each entry carries an HMAC-SHA256 over its canonical JSON and the seal of the entry before, under a key that is derived from
secret.key_file and not in the database: whoever alters, removes or inserts a row there cannot make the seals fit. Numbers
have no gaps; the newest number and seal are kept apart, so that entries cut off at the end are missed as well.
"""

import contextlib
import contextvars
import hmac

import secretbox
from controllers import paging
from logs import request_id
from models import AuditEntry, AuditHead
from models.db import clock, database, is_postgresql
from utils.core import from_json, to_json
from utils.datekit import rfc3339, to_milliseconds

SEALED = ("number", "at", "actor", "action", "subject", "data", "address", "request_id")
PIECE = 1000
origin = contextvars.ContextVar("origin", default=None)  # Where the request at hand comes from, as the frame sees it.


@contextlib.contextmanager
def change(actor, action, subject, **data):
    """Make a change and write it down, in one transaction; nothing is written when the block raises.

    action: such as "host.delete"; subject: what it is done to, as people name it; data: what else tells the change. Yields a
    dict for what is known only afterwards. No value of it may be a secret: name what was set instead.
    """
    more = {}
    with database.atomic():
        yield more
        write(actor.name, action, subject, {**data, **more})


def write(actor_name, action, subject, data=None):
    """Add an entry, in the transaction at hand."""
    with database.atomic():
        head = hold_head()
        entry = {
            "number": head.number + 1,
            "at": clock(),
            "actor": actor_name,
            "action": action,
            "subject": str(subject),
            "data": from_json(to_json({name: value for name, value in (data or {}).items() if value is not None})),
            "address": origin.get(),
            "request_id": request_id.get(),
        }
        seal = seal_of(head.seal, entry)
        AuditEntry.insert(seal=seal, **entry).execute()
        AuditHead.update(number=entry["number"], seal=seal).where(AuditHead.id == head.id).execute()


def hold_head():
    """Return the head's row, held until the transaction ends, so that entries come one after the other."""
    query = AuditHead.select().where(AuditHead.id == 1)
    head = (query.for_update() if is_postgresql() else query).get_or_none()
    if head is None:
        AuditHead.insert(id=1).on_conflict_ignore().execute()
        head = (query.for_update() if is_postgresql() else query).get()
    return head


def seal_of(before, entry):
    """Return the seal of an entry (a dict of what is sealed) after the seal before it."""
    return hmac.digest(secretbox.derived_key("audit"), before.encode() + b"\n" + to_json(entry), "sha256").hex()


# Looking.


def listing(actor, limit=paging.LIMIT, after=None, by=None, action=None, subject=None, since=None, until=None):
    """Return a page of entries, newest first; `action` also as the part before the dot, times as aware datetimes."""
    query = AuditEntry.select()
    if by is not None:
        query = query.where(AuditEntry.actor == by)
    if action is not None:
        query = query.where((AuditEntry.action == action) | AuditEntry.action.startswith(f"{action}."))
    if subject is not None:
        query = query.where(AuditEntry.subject == subject)
    if since is not None:
        query = query.where(AuditEntry.at >= to_milliseconds(since))
    if until is not None:
        query = query.where(AuditEntry.at < to_milliseconds(until))
    return paging.page(query, AuditEntry.number, describe, limit, after, newest_first=True)


def describe(row):
    """Return an entry in the API's shape."""
    return {
        "number": row.number,
        "at": rfc3339(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "data": row.data,
        "address": row.address,
        "request_id": row.request_id,
        "seal": row.seal,
    }


def verify(actor):
    """Go through the whole trail; returns {"ok", "entries", "newest_seal", "broken_at", "message"}.

    `broken_at` is the number of the first entry that is not what was written, or is missing.
    """
    head = AuditHead.get_or_none(AuditHead.id == 1) or AuditHead(number=0, seal="")
    before, number = "", 0
    for row in entries_up_to(head.number):
        number += 1
        if row.number != number:
            return verdict(head, number, f"Entry {number} is missing.")
        expected = seal_of(before, {name: getattr(row, name) for name in SEALED})
        if not hmac.compare_digest(row.seal, expected):
            return verdict(head, number, f"Entry {number} is not what was written, or the key file is another one.")
        before = row.seal
    if number != head.number or not hmac.compare_digest(before, head.seal):
        return verdict(head, number + 1, f"Entry {number + 1} is missing: the trail was cut off at its end.")
    return verdict(head, None, f"All {number} entries are as they were written.")


def entries_up_to(newest):
    """Yield all entries by number, a piece at a time."""
    after = 0
    while True:
        query = AuditEntry.select().where(AuditEntry.number > after, AuditEntry.number <= newest)
        piece = list(query.order_by(AuditEntry.number).limit(PIECE))
        yield from piece
        if len(piece) < PIECE:
            return
        after = piece[-1].number


def verdict(head, broken_at, message):
    """Return what a look at the whole trail found."""
    return {
        "ok": broken_at is None,
        "entries": head.number,
        "newest_seal": head.seal or None,
        "broken_at": broken_at,
        "message": message,
    }
