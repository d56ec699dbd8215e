"""Changes of state with what belongs to them: the event in the history, and the deliveries to other systems.

All in one transaction, so no reader sees a state whose event is missing. Which state may follow which is in states.py.
"""

from controllers import events, rows
from controllers.jobs import outbox, states
from models import Host, HostRun
from models.db import database, now


def move_deploy(deploy, state, **changes):
    """Move a deploy to `state` and set more columns; returns False if another worker changed its state first."""
    if state in states.DEPLOY_ENDED:
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
        if not states.move(deploy, state, **changes):
            return False
        events.append(f"deploy-{deploy.id}", [{"kind": "deploy", "data": data, "text": reason}])
        events.append("deploys", [{"kind": "deploy", "data": data, "text": reason}])
        outbox.on_state(deploy, state, reason)
    return True


def move_host_run(run, state, guard=None, data=None, **changes):
    """Move a host run to `state` and set more columns; returns False if another worker changed its state first.

    `guard` is one more condition on the row, such as that the caller still holds its lease; `data` is more for the event's
    data. A `code` goes with the state it was set with.
    """
    changes.setdefault("code", None)
    if state in states.HOST_RUN_ENDED:
        changes.setdefault("ended_at", now())
    with database.atomic():
        if not states.move(run, state, guard, **changes):
            return False
        events.append(f"deploy-{run.deploy_id}", [host_event(run, state, changes, data)])
    return True


def move_host_runs(deploy, state, *conditions, **changes):
    """Move all host runs of a deploy that meet conditions to `state` and set more columns, in a few statements however many.

    Returns the rows as they were before.
    """
    changes.setdefault("code", None)
    if state in states.HOST_RUN_ENDED:
        changes.setdefault("ended_at", now())
    with database.atomic():
        query = HostRun.select(HostRun, Host).join(Host).where(HostRun.deploy == deploy, *conditions)
        runs = list(rows.for_change(query.order_by(HostRun.wave, HostRun.id), HostRun))
        for run in runs:
            states.check(run, state)
        if runs:
            HostRun.update(state=state, **changes).where(HostRun.id.in_([run.id for run in runs])).execute()
            events.append(f"deploy-{deploy.id}", [host_event(run, state, changes) for run in runs])
    return runs


def host_event(run, state, changes, data=None):
    """Return the event of a host run's new state."""
    data = {"state": state, "wave": run.wave, "attempt": changes.get("attempt", run.attempt), **(data or {})}
    if changes["code"]:
        data["code"] = changes["code"]
    return {"kind": "host", "host": run.host.name, "data": data, "text": changes.get("message")}


def move_command_run(run, state, guard=None, **changes):
    """Move a command's run on one host to `state`; returns False if another worker did so first. `guard` as for a host run."""
    if state not in states.COMMAND_RUN_GOING_ON:
        changes.setdefault("ended_at", now())
    with database.atomic():
        if not states.move(run, state, guard, **changes):
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
        if not states.move(command, state, ended_at=now()):
            return False
        events.append(f"command-{command.id}", [{"kind": "command", "data": {"state": state}}])
    return True


def move_preparation(preparation, state, guard=None, **changes):
    """Move a preparation to `state`; returns False if another worker did so first. `guard` as for a host run."""
    if state not in states.PREPARATION_GOING_ON:
        changes.setdefault("ended_at", now())
    with database.atomic():
        if not states.move(preparation, state, guard, **changes):
            return False
        data = {"state": state} if preparation.changed is None else {"state": state, "changed": preparation.changed}
        item = {"kind": "preparation", "host": preparation.host_name, "data": data, "text": changes.get("message")}
        events.append(f"preparation-{preparation.id}", [item])
    return True


def move_release(release, state, guard=None, **changes):
    """Move a release from building to its end; returns False if another worker did so first. `guard` as for a host run."""
    with database.atomic():
        if not states.move(release, state, guard, **{"ended_at": now(), **changes}):
            return False
        events.append(
            f"release-{release.id}",
            [{"kind": "release", "data": {"state": state, "version": release.version}, "text": changes.get("error")}],
        )
        if state == "ready":
            outbox.on_release(release)
    return True
