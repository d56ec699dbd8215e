"""Lists a page at a time: a cursor holds the key of the last item, opaque to clients."""

import base64
from itertools import islice

from peewee import IntegerField, Tuple

from controllers.errors import Invalid
from utils.core import from_json, to_json

LIMIT = 50
FARTHEST = 1_000_000  # Items of what another system lists that are counted through.


def page(query, key, describe, limit=LIMIT, after=None, newest_first=False):
    """Return {"items", "next"} for one page of a Peewee query.

    `key` is a field or a tuple of fields of the queried model, unique together and never null, by which the list is
    ordered; `describe(row)` returns the plain dict of an item; `limit` is at most how many; `after` is the cursor that
    the page before gave as "next". Raises Invalid for a cursor that no such list gave.
    """
    fields = key if isinstance(key, tuple) else (key,)
    if after is not None:
        place = Tuple(*read_cursor(after, fields))
        query = query.where(Tuple(*fields) < place if newest_first else Tuple(*fields) > place)
    query = query.order_by(*[field.desc() if newest_first else field for field in fields])
    rows = list(query.limit(limit + 1))
    has_more = len(rows) > limit
    rows = rows[:limit]
    cursor = write_cursor([getattr(rows[-1], field.name) for field in fields]) if has_more else None
    return {"items": [describe(row) for row in rows], "next": cursor}


def part(ask, describe, limit=LIMIT, after=None):
    """Return {"items", "next"} for one page of what another system lists; the cursor counts what comes before it.

    `ask()` returns any iterable, which is read no further than needed. Raises Invalid for a cursor that no list gave.
    """
    (start,) = read_cursor(after, (IntegerField(),)) if after is not None else (0,)
    if not 0 <= start <= FARTHEST:
        raise no_cursor()
    found = list(islice(ask(), start, start + limit + 1))
    cursor = write_cursor([start + limit]) if len(found) > limit else None
    return {"items": [describe(item) for item in found[:limit]], "next": cursor}


def write_cursor(values):
    """Return the cursor for the values of an item's key."""
    return base64.urlsafe_b64encode(to_json(values)).decode().rstrip("=")


def read_cursor(cursor, fields):
    """Return the values a cursor holds; they come from outside, so each must be of its field's type."""
    try:
        values = from_json(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except ValueError:
        values = None
    types = [int if isinstance(field, IntegerField) else str for field in fields]
    if not isinstance(values, list) or [type(value) for value in values] != types or "\0" in "".join(map(str, values)):
        raise no_cursor()
    return values


def no_cursor():
    """Return the error for a cursor that no list gave."""
    return Invalid([("after", 'is not a cursor of this list: take it from the "next" of the page before')])
