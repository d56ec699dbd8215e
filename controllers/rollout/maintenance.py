"""Maintenance of a target: nginx answers 503 with a page on all its hosts until somebody lifts it.

The desired state is one row; each host follows by a maintenance host of its own, which a worker of its zone carries out
(maintenance_run.py).
Deploys go on meanwhile and leave the page where it is.
"""

from controllers import etags, events, rows
from controllers.controller import Controller
from controllers.desired import spec
from controllers.errors import Conflict, NotFound
from controllers.fleet import targets
from controllers.jobs import queue
from controllers.rollout import snapshots
from models import Deploy, Environment, Host, Maintenance, MaintenanceHost, Target, Zone
from models.db import clock, now
from utils.datekit import rfc3339

DEFAULT_RETRY_AFTER_S = 300


def query():
    """Return the query for the maintenance of targets, the targets joined."""
    return Maintenance.select(Maintenance, Target).join(Target)


def of_target(application_id, environment_id):
    """Return the row of a target's maintenance, also one that was lifted, or None."""
    return query().where(Target.application == application_id, Target.environment == environment_id).first()


# What others ask.


def in_short(row):
    """Return what a maintenance is about, without its hosts."""
    return {
        "holder": row.holder,
        "reason": row.reason,
        "message": row.message,
        "retry_after_s": row.retry_after_s,
        "since": rfc3339(row.since),
    }


def on(application_id, environment_id):
    """Return the maintenance that a target is in, in short, or None."""
    row = of_target(application_id, environment_id)
    return in_short(row) if row and row.is_on else None


def on_targets(target_ids):
    """Return {target id: maintenance in short} of those that are in maintenance, in one query."""
    found = Maintenance.select().where(Maintenance.target.in_(target_ids), Maintenance.is_on == True)  # noqa: E712
    return {row.target_id: in_short(row) for row in found}


def page_of(application_id, environment_name):
    """Return {"message", "retry_after_s"} for the page of a target in maintenance, or None."""
    row = (
        query()
        .join(Environment)
        .where(
            Target.application == application_id,
            Environment.name == environment_name,
            Maintenance.is_on == True,  # noqa: E712
        )
        .first()
    )
    return row and {"message": row.message, "retry_after_s": row.retry_after_s}


def site_of(application, environment, host):
    """Return the nginx site that a host is to serve instead of the application's, or None while it is open."""
    closed = page_of(application.id, environment.name)
    if closed is None or not host.settings.get("nginx"):
        return None
    about = {"root": host.root, "settings": host.settings, "address": host.address}
    return spec.closed_text(application.name, about, server_names(application.id, environment.id), closed)


def server_names(application_id, environment_id):
    """Return the names to close: the target's, and those it was last deployed with ("_" where that was any name)."""
    target = Target.get(Target.application == application_id, Target.environment == environment_id)
    last = newest_deploy(application_id, environment_id)
    deployed = (last.snapshot.get("server_names") or ["_"]) if last else []
    return list(dict.fromkeys([*(target.server_names or ["_"]), *deployed]))


def newest_deploy(application_id, environment_id):
    """Return the newest deploy of a target that reached its hosts, or None."""
    of_it = (Deploy.application == application_id) & (Deploy.environment == environment_id)
    return Deploy.select().where(of_it, Deploy.state == "succeeded").order_by(Deploy.id.desc()).first()


def warnings(target):
    """Return what somebody who deploys to a target should know: that it is closed, and stays so."""
    found = on(target.application_id, target.environment_id)
    if found is None:
        return []
    why = f" ({found['reason']})" if found["reason"] else ""
    return [
        f"{target.application.name} in {target.environment.name} is in maintenance since {found['since']} by "
        f"{found['holder']}{why}: its users go on seeing the page until that is lifted."
    ]


# What people do.


def describe(row):
    """Return a target's maintenance in the API's shape; None stands for one that never was in any."""
    if row is None:
        nothing = dict.fromkeys(("holder", "reason", "message", "retry_after_s", "since"))
        return {"enabled": False, **nothing, "hosts": []}
    maintenance_hosts = (
        MaintenanceHost.select(MaintenanceHost, Host).join(Host).where(MaintenanceHost.maintenance == row).order_by(Host.name)
    )
    return {
        "enabled": row.is_on,
        **in_short(row),
        "hosts": [describe_maintenance_host(row, maintenance_host) for maintenance_host in maintenance_hosts],
    }


