"""Targets: an application in an environment, on which hosts, and how its rollouts go."""

from controllers import etags, paging, rows
from controllers.controller import Controller
from controllers.desired import waves
from controllers.errors import Conflict, Invalid
from controllers.fleet import hosts, playbooks
from controllers.guards import known_bad
from controllers.jobs.states import DEPLOY_ENDED
from models import Application, Deploy, Environment, Host, Integration, Maintenance, Target
from models.db import clock
from utils.datekit import rfc3339

DEFAULT_HEALTH = {"path": "/", "timeout_s": 30, "expect_status": None}
DEFAULT_DRAIN_S = 30


def complete_strategy(changes, base=None):
    """Return a complete strategy: the defaults, overlaid by `base` and then by `changes` (dicts)."""
    base = base or {}
    if changes.get("kind", base.get("kind")) != base.get("kind"):
        base = {name: value for name, value in base.items() if name not in ("batch", "healthy_first")}
    return waves.complete({**base, **changes})


def hosts_of(target):
    """Return the rows of the hosts that a target stands for now, by name."""
    if isinstance(target.hosts, dict):
        return hosts.tagged(target.hosts["tags"])
    return list(Host.select().where(Host.name.in_(target.hosts)).order_by(Host.name))


def hosts_among(hosts, selector):
    """Return those of these hosts that a target's selector (its `hosts`) means."""
    if isinstance(selector, dict):
        tags = set(selector["tags"])
        return [host for host in hosts if tags <= set(host.tags)]
    names = set(selector)
    return [host for host in hosts if host.name in names]


def describe(target):
    """Return a target in the API's shape."""
    return describe_on(target, [host.name for host in hosts_of(target)])


def describe_on(target, host_names):
    """Return a target in the API's shape, the names of its hosts being known."""
    return {
        "application": target.application.name,
        "environment": target.environment.name,
        "hosts": target.hosts,
        "resolved_hosts": host_names,
        "strategy": target.strategy,
        "health": target.health,
        "processes": target.processes,
        "server_names": target.server_names,
        "rules": target.rules,
        "configure": target.configure,
        "drain_s": target.drain_s,
        "keep_warm": target.keep_warm,
        "latched": known_bad.on_target(target),
        "created_at": rfc3339(target.created_at),
        "updated_at": rfc3339(target.updated_at),
    }


def require_match(if_match, target):
    """Raise PreconditionFailed unless the header If-Match allows this; it matches no target that is not there."""
    if target is not None:
        etags.require_match(if_match, describe(target))
    elif if_match is not None:
        raise etags.PreconditionFailed("There is no target yet; leave If-Match out to make it.")


def fill(target, fields):
    """Set everything of a target, with the defaults for what was left out."""
    target.hosts = fields["hosts"]
    target.strategy = complete_strategy(fields.get("strategy") or {})
    target.health = {**DEFAULT_HEALTH, **(fields.get("health") or {})}
    target.processes = fields.get("processes") or {}
    target.server_names = fields.get("server_names") or []
    target.rules = fields.get("rules") or []
    target.configure = fields.get("configure") or []
    target.drain_s = fields.get("drain_s", DEFAULT_DRAIN_S)
    target.keep_warm = fields.get("keep_warm", True)
    target.updated_at = clock()


def refuse_taken(target, hosts, seen=set):
    """Raise Conflict "host-taken" where one of these hosts serves the same application in another environment.

    On a host <root>/<application> belongs to one environment: two would switch each other's processes. `seen(rows)` returns
    the set of those rows that may be named (default: all).
    """
    others = rows.target_query().where(Target.application == target.application, Target.environment != target.environment)
    for other in others:
        taken = set(hosts_of(other)) & set(hosts)
        if taken:
            may_name = seen([other, *taken])
            names = sorted(host.name for host in taken if host in may_name)
            environment = other.environment.name if other in may_name else None
            raise Conflict(
                f"{target.application.name} is deployed in {environment or 'another environment'} on "
                f"{rows.enumerated(names) or 'some of these hosts'} already; a host serves an application in one "
                "environment only.",
                code="host-taken",
                hosts=names,
                environment=environment,
            )


