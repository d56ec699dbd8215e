"""What was last seen of an application on a host, what should be there, and how the two differ."""

import logging

from peewee import JOIN, fn

from config import settings
from controllers import events
from controllers.catalog import variables
from controllers.desired import drift
from controllers.desired.spec import UP
from masking import Masker
from models import (
    Application,
    Deploy,
    Environment,
    Host,
    HostRun,
    Maintenance,
    MaintenanceHost,
    Placement,
    Release,
    Target,
)
from models.db import clock, database, now
from utils.datekit import rfc3339

STALE_AFTER = 3  # looks that did not take place

log = logging.getLogger(__name__)


def write(deploy, host, application):
    """Keep what a rollout left behind: that is what the host should be from now on. `application` is the agent's, with texts."""
    left_behind(deploy.application, deploy.environment, host, application)


def left_behind(application, environment, host, seen):
    """Keep what Windlass left on a host as what should be there; whatever drift there was is over."""
    row = {**columns_of(application, host, seen), "recorded": drift.record(seen), "drift": [], "drifted_since": None}
    with database.atomic():
        before = on_host(application, host)
        Placement.insert(application=application, environment=environment, host=host, **row).on_conflict(
            conflict_target=[Placement.application, Placement.host],
            preserve=[Placement.environment, *(getattr(Placement, name) for name in row)],
        ).execute()
        if before and before.drift:
            note(before, [])


def on_host(application, host):
    """Return the placement of an application on a host, or None."""
    return Placement.get_or_none(Placement.application == application, Placement.host == host)


def columns_of(application, host, seen):
    """Return the columns of a placement that tell what was seen; digests of variables' values are not kept."""
    slot = seen["slots"].get(seen["active"]) if seen["active"] else None
    slots = {
        name: held and {key: value for key, value in held.items() if key != "variables"} for name, held in seen["slots"].items()
    }
    return {
        "digest": seen["current"],
        "release": release_of(application, seen["current"], slot),
        "is_healthy": is_healthy(slot),
        "address": address_of(host, seen, slot),
        "detail": {"active": seen["active"], "slots": slots},
        "observed_at": now(),
    }


def release_of(application, current, slot):
    """Return the row of the release that was seen, or None where it is not known."""
    if current is None:
        return None
    same = (Release.application == application) & (Release.digest == current) & (Release.state == "ready")
    version = (slot or {}).get("version")
    return Release.get_or_none(same, Release.version == version) or Release.get_or_none(same)


def is_stale(placement, host, at):
    """Say whether a placement was not looked at for so long before `at` that what is known of it may be wrong."""
    interval_ms = settings.drift.interval_s * 1000
    is_watched = bool(interval_ms) and host.maintenance_reason is None
    return is_watched and placement.observed_at < at - STALE_AFTER * interval_ms


def on_hosts(host_ids):
    """Return {host id: [placement in the API's shape]} of what is, or should be, on hosts, by application; in two queries."""
    found, at = {host_id: [] for host_id in host_ids}, clock()
    joined = (
        Placement.select(Placement, Application, Environment, Host, Release)
        .join_from(Placement, Application)
        .join_from(Placement, Environment)
        .join_from(Placement, Host)
        .join_from(Placement, Release, JOIN.LEFT_OUTER)
        .where(Placement.host.in_(host_ids))
        .order_by(Application.name)
    )
    for placement in joined:
        found[placement.host_id].append(describe(placement, at))
    return found


def describe(placement, at):
    """Return one placement in the API's shape as of `at`; the drift of a host in maintenance is not shown."""
    is_shown = placement.host.maintenance_reason is None
    return {
        "application": placement.application.name,
        "environment": placement.environment.name,
        "recorded": (placement.recorded or {}).get("version"),
        "observed": placement.release.version if placement.release else None,
        "healthy": placement.is_healthy,
        "observed_at": rfc3339(placement.observed_at),
        "verified_at": rfc3339(placement.verified_at),
        "stale": is_stale(placement, placement.host, at),
        "drift": placement.drift if is_shown else [],
        "drifted_since": rfc3339(placement.drifted_since) if is_shown else None,
    }


def drifted():
    """Return {(application, environment): number of hosts in service that have drifted}, for monitoring."""
    columns = (Application.name, Environment.name, fn.COUNT(Placement.id))
    query = (
        Placement.select(*columns)
        .join(Application)
        .switch(Placement)
        .join(Environment)
        .switch(Placement)
        .join(Host)
        .where(Placement.drifted_since.is_null(False), Host.maintenance_reason.is_null())
        .group_by(Application.name, Environment.name)
    )
    return {(application, environment): number for application, environment, number in query.tuples()}


