"""Database rows by name: find them, take them for a change, make them once."""

import contextlib

from peewee import IntegrityError

from controllers.errors import Conflict, NotFound
from models import Application, Environment, Target
from models.db import is_postgresql
from utils.stringkit import nearest

LISTED_USERS = 10
NAMES_COMPARED = 1000  # with one that there is not, to find the one that was meant.


def found(query, what, name, candidates):
    """Return a query's first row; raises NotFound, with the nearest name of those that the query `candidates` gives.

    No name holds a NUL, which PostgreSQL would refuse to look for.
    """
    row = None if "\0" in name else query.first()
    if row is None:
        names = candidates.order_by(query.model.name).limit(NAMES_COMPARED).tuples()
        near = nearest(name, [other for (other,) in names])
        raise NotFound(f"There is no {what} '{name}'" + (f"; did you mean '{near}'?" if near else "."))
    return row


def for_change(query, model):
    """Return a query that locks the model's rows it reads; SQLite's transactions exclude other writers anyway."""
    return query.for_update(of=model) if is_postgresql() else query


def target_query():
    """Return the query for targets with their application and environment."""
    return Target.select(Target, Application, Environment).join(Application).switch(Target).join(Environment)


def hold_target(application_id, environment_id):
    """Hold a target's row until the transaction ends, so that of two deploys that begin at the same time one sees the other.

    Take it before anything is written: the histories' rows are shared, and held until the end as well.
    """
    query = Target.select().where(Target.application == application_id, Target.environment == environment_id)
    for_change(query, Target).first()


@contextlib.contextmanager
def once(what, name):
    """Turn the refusal of a second row with the same name into Conflict "already-exists"."""
    try:
        yield
    except IntegrityError:
        raise Conflict(
            f"There is already {what} '{name}'; choose another name or change that one.", code="already-exists"
        ) from None


def enumerated(names):
    """Return names as one text for people, the first few of them if there are many."""
    names = list(names)
    more = len(names) - LISTED_USERS
    return ", ".join(names[:LISTED_USERS]) + (f" and {more} more" if more > 0 else "")


def in_use(what, users):
    """Return the Conflict "in-use" naming what uses a thing; `users` are short texts, none where none may be named."""
    named = enumerated(users) or "something that you may not see"
    return Conflict(f"{what} is still used by {named}; change or delete that first.", code="in-use", used_by=users)
