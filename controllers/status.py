"""Status: for each application in each environment what should run, what was last seen running, and how the two differ.

The number of queries does not depend on how many targets there are.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from peewee import JOIN, Tuple, fn

from controllers import paging, rows
from controllers.actor import WINDLASS
from controllers.controller import Controller
from controllers.fleet import placements
from controllers.fleet.targets import hosts_among
from controllers.guards import locks
from controllers.jobs.states import DEPLOY_ENDED, DEPLOY_GOING_ON
from controllers.rollout import maintenance
from models import Application, Deploy, Environment, Host, Placement, Release, Target
from models.db import clock
from utils.datekit import rfc3339

STARTED = DEPLOY_GOING_ON | DEPLOY_ENDED
DESIRED = ("running", "paused", "succeeded")
NEVER = "never"
ORDER = (Application.name, Environment.position, Environment.id)


@dataclass
class PageRows:
    """What was read for a page of targets, in a few queries.

    Keys are (application id, environment id), those of locks and maintenance target ids.
    """

    newest: dict = field(default_factory=dict)
    desired: dict = field(default_factory=dict)
    hosts: list = field(default_factory=list)
    placements: dict = field(default_factory=dict)
    locks: dict = field(default_factory=dict)
    maintenance: dict = field(default_factory=dict)
    at: int = 0


def newest_deploys(targets):
    """Return ({key: newest deploy}, {key: newest one that says what should run}) of targets, releases joined, in two queries."""
    newest, desired = newest_of_target(STARTED), newest_of_target(DESIRED)
    query = Target.select(Target.application, Target.environment, newest, desired).where(
        Target.id.in_([target.id for target in targets])
    )
    ids = {(application, environment): pair for application, environment, *pair in query.tuples()}
    previous = Release.alias("previous")
    deploys = (
        Deploy.select(
            Deploy.id,
            Deploy.state,
            Deploy.requested_by,
            Deploy.reason,
            Deploy.created_at,
            Deploy.started_at,
            Deploy.ended_at,
            Release.id,
            Release.version,
            Release.digest,
            previous.version,
        )
        .join_from(Deploy, Release, on=(Deploy.release == Release.id))
        .join_from(Deploy, previous, JOIN.LEFT_OUTER, on=(Deploy.previous_release == previous.id), attr="previous")
        .where(Deploy.id.in_([number for pair in ids.values() for number in pair if number is not None]))
    )
    by_id = {deploy.id: deploy for deploy in deploys}
    return (
        {key: by_id[newest] for key, (newest, _) in ids.items() if newest is not None},
        {key: by_id[desired] for key, (_, desired) in ids.items() if desired is not None},
    )


def newest_of_target(states):
    """Return the subquery for the newest deploy's id in one of these states of each target that a query reads.

    The index deploy_newest holds a target's deploys in this order, so that only the first ones are looked at.
    """
    in_time = fn.COALESCE(Deploy.started_at, Deploy.created_at)
    return (
        Deploy.select(Deploy.id)
        .where(
            Deploy.application == Target.application,
            Deploy.environment == Target.environment,
            Deploy.state.in_(states),
        )
        .order_by(in_time.desc(), Deploy.id.desc())
        .limit(1)
    )


def placements_of(application_ids):
    """Return {(application id, host id): placement}, releases joined."""
    query = (
        Placement.select(
            Placement.application,
            Placement.environment,
            Placement.host,
            Placement.digest,
            Placement.is_healthy,
            Placement.address,
            Placement.observed_at,
            Placement.drift,
            Placement.drifted_since,
            Release.version,
        )
        .join(Release, JOIN.LEFT_OUTER)
        .where(Placement.application.in_(application_ids))
    )
    return {(placement.application_id, placement.host_id): placement for placement in query}


def describe(target, page_rows):
    """Return the status of one target in the API's shape."""
    key = (target.application_id, target.environment_id)
    newest, current = page_rows.newest.get(key), page_rows.desired.get(key)
    lock = page_rows.locks.get(target.id)
    seen = [
        (host, page_rows.placements.get((target.application_id, host.id))) for host in hosts_among(page_rows.hosts, target.hosts)
    ]
    desired = current.release if current else None
    is_over = newest is None or newest.state in DEPLOY_ENDED
    drift = drift_detail(desired, seen) if is_over else None
    hosts = [describe_host(host, placement, desired, is_over, page_rows.at) for host, placement in seen]
    times = [placement.observed_at for _, placement in seen if placement]
    return {
        "application": target.application.name,
        "environment": target.environment.name,
        "desired": desired.version if desired else None,
        "observed": observed(desired, seen),
        "state": newest.state if newest else NEVER,
        "health": health([placement for _, placement in seen]),
        "lock": locks.describe(lock) if lock else None,
        "maintenance": page_rows.maintenance.get(target.id),
        "drift": drift is not None,
        "drift_detail": drift,
        "drift_count": sum(len(host["drift"]) for host in hosts),
        "stale": any(host["stale"] for host in hosts),
        "unreachable": [host["host"] for host in hosts if not host["reachable"]],
        "previous_release": previous_of(current),
        "url": next((placement.address for _, placement in seen if placement and placement.address), None),
        "observed_at": rfc3339(min(times)) if times else None,
        "deploy": describe_deploy(newest),
        "hosts": hosts,
    }