def describe_maintenance_host(row, maintenance_host):
    """Return how far one host is."""
    if maintenance_host.number == row.number:
        state = "closed" if row.is_on else "open"
    else:
        state = "failed" if maintenance_host.has_failed else "pending"
    return {
        "host": maintenance_host.host.name,
        "state": state,
        "message": maintenance_host.message,
        "changed_at": rfc3339(maintenance_host.changed_at),
    }


class MaintenanceController(Controller):
    """Maintenance of targets, for whoever looks at it, begins it or ends it."""

    def get(self, application, environment):
        """Return whether a target is in maintenance, and how far its hosts are. Raises NotFound."""
        target = self.target(application, environment)
        return describe(of_target(target.application_id, target.environment_id))

    def put(self, application, environment, fields, if_match=None):
        """Close a target, or change what its users are told; returns (maintenance, whether it was open before).

        `fields`: maybe "reason", "message" and "retry_after_s" (None: users are not told when to come back). Raises
        NotFound, PreconditionFailed, and Conflict "no-nginx" or "no-web-process" where nothing could answer in the
        application's stead.
        """
        with self.change("maintenance.put", f"{application}/{environment}", **fields):
            target = self.target(application, environment, to_change=True)
            before = of_target(target.application_id, target.environment_id)
            etags.require_match(if_match, describe(before))
            refuse_unfit(target)
            was_on = before is not None and before.is_on
            row = write(
                target,
                before,
                is_on=True,
                holder=self.actor.name,
                reason=fields.get("reason"),
                message=fields.get("message"),
                retry_after_s=fields.get("retry_after_s", DEFAULT_RETRY_AFTER_S),
                since=before.since if was_on else clock(),
            )
            note(self.actor, target, "closed for maintenance")
        enqueue_for(row)
        return describe(row), not was_on

    def delete(self, application, environment):
        """Open a target again; returns its maintenance. Raises NotFound where it is in none."""
        with self.change("maintenance.delete", f"{application}/{environment}"):
            target = self.target(application, environment, to_change=True)
            before = of_target(target.application_id, target.environment_id)
            if before is None or not before.is_on:
                raise NotFound(f"{application} in {environment} is not in maintenance.")
            row = write(target, before, is_on=False)
            note(self.actor, target, "opened again")
        enqueue_for(row)
        return describe(row)


def write(target, before, **columns):
    """Write the desired state, with a maintenance host for every host that has to follow; returns the row."""
    if before is None:
        row = Maintenance.create(target=target, number=1, **columns)
    else:
        Maintenance.update(number=Maintenance.number + 1, **columns).where(Maintenance.id == before.id).execute()
        row = query().where(Maintenance.id == before.id).get()
    for host in targets.hosts_of(target):
        MaintenanceHost.insert(maintenance=row, host=host).on_conflict_ignore().execute()
    MaintenanceHost.update(attempt=0, has_failed=False, message=None, due_at=None, enqueued_at=now()).where(
        MaintenanceHost.maintenance == row
    ).execute()
    return row


def refuse_unfit(target):
    """Raise Conflict where a host has no nginx, or the application no web process: nothing could show the page there."""
    where = f"{target.application.name} in {target.environment.name}"
    without = [host.name for host in targets.hosts_of(target) if not host.settings.get("nginx")]
    if without:
        raise Conflict(
            f"{where} cannot be put into maintenance: nginx would show the page, and {rows.enumerated(without)} "
            "has none in its settings. Give the host nginx, or take it out of the target.",
            code="no-nginx",
            hosts=without,
        )
    last = newest_deploy(target.application_id, target.environment_id)
    if last and not snapshots.commands(last.release, last.snapshot).get("web"):
        raise Conflict(
            f"{where} cannot be put into maintenance: {last.release.version}, which is deployed there, has no process "
            "'web', so users reach nothing of it through nginx.",
            code="no-web-process",
        )


def note(actor, target, what):
    """Tell everybody who watches that a target was closed or opened."""
    names = {"application": target.application.name, "environment": target.environment.name}
    text = f"{names['application']} in {names['environment']} is to be {what}, asked for by {actor.name}"
    events.append("deploys", [{"kind": "maintenance", "text": text, "data": names}])


def enqueue_for(row):
    """Enqueue all hosts of a target."""
    maintenance_hosts = (
        MaintenanceHost.select(MaintenanceHost, Host, Zone).join(Host).join(Zone).where(MaintenanceHost.maintenance == row)
    )
    for maintenance_host in list(maintenance_hosts):
        queue.enqueue("windlass.maintain_host", maintenance_host.id, zone=maintenance_host.host.zone.name)