# A look that no rollout asked for.


def has_damage(application, host):
    """Say whether files of what runs there were last found missing or changed; only reading all of them can dismiss that."""
    placement = on_host(application, host)
    return placement is not None and any(item["kind"] == drift.FILES for item in placement.drift)


def compare(placement, host, seen, began_at, is_verified):
    """Keep what a look found and how it differs from what should be there, unless Windlass itself was at work meanwhile.

    `seen` is the agent's answer with texts, `began_at` when it was asked (database milliseconds), `is_verified` whether it
    read every file. A host in maintenance is looked at but not called drifted.
    """
    row = columns_of(placement.application, host, seen)
    if is_verified:
        row["verified_at"] = now()
    if placement.recorded is not None and host.maintenance_reason is None:
        row["drift"] = drift.compare(placement.recorded, seen, masker(placement))
        row["drifted_since"] = (placement.drifted_since or now()) if row["drift"] else None
    with database.atomic():
        if was_worked_on(placement.application, host, began_at):
            return
        is_newest = (Placement.id == placement.id) & (Placement.observed_at == placement.observed_at)
        items = row.get("drift", placement.drift)
        if Placement.update(**row).where(is_newest).execute() and bool(items) != bool(placement.drift):
            note(placement, items)


def masker(placement):
    """Return what hides a target's secret values in a text: a file changed by hand may hold one."""
    target = Target.get_or_none(Target.application == placement.application, Target.environment == placement.environment)
    return Masker(variables.secrets_of(target) if target else ())


def was_worked_on(application, host, since):
    """Say whether a rollout or a change of maintenance is at work on an application on a host, or was since a moment."""
    if is_rolled_out_to(application, host, since):
        return True
    maintenance_hosts = (
        MaintenanceHost.select()
        .join(Maintenance)
        .join(Target)
        .where(
            MaintenanceHost.host == host,
            Target.application == application,
            (MaintenanceHost.lease_expires_at > clock()) | (MaintenanceHost.changed_at >= since),
        )
    )
    return maintenance_hosts.exists()


def is_rolled_out_to(application, host, since):
    """Say whether a rollout is at work on an application on a host, or was since a moment (database milliseconds)."""
    is_at_work = (HostRun.state == "running") | (HostRun.ended_at >= since)
    return HostRun.select().join(Deploy).where(HostRun.host == host, Deploy.application == application, is_at_work).exists()


def site_left(application, host, seen):
    """Keep nginx's site as Windlass left it when it closed or opened an application; of all else nothing was changed."""
    placement = on_host(application, host)
    if placement is None or placement.recorded is None:
        return
    texts = {**placement.recorded["texts"], "nginx": drift.texts_of(seen)["nginx"]}
    items = [item for item in placement.drift if item["kind"] != "nginx"]
    Placement.update(
        recorded={**placement.recorded, "texts": texts},
        drift=items,
        drifted_since=placement.drifted_since if items else None,
        observed_at=now(),
    ).where(Placement.id == placement.id).execute()
    if placement.drift and not items:
        note(placement, [])


def note(placement, items):
    """Tell once that drift began, or that it is over."""
    where = f"{placement.application.name} in {placement.environment.name} on {placement.host.name}"
    detail = "; ".join(item["message"] for item in items)
    text = f"{where} has drifted: {detail}" if items else f"{where} is as it was deployed again"
    data = {
        "application": placement.application.name,
        "environment": placement.environment.name,
        "drifted": bool(items),
        "count": len(items),
    }
    events.append("deploys", [{"kind": "drift", "host": placement.host.name, "text": text, "data": data}])
    log.log(logging.WARNING if items else logging.INFO, "%s", text)


def is_healthy(slot):
    """Say whether the active slot serves with all its processes up; None when nothing is there."""
    if slot is None:
        return None
    return bool(slot["serving"]) and all(process["state"] in UP for process in slot["processes"].values())


def address_of(host, seen, slot):
    """Return the URL the application answers at on this host, or None where it has no web process."""
    if slot is None or not slot.get("binding"):
        return None
    nginx = host.settings.get("nginx")
    if not nginx:
        return f"http://127.0.0.1:{seen['ports'][seen['active']]}/" if slot["binding"] == "port" else None
    listen = nginx["listen"]
    return f"http://{listen}/" if ":" in listen else f"http://{host.address}{'' if listen == '80' else ':' + listen}/"
