"""Every state of a deploy, a host run, a command, a preparation, a release and a delivery, which may follow which, and the
functions that make the change.

A change is a compare-and-set on the row together with its event, in one transaction: two workers that try the same
change cannot both succeed, and no reader sees a state whose event is missing.
"""

from controllers import events, rows
from controllers.jobs import outbox
from models import Command, CommandRun, Delivery, Deploy, Host, HostRun, Preparation, Release
from models.db import database, now

DEPLOY = {
    "pending_approval": {"scheduled", "queued", "cancelled"},
    "scheduled": {"queued", "cancelled"},
    "queued": {"running", "cancelled"},
    "running": {"paused", "rolling_back", "succeeded", "failed", "rolled_back", "cancelled"},
    "paused": {"running", "cancelled"},
    "rolling_back": {"rolled_back", "failed"},
    "succeeded": set(),
    "failed": {"running"},  # A retry of the failed hosts.
    "rolled_back": set(),
    "cancelled": set(),
}
HOST_RUN = {
    "pending": {"running", "skipped"},
    # A run goes back to pending when what it needs is away and its host has not been touched.
    "running": {"pending", "succeeded", "unchanged", "failed", "rolled_back", "skipped", "unreachable"},
    "succeeded": {"pending", "failed"},  # To be restored; turned unhealthy under watch.
    "unchanged": set(),
    "failed": {"pending", "skipped"},  # To be tried again, or restored; left out by somebody.
    "rolled_back": {"pending", "skipped"},
    "skipped": {"pending"},
    "unreachable": {"pending", "skipped"},
}
COMMAND = {"running": {"succeeded", "failed", "cancelled"}, "succeeded": set(), "failed": set(), "cancelled": set()}
COMMAND_RUN = {
    "pending": {"running", "failed", "unreachable", "cancelled"},
    "running": {"succeeded", "failed", "unclear", "cancelled"},
    **{state: set() for state in ("succeeded", "failed", "unclear", "unreachable", "cancelled", "skipped")},
}
PREPARATION = {
    "pending": {"running", "failed", "cancelled"},
    "running": {"succeeded", "failed", "cancelled"},
    **{state: set() for state in ("succeeded", "failed", "cancelled")},
}
DELIVERY = {
    "waiting": {"delivered", "failed", "superseded"},
    "delivered": {"waiting"},  # Sent again, because somebody asked for it.
    "failed": {"waiting"},
    "superseded": set(),
}
RELEASE = {"building": {"ready", "failed"}, "ready": set(), "failed": set()}

DEPLOY_ENDED = frozenset({"succeeded", "failed", "rolled_back", "cancelled"})
DEPLOY_WAITING = frozenset({"pending_approval", "scheduled"})  # Asked for, and not in its target's queue yet.
DEPLOY_GOING_ON = frozenset(DEPLOY) - DEPLOY_ENDED - DEPLOY_WAITING
HOST_RUN_ENDED = frozenset({"succeeded", "unchanged", "failed", "rolled_back", "skipped", "unreachable"})
PREPARATION_GOING_ON = frozenset({"pending", "running"})
COMMAND_RUN_GOING_ON = frozenset({"pending", "running"})
HOST_RUN_BAD = frozenset({"failed", "unreachable"})


class IllegalTransition(Exception):
    """A change of state that the tables do not know: a mistake in Windlass, never a user's."""


def move_deploy(deploy, state, **changes):
    """Move a deploy to `state` and set more columns; returns False if another worker changed its state first."""
    if state in DEPLOY_ENDED:
        changes.setdefault("ended_at", now())
    data = {
        "state": state,
        "deploy": deploy.id,
        "application": deploy.application.name,
        "environment": deploy.environment.name,
        "release": deploy.release.version,
    }
    reason = changes.get("reason")
    with database.atomic():
        if not _move(Deploy, DEPLOY, deploy, state, changes):
            return False
        events.append(f"deploy-{deploy.id}", [{"kind": "deploy", "data": data, "text": reason}])
        events.append("deploys", [{"kind": "deploy", "data": data, "text": reason}])
        outbox.on_state(deploy, state, reason)
    return True


def move_host_run(run, state, guard=None, told=None, **changes):
    """Move a host run to `state` and set more columns; returns False if another worker changed its state first.

    `guard` is one more condition on the row, such as that the caller still holds its lease; `told` is more for the event's
    data. A `code` goes with the state it was set with.
    """
    changes.setdefault("code", None)
    if state in HOST_RUN_ENDED:
        changes.setdefault("ended_at", now())
    with database.atomic():
        if not _move(HostRun, HOST_RUN, run, state, changes, guard):
            return False
        events.append(f"deploy-{run.deploy_id}", [host_event(run, state, changes, told)])
    return True


