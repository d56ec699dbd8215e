"""Make plans and show them; plan_run.py looks at each host, where nothing changes."""

import time

from controllers.controller import Controller
from controllers.errors import NotFound
from controllers.fleet import targets
from controllers.releases.releases import ReleaseController
from controllers.rollout import maintenance, snapshots
from controllers.rollout.planning import plan_rows
from models import Plan, PlanHost
from models.db import database
from utils.datekit import rfc3339

PATIENCE_S = 25
LOOK_EVERY_S = 0.1


class PlanController(Controller):
    """Plans of deploys, for whoever asks."""

    def create(self, fields):
        """Plan a deploy: look at every host of the target and say what would change. Raises NotFound, Conflict, Invalid.

        Waits some time for the hosts; a plan that is still "observing" then is complete later.
        """
        target = self.target(fields["application"], fields["environment"])
        release = ReleaseController(self.actor).deployable(target.application, fields["release"])
        with database.atomic():
            snapshot = snapshots.take(target)
            strategy = targets.complete_strategy(fields.get("strategy") or {}, snapshot["strategy"])
            plan = plan_rows.write(self.actor, target, release, strategy, snapshot, is_kept=False)
        plan_rows.enqueue([plan.id])
        await_hosts(plan)
        return self.get(plan.id)

    def get(self, plan_id):
        """Return a plan in the API's shape; raises NotFound."""
        plan = self.visible(Plan).where(Plan.id == plan_id).first()
        if plan is None:
            raise NotFound(f"There is no plan {plan_id}.")
        return describe(plan)


def await_hosts(plan):
    """Wait until all hosts have been looked at, or for as long as a request may take."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and PlanHost.select().where(PlanHost.plan == plan, PlanHost.state == "observing").exists():
        time.sleep(LOOK_EVERY_S)


def describe(plan):
    """Return a plan in the API's shape."""
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
