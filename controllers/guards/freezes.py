"""Freezes: times in which nobody deploys, once or every week, for some applications and environments or for all."""

from controllers import etags, paging, rows
from controllers.controller import Controller
from controllers.errors import Conflict, Invalid
from controllers.guards import calendar
from models import Application, Environment, Freeze
from models.db import clock
from utils.datekit import rfc3339, to_milliseconds

MOST_CHAINED = 50  # Freezes that follow on one another; looking further would tell nobody anything.


def describe(freeze):
    """Return a freeze in the API's shape."""
    until = end_of(freeze, clock())
    return {
        "name": freeze.name,
        "reason": freeze.reason,
        "starts_at": rfc3339(freeze.starts_at),
        "ends_at": rfc3339(freeze.ends_at),
        "weekly": freeze.weekly,
        "applications": freeze.applications,
        "environments": freeze.environments,
        "active": until is not None,
        "active_until": rfc3339(until),
        "created_by": freeze.created_by,
        "created_at": rfc3339(freeze.created_at),
        "updated_at": rfc3339(freeze.updated_at),
    }


def end_of(freeze, at):
    """Return when a freeze that covers `at` ends, both in milliseconds, else None."""
    if freeze.weekly:
        return calendar.weekly_end(freeze.weekly, at)
    return calendar.once_end(freeze.starts_at, freeze.ends_at, at)


def covering(application, environment, at):
    """Return (the freeze that a deploy at `at` falls into, when nothing is frozen any more), or None; names and milliseconds."""
    applying = [
        freeze
        for freeze in Freeze.select().order_by(Freeze.id)
        if application in (freeze.applications or [application]) and environment in (freeze.environments or [environment])
    ]
    first, until = None, at
    for _ in range(MOST_CHAINED):
        ends = [(end, freeze) for freeze in applying if (end := end_of(freeze, until)) is not None]
        if not ends:
            break
        until, freeze = max(ends, key=lambda pair: pair[0])
        first = first or freeze
    return (first, until) if first else None


def text_of(freeze, until):
    """Return a freeze as people read it."""
    return f"frozen until {rfc3339(until)} ({freeze.name}): {freeze.reason}"


def require_none(application, environment, at):
    """Raise Conflict "frozen" if a deploy at `at` (milliseconds) falls into a freeze."""
    found = covering(application, environment, at)
    if found:
        freeze, until = found
        raise Conflict(
            f"{application} in {environment} is {text_of(freeze, until)} An administrator may override it, with a reason.",
            code="frozen",
            freeze=freeze.name,
            reason=freeze.reason,
            until=rfc3339(until),
        )


def check_times(freeze):
    """Raise Invalid unless there is one time: both ends of one, or one a week."""
    if freeze.weekly and (freeze.starts_at or freeze.ends_at):
        raise Invalid([("weekly", "Give either starts_at and ends_at, or weekly; null takes one away.")])
    if not freeze.weekly and (freeze.starts_at is None or freeze.ends_at is None):
        raise Invalid([("ends_at" if freeze.starts_at else "starts_at", "Give starts_at and ends_at, or weekly.")])
    if not freeze.weekly and freeze.ends_at <= freeze.starts_at:
        raise Invalid([("ends_at", "must be later than starts_at")])


class FreezeController(Controller):
    """Freezes as people make, change and delete them."""

    def listing(self, limit=paging.LIMIT, after=None):
        """Return a page of freezes by name."""
        return paging.page(self.visible(Freeze), Freeze.name, describe, limit, after)

    def get(self, name):
        """Return one freeze. Raises NotFound."""
        return describe(self.named(Freeze, name, "freeze"))

    def create(self, fields):
        """Make a freeze; returns it. Raises Invalid, Conflict "already-exists"."""
        with self.change("freeze.create", fields["name"], **fields), rows.once("a freeze", fields["name"]):
            at = clock()
            freeze = Freeze(name=fields["name"], created_by=self.actor.name, created_at=at, updated_at=at)
            self.fill(freeze, fields)
            freeze.save(force_insert=True)
            return describe(freeze)

    def update(self, name, changes, if_match=None):
        """Change a freeze; returns it. Raises NotFound, Invalid, PreconditionFailed."""
        with self.change("freeze.update", name, **changes):
            freeze = self.named(Freeze, name, "freeze", to_change=True)
            etags.require_match(if_match, describe(freeze))
            self.fill(freeze, changes)
            freeze.updated_at = clock()
            freeze.save()
            return describe(freeze)

    def delete(self, name):
        """Delete a freeze. Raises NotFound."""
        with self.change("freeze.delete", name):
            self.named(Freeze, name, "freeze", to_change=True).delete_instance()

    def fill(self, freeze, fields):
        """Set what is given; raises Invalid when the freeze would have no time, two, or one that ends before it begins."""
        times = {name: to_milliseconds(fields[name]) for name in ("starts_at", "ends_at") if name in fields}
        given = {**fields, **times}
        for name in ("reason", "starts_at", "ends_at", "weekly", "applications", "environments"):
            if name in given:
                setattr(freeze, name, given[name])
        check_times(freeze)
        self.check_names("applications", Application, freeze.applications)
        self.check_names("environments", Environment, freeze.environments)

    def check_names(self, field, model, names):
        """Raise Invalid for names that there are not."""
        existing = {row.name for row in self.visible(model, model.name).where(model.name.in_(names or []))}
        unknown = [name for name in names or [] if name not in existing]
        if unknown:
            raise Invalid([(field, f"There is no {rows.enumerated(unknown)}.")])