def move_host_runs(deploy, state, *conditions, **changes):
    """Move all host runs of a deploy that meet conditions to `state` and set more columns, in a few statements however many.

    Returns the rows as they were before.
    """
    changes.setdefault("code", None)
    if state in HOST_RUN_ENDED:
        changes.setdefault("ended_at", now())
    with database.atomic():
        query = HostRun.select(HostRun, Host).join(Host).where(HostRun.deploy == deploy, *conditions)
        runs = list(rows.for_change(query.order_by(HostRun.wave, HostRun.id), HostRun))
        for run in runs:
            if state not in HOST_RUN[run.state]:
                raise IllegalTransition(f"HostRun {run.id}: {run.state} -> {state}")
        if runs:
            HostRun.update(state=state, **changes).where(HostRun.id.in_([run.id for run in runs])).execute()
            events.append(f"deploy-{deploy.id}", [host_event(run, state, changes) for run in runs])
    return runs


def host_event(run, state, changes, told=None):
    """Return the event of a host run's new state."""
    data = {"state": state, "wave": run.wave, "attempt": changes.get("attempt", run.attempt), **(told or {})}
    if changes["code"]:
        data["code"] = changes["code"]
    return {"kind": "host", "host": run.host.name, "data": data, "text": changes.get("message")}


def move_command_run(run, state, guard=None, **changes):
    """Move a command's run on one host to `state`; returns False if another worker did so first. `guard` as for a host run."""
    if state not in COMMAND_RUN_GOING_ON:
        changes.setdefault("ended_at", now())
    with database.atomic():
        if not _move(CommandRun, COMMAND_RUN, run, state, changes, guard):
            return False
        data = {"state": state} if run.exit_code is None else {"state": state, "exit_code": run.exit_code}
        events.append(
            f"command-{run.command_id}",
            [{"kind": "host", "host": run.host_name, "data": data, "text": changes.get("message")}],
        )
    return True


def move_command(command, state):
    """End a command; returns False if another worker did so first."""
    with database.atomic():
        if not _move(Command, COMMAND, command, state, {"ended_at": now()}):
            return False
        events.append(f"command-{command.id}", [{"kind": "command", "data": {"state": state}}])
    return True


def move_preparation(preparation, state, guard=None, **changes):
    """Move a preparation to `state`; returns False if another worker did so first. `guard` as for a host run."""
    if state not in PREPARATION_GOING_ON:
        changes.setdefault("ended_at", now())
    with database.atomic():
        if not _move(Preparation, PREPARATION, preparation, state, changes, guard):
            return False
        data = {"state": state} if preparation.changed is None else {"state": state, "changed": preparation.changed}
        item = {"kind": "preparation", "host": preparation.host_name, "data": data, "text": changes.get("message")}
        events.append(f"preparation-{preparation.id}", [item])
    return True


def move_release(release, state, guard=None, **changes):
    """Move a release from building to its end; returns False if another worker did so first. `guard` as for a host run."""
    with database.atomic():
        if not _move(Release, RELEASE, release, state, {"ended_at": now(), **changes}, guard):
            return False
        events.append(
            f"release-{release.id}",
            [{"kind": "release", "data": {"state": state, "version": release.version}, "text": changes.get("error")}],
        )
        if state == "ready":
            outbox.on_release(release)
    return True


def move_delivery(delivery, state, guard=None, **changes):
    """Move a delivery to `state`; returns False if another worker did so first. `guard` as for a host run."""
    if state != "waiting":
        changes.setdefault("ended_at", now())
    return _move(Delivery, DELIVERY, delivery, state, changes, guard)


def _move(model, table, row, state, changes, guard=None):
    """Compare-and-set one row's state; the object in memory follows only when the row did."""
    if state not in table[row.state]:
        raise IllegalTransition(f"{model.__name__} {row.id}: {row.state} -> {state}")
    conditions = [model.id == row.id, model.state == row.state] + ([guard] if guard is not None else [])
    moved = model.update(state=state, **changes).where(*conditions).execute()
    if not moved:
        return False
    fresh = model.get_by_id(row.id)
    for name in {"state", *changes}:
        setattr(row, name, getattr(fresh, name))
    return True
