"""Environments: staging, production, …, in the order of promotion."""
from peewee import fn
from utils.datekit import rfc3339

from controllers import etags, paging, rows
from models import Application, Deploy, Environment, Target
from models.db import clock, database

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
    return {"name": environment.name, "position": environment.position,
            "created_at": rfc3339(environment.created_at), "updated_at": rfc3339(environment.updated_at)}


def listing(actor, limit=paging.LIMIT, after=None):
    """Return a page of environments in their order of promotion."""
    return paging.page(Environment.select(), (Environment.position, Environment.name), describe, limit, after)


def get(actor, name):
    """Return one environment."""
    return describe(rows.named(Environment, name, "environment"))


def create(actor, fields):
    """Make an environment from name and maybe position (default: the last one); returns it. Raises Conflict."""
    with database.atomic(), rows.once("an environment", fields["name"]):
        position = fields.get("position")
        if position is None:
            position = (Environment.select(fn.MAX(Environment.position)).scalar() or 0) + 1
        made_at = clock()
        return describe(
            Environment.create(name=fields["name"], position=position, created_at=made_at, updated_at=made_at)
        )


def update(actor, name, changes, if_match=None):
    """Move an environment in the order; returns it. Raises PreconditionFailed."""
    with database.atomic():
        environment = rows.named_for_change(Environment, name, "environment")
        etags.require_match(if_match, describe(environment))
        environment.position = changes.get("position", environment.position)
        environment.updated_at = clock()
        environment.save()
        return describe(environment)


def delete(actor, name):
    """Delete an environment; refused with Conflict while it has targets, or deploys in its history."""
    with database.atomic():
        environment = rows.named_for_change(Environment, name, "environment")
        targets = (
            Application.select(Application.name)
            .join(Target)
            .where(Target.environment == environment)
            .order_by(Application.name)
        )
        history = (Application.select(Application.name).join(Deploy).where(Deploy.environment == environment)
                   .distinct().order_by(Application.name))
        rows.refuse_while_used(f"Environment {name}", [f"the target of {row.name}" for row in targets]
                               or [f"the deploys of {row.name}" for row in history])
        environment.delete_instance()
