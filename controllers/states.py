"""Every state of a deploy, a host run and a release, which may follow which, and the functions that make the change.

A change is a compare-and-set on the row together with its event, in one transaction: two workers that try the same
change cannot both succeed, and no reader sees a state whose event is missing.
"""

from controllers import events
from models import Deploy, HostRun, Release
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
    "running": {"succeeded", "unchanged", "failed", "rolled_back", "skipped", "unreachable"},
    "succeeded": {"pending", "failed"},  # To be restored; turned unhealthy under watch.
    "unchanged": set(),
    "failed": {"pending", "skipped"},  # To be tried again, or restored; left out by somebody.
    "rolled_back": {"pending", "skipped"},
    "skipped": {"pending"},
    "unreachable": {"pending", "skipped"},
}
RELEASE = {"building": {"ready", "failed"}, "ready": set(), "failed": set()}

DEPLOY_ENDED = frozenset({"succeeded", "failed", "rolled_back", "cancelled"})
DEPLOY_WAITING = frozenset({"pending_approval", "scheduled"})  # Asked for, and not in its target's queue yet.
HOST_RUN_ENDED = frozenset({"succeeded", "unchanged", "failed", "rolled_back", "skipped", "unreachable"})
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
    return True


def move_host_run(run, state, guard=None, **changes):
    """Move a host run to `state` and set more columns; returns False if another worker changed its state first.

    `guard` is one more condition on the row, such as that the caller still holds its lease.
    """
    if state in HOST_RUN_ENDED:
        changes.setdefault("ended_at", now())
    with database.atomic():
        if not _move(HostRun, HOST_RUN, run, state, changes, guard):
            return False
        data = {"state": state, "wave": run.wave, "attempt": changes.get("attempt", run.attempt)}
        events.append(
            f"deploy-{run.deploy_id}",
            [{"kind": "host", "host": run.host.name, "data": data, "text": changes.get("message")}],
        )
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
    return True


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
