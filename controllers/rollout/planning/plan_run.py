"""Look at one host of a plan and write down what would change there; the worker's side, which changes nothing on the host."""

import contextlib

from controllers import transports
from controllers.errors import StepFailed
from controllers.fleet import placements
from controllers.foreign import ForeignError
from controllers.jobs.kinds import Kind, declare
from controllers.rollout import desired_state, snapshots
from controllers.rollout.planning import plan_rows
from models import Plan, PlanHost
from models.db import clock
from remote.session import AgentError, ConnectionLost
from remote.ssh import Unreachable

OBSERVE_S = 60
GIVE_UP_AFTER_MS = 15 * 60_000


def observe(plan_host_id):
    """Look at one host of a plan and write down what would change there; safe to call at any time."""
    row = PlanHost.get_or_none(PlanHost.id == plan_host_id)
    if row is None or row.state != "observing" or row.plan.is_kept or row.host_id is None:
        return
    try:
        plan_rows.write_changes(row, *look(row))
    except ForeignError as error:
        remedy = "Make a new plan once it answers"
        plan_rows.write_error(row, {"code": error.code, "message": error.detail, "remedy": remedy})
    except (Unreachable, AgentError, StepFailed, ConnectionLost) as error:
        plan_rows.write_error(
            row,
            {
                "code": getattr(error, "code", "connection-lost"),
                "message": str(error),
                "remedy": getattr(error, "remedy", ""),
            },
        )


def look(row):
    """Return (the changes on a host, the texts of its configuration files).

    Raises Unreachable, AgentError, StepFailed, ConnectionLost, ForeignError.
    """
    plan, host = row.plan, row.host
    with contextlib.closing(transports.open_host(host)) as session:
        state = session.request(
            "observe",
            timeout_s=OBSERVE_S,
            root=host.root,
            app=plan.application.name,
            settings=host.settings,
            texts=True,
            deep=placements.has_damage(plan.application, host),
        )
    for problem in state["problems"]:
        if problem["code"] not in desired_state.ADVISORY_PROBLEMS:
            raise StepFailed(problem["code"], "preflight", problem["message"], problem["remedy"])
    python, environment = desired_state.environment_for(plan.release, state["facts"], lambda text: None)
    variables, _ = snapshots.open_variables(plan.snapshot)
    found = plan_rows.changes_on(host, plan.release, environment, python, plan.snapshot, variables, state)
    return found, state["application"]["texts"]


def enqueue_due():
    """Enqueue again hosts that nobody has looked at; those that nobody looks at for long are given up."""
    is_forgotten = PlanHost.host.is_null() | (Plan.created_at < clock() - GIVE_UP_AFTER_MS)
    binding = Plan.is_kept == False  # noqa: E712
    for row in PlanHost.select().join(Plan).where(PlanHost.state == "observing", binding, is_forgotten):
        plan_rows.write_error(
            row,
            {
                "code": "no-worker",
                "message": "no worker of its zone looked at it",
                "remedy": "Start a worker there, then make a new plan.",
            },
        )
    plan_rows.enqueue(Plan.select(Plan.id).where(binding))


KIND = declare(Kind("windlass.plan_host", run=observe, sweep=enqueue_due))
