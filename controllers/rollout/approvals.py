"""Approvals: in a protected environment other people must agree before a deploy goes into its target's queue.

What they agree to is the deploy's plan: it says what will change on every host, is held to there, and never changes itself.
"""

from controllers import events, rows
from controllers.controller import Controller
from controllers.errors import Conflict, Forbidden
from controllers.jobs import states, transitions
from controllers.rollout.planning import plan_rows
from models import Approval, Deploy
from models.db import clock
from utils.datekit import rfc3339


class ApprovalController(Controller):
    """Agreeing to deploys, for whoever does."""

    def give(self, row, fields):
        """Agree to a deploy (its row) that somebody else asked for, maybe with a "comment"; the last one needed lets it go on.

        With "digest" only to the plan of that digest. Raises Forbidden for one's own deploy, Conflict when it waits for no
        approval, the actor has agreed already, or there is no such plan.
        """
        comment = fields.get("comment")
        with self.change("deploy.approve", row.id, comment=comment) as change:
            require_approvable(self.actor, row, self.held_state(row))
            change["digest"] = digest = agreed_digest(row, fields.get("digest"))
            write(row, digest, self.actor.name, comment)
            if is_agreed(row):
                transitions.move_deploy(row, "scheduled" if row.start_at and row.start_at > clock() else "queued")

    def held_state(self, row):
        """Return a deploy's state as people say it; its row is held, so that two approvals at once are both counted."""
        query = self.visible(Deploy, Deploy.state, Deploy.cancel_requested_by).where(Deploy.id == row.id)
        state, cancelled_by = rows.for_change(query, Deploy).tuples().get()
        return "being cancelled" if cancelled_by and state not in states.DEPLOY_ENDED else state


def require_approvable(actor, row, state):
    """Raise Forbidden or Conflict unless this actor may agree to this deploy now."""
    if state != "pending_approval":
        raise Conflict(f"Deploy {row.id} is {state}; it waits for no approval.", code="not-approvable")
    if row.requested_by == actor.name:
        raise Forbidden(f"You asked for deploy {row.id} yourself; somebody else must approve it.", code="own-deploy")
    if Approval.select().where(Approval.deploy == row, Approval.approved_by == actor.name).exists():
        raise Conflict(f"You have approved deploy {row.id} already.", code="already-approved")


def agreed_digest(row, seen):
    """Return the digest of a deploy's plan. Raises Conflict while it says nothing yet, or when another one was seen."""
    plan_hosts = plan_rows.rows_of(row.plan)
    plan_rows.require_ready(row.plan, plan_hosts, f"cancel deploy {row.id} and ask again")
    digest = plan_rows.digest(row.plan, plan_hosts)
    if seen not in (None, digest):
        raise Conflict(
            f"Deploy {row.id} is not of the plan with that digest, but of plan {row.plan_id} with {digest}: read that one.",
            code="plan-changed",
        )
    return digest


def write(row, digest, name, comment):
    """Write down that somebody agrees to a deploy, in its history as well."""
    Approval.create(deploy=row, approved_by=name, comment=comment, digest=digest, created_at=clock())
    why = f": {comment}" if comment else ""
    text = f"plan {row.plan_id} ({digest[:12]}) is approved by {name}{why}"
    events.append(f"deploy-{row.id}", [{"kind": "note", "text": text}])


def is_agreed(row):
    """Say whether as many have agreed to a deploy as its environment needs."""
    return Approval.select().where(Approval.deploy == row).count() >= row.approvals_needed


def given(deploy_ids):
    """Return {deploy id: [{"by", "at", "comment", "digest"}]} in the order they were given, in one query."""
    found = {deploy_id: [] for deploy_id in deploy_ids}
    for row in Approval.select().where(Approval.deploy.in_(deploy_ids)).order_by(Approval.id):
        found[row.deploy_id].append(
            {"by": row.approved_by, "at": rfc3339(row.created_at), "comment": row.comment, "digest": row.digest}
        )
    return found