def users_of(target):
    """Return what needs a target, as [(row, short text)]: deploys that have not ended, and its maintenance."""
    under_way = Deploy.select(Deploy.id).where(
        Deploy.application == target.application,
        Deploy.environment == target.environment,
        Deploy.state.not_in(DEPLOY_ENDED),
    )
    users = [(deploy, f"deploy {deploy.id}, which is under way") for deploy in under_way.order_by(Deploy.id)]
    maintenance = Maintenance.get_or_none(Maintenance.target == target)
    if maintenance is not None and maintenance.is_on:
        users.append((maintenance, "its maintenance, which keeps its hosts closed until it is lifted"))
    return users


def require_in_service(target, hosts):
    """Raise Conflict "no-hosts" when every one of a target's hosts (rows) is in maintenance."""
    if all(host.maintenance_reason for host in hosts):
        raise Conflict(
            f"{target.application.name} in {target.environment.name} stands for no host that is in service now; "
            "put one back into service first.",
            code="no-hosts",
        )


def snapshot(target):
    """Return all of a target that a rollout goes by, as it is now; variables are apart.

    `processes` are the application's overlaid by the target's; None switches off one of the release's. Raises Conflict
    "no-hosts" when it stands for no host now, and "host-taken" when tags have put a host into two environments.
    """
    found = hosts_of(target)
    if not found:
        raise Conflict(
            f"The target of {target.application.name} in {target.environment.name} stands for no host now; "
            "register hosts for it or change its hosts.",
            code="no-hosts",
        )
    refuse_taken(target, found)
    return {
        "application": target.application.name,
        "environment": target.environment.name,
        "hosts": [host.name for host in found],
        "selector": target.hosts,
        "strategy": target.strategy,
        "health": target.health,
        "processes": {**target.application.processes, **target.processes},
        "server_names": target.server_names,
        "configure": target.configure,
        "drain_s": target.drain_s,
        "keep_warm": target.keep_warm,
    }


class TargetController(Controller):
    """Targets as people make, replace and delete them."""

    def listing(self, application, limit=paging.LIMIT, after=None):
        """Return a page of an application's targets, in the order they were made. Raises NotFound."""
        row = self.named(Application, application, "application")
        return paging.page(self.targets().where(Target.application == row), Target.id, describe, limit, after)

    def get(self, application, environment):
        """Return one target. Raises NotFound."""
        return describe(self.target(application, environment))

    def put(self, application, environment, fields, if_match=None):
        """Make a target or replace it, its variables untouched; returns (target, whether it is new).

        Raises NotFound, Invalid for unknown hosts, Conflict "host-taken" where a host serves the application in another
        environment, and PreconditionFailed.
        """
        with self.change("target.put", f"{application}/{environment}", **fields):
            # The application's row is held, so that two targets of it cannot take the same host at the same time.
            of = self.named(Application, application, "application", to_change=True)
            where = self.named(Environment, environment, "environment")
            target = self.targets().where(Target.application == of, Target.environment == where).first()
            require_match(if_match, target)
            is_new = target is None
            target = target or Target(application=of, environment=where, created_at=clock())
            fill(target, fields)
            self.check_hosts(target)
            playbooks.check(target.configure, self.visible(Integration))
            target.save()
            return describe(target), is_new

    def check_hosts(self, target):
        """Raise Invalid for hosts that do not exist, and Conflict for those that another environment has."""
        if isinstance(target.hosts, list):
            named = {host.name for host in self.visible(Host, Host.name).where(Host.name.in_(target.hosts))}
            if unknown := [name for name in target.hosts if name not in named]:
                raise Invalid([("hosts", f"There is no host {rows.enumerated(unknown)}; register it first.")])
        refuse_taken(target, hosts_of(target), self.seen)

    def delete(self, application, environment):
        """Delete a target with its variables; what runs on its hosts stays there. Refused with Conflict during a deploy."""
        with self.change("target.delete", f"{application}/{environment}"):
            target = self.target(application, environment, to_change=True)
            self.refuse_while_used(f"The target of {application} in {environment}", users_of(target))
            target.delete_instance()
