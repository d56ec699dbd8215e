"""Environments: staging, production, …, in the order of promotion."""

from peewee import fn

from controllers import audit, etags, paging, rows
from controllers.errors import Forbidden, Invalid
from models import Application, Deploy, Environment, Target
from models.db import clock, database
from utils.datekit import rfc3339

FIRST = (("staging", 1), ("production", 2))


def ensure_first():
    """Make staging and production, unless there are environments already."""
    with database.atomic():
        if not Environment.select().exists():
            made_at = clock()
            for name, position in FIRST:
                Environment.create(name=name, position=position, created_at=made_at, updated_at=made_at)


def describe(environment):
    """Return an environment in the API's shape."""
    return {
        "name": environment.name,
        "position": environment.position,
        "approvals": environment.approvals,
        "promote_from": environment.promote_from.name if environment.promote_from_id else None,
        "created_at": rfc3339(environment.created_at),
        "updated_at": rfc3339(environment.updated_at),
    }


def listing(actor, limit=paging.LIMIT, after=None):
    """Return a page of environments in their order of promotion."""
    return paging.page(Environment.select(), (Environment.position, Environment.name), describe, limit, after)


def get(actor, name):
    """Return one environment."""
    return describe(rows.named(Environment, name, "environment"))


def create(actor, fields):
    """Make an environment from name and maybe position (default: the last one) and its protection; returns it.

    Raises Conflict, Invalid, Forbidden.
    """
    with (
        audit.change(actor, "environment.create", fields["name"], **fields),
        rows.once("an environment", fields["name"]),
    ):
        position = fields.get("position")
        if position is None:
            position = (Environment.select(fn.MAX(Environment.position)).scalar() or 0) + 1
        made_at = clock()
        environment = Environment(name=fields["name"], position=position, created_at=made_at, updated_at=made_at)
        protect(actor, environment, fields)
        environment.save(force_insert=True)
        return describe(environment)


def update(actor, name, changes, if_match=None):
    """Move an environment in the order, or change its protection; returns it. Raises PreconditionFailed, Invalid, Forbidden."""
    with audit.change(actor, "environment.update", name, **changes):
        environment = rows.named_for_change(Environment, name, "environment")
        etags.require_match(if_match, describe(environment))
        environment.position = changes.get("position", environment.position)
        protect(actor, environment, changes)
        environment.updated_at = clock()
        environment.save()
        return describe(environment)


def protect(actor, environment, fields):
    """Set how many approvals deploys need and where releases come from, if given. Raises Forbidden, Invalid."""
    given = {name: fields[name] for name in ("approvals", "promote_from") if name in fields}
    if given and not actor.is_administrator:
        raise Forbidden("Only an administrator may change how an environment is protected.", code="not-administrator")
    environment.approvals = given.get("approvals", environment.approvals)
    if "promote_from" in given:
        environment.promote_from = source_of(environment, given["promote_from"])


def source_of(environment, name):
    """Return the environment of a name that releases are to come from, None for none. Raises Invalid."""
    source = Environment.get_or_none(Environment.name == name) if name else None
    if name and source is None:
        raise Invalid([("promote_from", f"There is no environment '{name}'.")])
    passed = source
    while passed is not None:
        if passed.name == environment.name:
            raise Invalid([("promote_from", f"Releases would have to come to {name} from {environment.name} itself.")])
        passed = passed.promote_from
    return source


def delete(actor, name):
    """Delete an environment; refused with Conflict while it has targets, or deploys in its history."""
    with audit.change(actor, "environment.delete", name):
        environment = rows.named_for_change(Environment, name, "environment")
        targets = (
            Application.select(Application.name)
            .join(Target)
            .where(Target.environment == environment)
            .order_by(Application.name)
        )
        history = (
            Application.select(Application.name)
            .join(Deploy)
            .where(Deploy.environment == environment)
            .distinct()
            .order_by(Application.name)
        )
        promoted = (
            Environment.select(Environment.name)
            .where(Environment.promote_from == environment)
            .order_by(Environment.position)
        )
        rows.refuse_while_used(
            f"Environment {name}", [f"environment {row.name}, whose releases come from it" for row in promoted]
        )
        rows.refuse_while_used(
            f"Environment {name}",
            [f"the target of {row.name}" for row in targets] or [f"the deploys of {row.name}" for row in history],
        )
        environment.delete_instance()
