"""Approvals: in a protected environment other people must agree before a deploy goes into its target's queue.

A deploy never changes what it deploys, so an approval is for exactly what was asked for.
"""

from controllers import audit, events, rows, states
from controllers.errors import Conflict, Forbidden
from models import Approval, Deploy
from models.db import clock
from utils.datekit import rfc3339


def give(actor, row, fields):
    """Agree to a deploy (its row) that somebody else asked for, maybe with a "comment"; the last one needed lets it go on.

    Raises Forbidden for one's own deploy, Conflict when it waits for no approval or the actor has agreed already.
    """
    with audit.change(actor, "deploy.approve", row.id, comment=fields.get("comment")):
        # The row is held, so that two approvals at once are both counted.
        state, cancelled_by = (
            rows.for_change(Deploy.select(Deploy.state, Deploy.cancel_requested_by).where(Deploy.id == row.id), Deploy)
            .tuples()
            .get()
        )
        require_approvable(
            actor, row, "being cancelled" if cancelled_by and state not in states.DEPLOY_ENDED else state
        )
        Approval.create(deploy=row, approved_by=actor.name, comment=fields.get("comment"), created_at=clock())
        said = f": {fields['comment']}" if fields.get("comment") else ""
        events.append(f"deploy-{row.id}", [{"kind": "note", "text": f"approved by {actor.name}{said}"}])
        if Approval.select().where(Approval.deploy == row).count() >= row.approvals_needed:
            states.move_deploy(row, "scheduled" if row.start_at and row.start_at > clock() else "queued")


def require_approvable(actor, row, state):
    """Raise Forbidden or Conflict unless this actor may agree to this deploy now."""
    if state != "pending_approval":
        raise Conflict(f"Deploy {row.id} is {state}; it waits for no approval.", code="not-approvable")
    if row.requested_by == actor.name:
        raise Forbidden(f"You asked for deploy {row.id} yourself; somebody else must approve it.", code="own-deploy")
    if Approval.select().where(Approval.deploy == row, Approval.approved_by == actor.name).exists():
        raise Conflict(f"You have approved deploy {row.id} already.", code="already-approved")


def given(deploy_ids):
    """Return {deploy id: [{"by", "at", "comment"}]} in the order they were given, in one query."""
    found = {deploy_id: [] for deploy_id in deploy_ids}
    for row in Approval.select().where(Approval.deploy.in_(deploy_ids)).order_by(Approval.id):
        found[row.deploy_id].append({"by": row.approved_by, "at": rfc3339(row.created_at), "comment": row.comment})
    return found
