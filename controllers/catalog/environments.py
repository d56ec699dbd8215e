"""Environments: staging, production, …, in the order of promotion."""

from peewee import fn

from controllers import etags, paging, rows
from controllers.controller import Controller
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


def promoted_from(environment):
    """Return the environments whose releases come from one, as [(row, short text)]."""
    found = Environment.select().where(Environment.promote_from == environment).order_by(Environment.position)
    return [(row, f"environment {row.name}, whose releases come from it") for row in found]


def targets_in(environment):
    """Return the targets in an environment, as [(row, short text)]."""
    targets = rows.target_query().where(Target.environment == environment).order_by(Application.name)
    return [(target, f"the target of {target.application.name}") for target in targets]


def deployed_in(environment):
    """Return the applications with deploys in an environment's history, as [(row, short text)]."""
    found = Application.select(Application.id, Application.name).join(Deploy).where(Deploy.environment == environment)
    return [(row, f"the deploys of {row.name}") for row in found.distinct().order_by(Application.name)]


class EnvironmentController(Controller):
    """Environments as people make, move, protect and delete them."""

    def listing(self, limit=paging.LIMIT, after=None):
        """Return a page of environments in their order of promotion."""
        order = (Environment.position, Environment.name)
        return paging.page(self.visible(Environment), order, describe, limit, after)

    def get(self, name):
        """Return one environment."""
        return describe(self.named(Environment, name, "environment"))

    def create(self, fields):
        """Make an environment from name and maybe position (default: the last one) and its protection; returns it.

        Raises Conflict, Invalid, Forbidden.
        """
        with (
            self.change("environment.create", fields["name"], **fields),
            rows.once("an environment", fields["name"]),
        ):
            position = fields.get("position")
            if position is None:
                position = (self.visible(Environment, fn.MAX(Environment.position)).scalar() or 0) + 1
            made_at = clock()
            environment = Environment(name=fields["name"], position=position, created_at=made_at, updated_at=made_at)
            self.protect(environment, fields)
            environment.save(force_insert=True)
            return describe(environment)

    def update(self, name, changes, if_match=None):
        """Move an environment in the order, or change its protection; returns it.

        Raises PreconditionFailed, Invalid, Forbidden.
        """
        with self.change("environment.update", name, **changes):
            environment = self.named(Environment, name, "environment", to_change=True)
            etags.require_match(if_match, describe(environment))
            environment.position = changes.get("position", environment.position)
            self.protect(environment, changes)
            environment.updated_at = clock()
            environment.save()
            return describe(environment)

    def protect(self, environment, fields):
        """Set how many approvals deploys need and where releases come from, if given. Raises Forbidden, Invalid."""
        given = {name: fields[name] for name in ("approvals", "promote_from") if name in fields}
        if given and not self.actor.is_administrator:
            raise Forbidden("Only an administrator may change how an environment is protected.", code="not-administrator")
        environment.approvals = given.get("approvals", environment.approvals)
        if "promote_from" in given:
            environment.promote_from = self.source_of(environment, given["promote_from"])

    def source_of(self, environment, name):
        """Return the environment of a name that releases are to come from, None for none. Raises Invalid."""
        source = self.visible(Environment).where(Environment.name == name).first() if name else None
        if name and source is None:
            raise Invalid([("promote_from", f"There is no environment '{name}'.")])
        passed = source
        while passed is not None:
            if passed.name == environment.name:
                message = f"Releases would have to come to {name} from {environment.name} itself."
                raise Invalid([("promote_from", message)])
            passed = passed.promote_from
        return source

    def delete(self, name):
        """Delete an environment; refused with Conflict while it has targets, or deploys in its history."""
        with self.change("environment.delete", name):
            environment = self.named(Environment, name, "environment", to_change=True)
            self.refuse_while_used(f"Environment {name}", promoted_from(environment))
            self.refuse_while_used(f"Environment {name}", targets_in(environment) or deployed_in(environment))
            environment.delete_instance()
