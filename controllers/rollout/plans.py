"""Make plans and show them; the worker's side looks at each host, where nothing changes."""

import contextlib
import time

from controllers import transports
from controllers.errors import NotFound, StepFailed
from controllers.fleet import placements, targets
from controllers.foreign import ForeignError
from controllers.rollout import deploys, desired_state, maintenance, plan_rows, snapshots
from models import Plan, PlanHost
from models.db import clock, database
from remote.session import AgentError, ConnectionLost
from remote.ssh import Unreachable
from utils.datekit import rfc3339

PATIENCE_S = 25
LOOK_EVERY_S = 0.1
OBSERVE_S = 60
GIVE_UP_AFTER_MS = 15 * 60_000


def create(actor, fields):
    """Plan a deploy: look at every host of the target and say what would change. Raises NotFound, Conflict, Invalid.

    Waits some time for the hosts; a plan that is still "observing" then is complete later.
    """
    target = targets.find(fields["application"], fields["environment"])
    release = deploys.release_of(target.application, fields["release"])
    with database.atomic():
        snapshot = snapshots.take(target)
        strategy = targets.complete_strategy(fields.get("strategy") or {}, snapshot["strategy"])
        plan = plan_rows.write(actor, target, release, strategy, snapshot, is_kept=False)
    plan_rows.ring([plan.id])
    await_hosts(plan)
    return get(actor, plan.id)


def await_hosts(plan):
    """Wait until all hosts have been looked at, or for as long as a request may take."""
    deadline = time.monotonic() + PATIENCE_S
    while (
        time.monotonic() < deadline
        and PlanHost.select().where(PlanHost.plan == plan, PlanHost.state == "observing").exists()
    ):
        time.sleep(LOOK_EVERY_S)


def get(actor, plan_id):
    """Return a plan in the API's shape; raises NotFound."""
    plan = Plan.get_or_none(Plan.id == plan_id)
    if plan is None:
        raise NotFound(f"There is no plan {plan_id}.")
    rows = plan_rows.rows_of(plan)
    state = plan_rows.state_of(rows)
    return {
        "id": plan.id,
        "application": plan.application.name,
        "release": plan.release.version,
        "environment": plan.environment.name,
        "state": state,
        "strategy": plan.strategy,
        "digest": plan_rows.digest(plan, rows) if state == "ready" else None,
        "unchanged": state == "ready" and all(row.changes["unchanged"] for row in rows),
        "maintenance": maintenance.on(plan.application_id, plan.environment_id),
        "hosts": [row.changes for row in rows if row.state == "ready"],
        "skipped": plan_rows.skipped(plan, rows),
        "errors": [{"host": row.host_name, **row.error} for row in rows if row.state == "failed"],
        "requested_by": plan.requested_by,
        "created_at": rfc3339(plan.created_at),
        "made_by_deploy": deploy_of(plan),
    }


def deploy_of(plan):
    """Return the number of the deploy that keeps a plan of itself, None for a plan that somebody made."""
    deploy = plan.deploys.first() if plan.is_kept else None
    return deploy and deploy.id


# The worker's side.


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


def ring_due():
    """Ring again for hosts that nobody has looked at; those that nobody looks at for long are given up."""
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
    plan_rows.ring(Plan.select(Plan.id).where(binding))
