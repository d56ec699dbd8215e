"""Every state of everything that has states, and which may follow which. One function makes a change of one row, one of many.

A change is a compare-and-set on the row: of two workers that try the same one, one succeeds. What else a change brings with
it, such as events, is in transitions.py.
"""

from models import (
    Automation,
    Command,
    CommandRun,
    Delivery,
    Deploy,
    Hook,
    HostRun,
    PlanHost,
    Preparation,
    Release,
)

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
HOOK = {"waiting": {"done", "failed"}, "done": set(), "failed": set()}
AUTOMATION = {
    "waiting": {"deployed", "skipped", "superseded"},
    **{state: set() for state in ("deployed", "skipped", "superseded")},
}
PLAN_HOST = {"observing": {"ready", "failed"}, "ready": set(), "failed": set()}
RELEASE = {"building": {"ready", "failed"}, "ready": set(), "failed": set()}

DEPLOY_ENDED = frozenset({"succeeded", "failed", "rolled_back", "cancelled"})
DEPLOY_WAITING = frozenset({"pending_approval", "scheduled"})  # Asked for, and not in its target's queue yet.
DEPLOY_GOING_ON = frozenset(DEPLOY) - DEPLOY_ENDED - DEPLOY_WAITING
HOST_RUN_ENDED = frozenset({"succeeded", "unchanged", "failed", "rolled_back", "skipped", "unreachable"})
PREPARATION_GOING_ON = frozenset({"pending", "running"})
COMMAND_RUN_GOING_ON = frozenset({"pending", "running"})
HOST_RUN_BAD = frozenset({"failed", "unreachable"})

TABLES = {
    Automation: AUTOMATION,
    Command: COMMAND,
    CommandRun: COMMAND_RUN,
    Delivery: DELIVERY,
    Deploy: DEPLOY,
    Hook: HOOK,
    HostRun: HOST_RUN,
    PlanHost: PLAN_HOST,
    Preparation: PREPARATION,
    Release: RELEASE,
}


class IllegalTransition(Exception):
    """A change of state that the tables do not know: a mistake in Windlass, never a user's."""


def check(row, state):
    """Raise IllegalTransition unless a row may go to `state` from the one it is in."""
    if state not in TABLES[type(row)][row.state]:
        raise IllegalTransition(f"{type(row).__name__} {row.id}: {row.state} -> {state}")


def move(row, state, guard=None, **changes):
    """Move a row to `state` and set more columns; returns False if another worker changed its state first.

    `guard` is one more condition on the row, such as that the caller still holds its lease. The object in memory follows only
    when the row did. Raises IllegalTransition.
    """
    check(row, state)
    model = type(row)
    conditions = [model.id == row.id, model.state == row.state] + ([guard] if guard is not None else [])
    moved = model.update(state=state, **changes).where(*conditions).execute()
    if not moved:
        return False
    fresh = model.get_by_id(row.id)
    for name in {"state", *changes}:
        setattr(row, name, getattr(fresh, name))
    return True


def move_all(model, state, *conditions, **changes):
    """Move all rows that meet the conditions and may go to `state`, and set more columns; returns how many, in one statement."""
    before = [source for source, targets in TABLES[model].items() if state in targets]
    return model.update(state=state, **changes).where(model.state.in_(before), *conditions).execute()
