"""Times: whole milliseconds since 1970-01-01 UTC inside, RFC 3339 in UTC outside."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def rfc3339(milliseconds):
    """Return "2026-11-21T03:00:00.000Z" for milliseconds since 1970, and None for None."""
    if milliseconds is None:
        return None
    moment = EPOCH + milliseconds * MILLISECOND
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def to_milliseconds(moment):
    """Return the milliseconds since 1970 of an aware datetime, and None for None; a naive one is a ValueError."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset from UTC")
    return (moment - EPOCH) // MILLISECOND