def version_of(placement, desired):
    """Return the version of the release that was seen, None if it is unknown; releases of one content are the same."""
    if placement is None or placement.digest is None:
        return None
    if desired is not None and placement.digest == desired.digest:
        return desired.version
    return placement.release.version if placement.release else None


def observed(desired, seen):
    """Return the version that all hosts were last seen with; None when they differ, or one of them is unknown."""
    versions = {version_of(placement, desired) for _, placement in seen}
    return versions.pop() if len(versions) == 1 else None


def drift_detail(desired, seen):
    """Return how what was seen differs from what should be there; None if it does not. Hosts out of service do not count."""
    if desired is None:
        return None
    others = defaultdict(list)
    parts = []
    for host, placement in seen:
        if host.maintenance_reason is not None:
            continue
        if placement and placement.drift:
            parts.append(f"{host.name}: {'; '.join(item['message'] for item in placement.drift)}.")
        if placement is None or placement.digest != desired.digest:
            others[version_of(placement, desired) or ("another build" if placement and placement.digest else "nothing")].append(
                host.name
            )
    if others:
        differing = "; ".join(f"{rows.enumerated(names)}: {what}" for what, names in sorted(others.items()))
        parts.insert(0, f"{differing}; it should be {desired.version}.")
    return " ".join(parts) or None


def health(placements):
    """Return healthy when every host was last seen so, unhealthy when any was not, else unknown."""
    states = [placement.is_healthy if placement else None for placement in placements]
    if any(state is False for state in states):
        return "unhealthy"
    return "healthy" if states and all(states) else "unknown"


def previous_of(deploy):
    """Return the version that a rollback of this deploy would go to, or None."""
    previous = getattr(deploy, "previous", None)
    return previous.version if previous else None


def describe_deploy(deploy):
    """Return the newest deploy in short, or None."""
    if deploy is None:
        return None
    return {
        "id": deploy.id,
        "release": deploy.release.version,
        "state": deploy.state,
        "requested_by": deploy.requested_by,
        "reason": deploy.reason,
        "created_at": rfc3339(deploy.created_at),
        "started_at": rfc3339(deploy.started_at),
        "ended_at": rfc3339(deploy.ended_at),
    }


def describe_host(host, placement, desired, is_over, at):
    """Return what was last seen on one host, as of `at`; drift is shown while it is in service and no deploy goes on."""
    is_shown = placement is not None and is_over and host.maintenance_reason is None
    return {
        "host": host.name,
        "release": version_of(placement, desired),
        "reachable": host.is_reachable is not False,
        "in_service": host.maintenance_reason is None,
        "stale": placement is not None and placements.is_stale(placement, host, at),
        "drift": placement.drift if is_shown else [],
        "drifted_since": rfc3339(placement.drifted_since) if is_shown else None,
        "healthy": placement.is_healthy if placement else None,
        "observed_at": rfc3339(placement.observed_at) if placement else None,
        "url": placement.address if placement else None,
    }


class StatusController(Controller):
    """The status of the targets that somebody may see."""

    def listing(self, limit=paging.LIMIT, after=None, application=None, environment=None):
        """Return a page of the status of targets by application and environment, and all environments in their order."""
        targets, following = self.page(limit, after, application, environment)
        page_rows = self.read_rows(targets)
        return {
            "items": [describe(target, page_rows) for target in targets],
            "next": following,
            "environments": self.environments_in_order(),
        }

    def environments_in_order(self):
        """Return all environments in their order of promotion."""
        query = self.visible(Environment, Environment.name, Environment.position)
        ordered = query.order_by(Environment.position, Environment.name)
        return [{"name": environment.name, "position": environment.position} for environment in ordered]

    def page(self, limit, after, application, environment):
        """Return (rows of a page of targets, cursor of the next page or None)."""
        query = self.targets().order_by(*ORDER)
        if application is not None:
            query = query.where(Application.name == application)
        if environment is not None:
            query = query.where(Environment.name == environment)
        if after is not None:
            query = query.where(Tuple(*ORDER) > Tuple(*paging.read_cursor(after, ORDER)))
        targets = list(query.limit(limit + 1))
        if len(targets) <= limit:
            return targets, None
        last = targets[limit - 1]
        place = [last.application.name, last.environment.position, last.environment.id]
        return targets[:limit], paging.write_cursor(place)

    def read_rows(self, targets):
        """Read what describing these targets needs."""
        if not targets:
            return PageRows()
        application_ids = sorted({target.application_id for target in targets})
        target_ids = [target.id for target in targets]
        newest, desired = newest_deploys(targets)
        hosts = self.visible(Host, Host.id, Host.name, Host.tags, Host.is_reachable, Host.maintenance_reason)
        return PageRows(
            newest,
            desired,
            list(hosts.order_by(Host.name)),
            placements_of(application_ids),
            locks.on_targets(target_ids),
            maintenance.on_targets(target_ids),
            clock(),
        )


def public(limit=paging.LIMIT, after=None):
    """Return what everybody may know: names, releases and states of a page of targets."""
    page = StatusController(WINDLASS).listing(limit, after)
    shown = ("application", "environment", "state")
    return {
        "items": [
            {**{name: item[name] for name in shown}, "release": item["observed"] or item["desired"]} for item in page["items"]
        ],
        "next": page["next"],
    }
