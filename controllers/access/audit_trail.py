"""The audit trail as people read it, and whether anybody has altered it; controllers/audit.py writes it."""

import hmac

from controllers import audit, paging
from controllers.controller import Controller
from models import AuditEntry, AuditHead
from utils.datekit import rfc3339, to_milliseconds

PIECE = 1000


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


def in_pieces(query, newest):
    """Yield all entries of a query up to a number, by number, a piece at a time."""
    after = 0
    while True:
        piece = query.where(AuditEntry.number > after, AuditEntry.number <= newest)
        piece = list(piece.order_by(AuditEntry.number).limit(PIECE))
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


class AuditController(Controller):
    """The audit trail, for those who may read it."""

    def listing(self, limit=paging.LIMIT, after=None, by=None, action=None, subject=None, since=None, until=None):
        """Return a page of entries, newest first; `action` also as the part before the dot, times as aware datetimes."""
        query = self.visible(AuditEntry)
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

    def verify(self):
        """Go through the whole trail; returns {"ok", "entries", "newest_seal", "broken_at", "message"}.

        `broken_at` is the number of the first entry that is not what was written, or is missing.
        """
        head = self.visible(AuditHead).where(AuditHead.id == 1).first() or AuditHead(number=0, seal="")
        before, number = "", 0
        for row in in_pieces(self.visible(AuditEntry), head.number):
            number += 1
            if row.number != number:
                return verdict(head, number, f"Entry {number} is missing.")
            expected = audit.seal_of(before, {name: getattr(row, name) for name in audit.SEALED})
            if not hmac.compare_digest(row.seal, expected):
                return verdict(head, number, f"Entry {number} is not what was written, or the key file is another one.")
            before = row.seal
        if number != head.number or not hmac.compare_digest(before, head.seal):
            return verdict(head, number + 1, f"Entry {number + 1} is missing: the trail was cut off at its end.")
        return verdict(head, None, f"All {number} entries are as they were written.")
