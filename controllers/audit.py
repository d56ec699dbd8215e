"""The audit trail: who changed what, written in the transaction of the change, and so that nobody can alter it unseen.

Each entry carries an HMAC-SHA256 over its canonical JSON and the seal of the entry before, under a key that is derived from
secret.key_file and not in the database: whoever alters, removes or inserts a row there cannot make the seals fit. Numbers
have no gaps; the newest number and seal are kept apart, so that entries cut off at the end are missed as well.
"""

import contextlib
import contextvars
import hmac

import secretbox
from logs import request_id
from models import AuditEntry, AuditHead
from models.db import clock, database, is_postgresql
from utils.core import from_json, to_json

SEALED = ("number", "at", "actor", "action", "subject", "data", "address", "request_id")
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
