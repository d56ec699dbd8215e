"""Ring again for whatever is due: the net under lost messages, dead workers and a broker that was away."""

from controllers import dispatch, plans, releases, states
from models import Deploy
from models.db import now


def sweep():
    """Ring for deploys that are due and have not ended, builds that nobody works on, and hosts that a plan waits for."""
    is_due = (Deploy.start_at <= now()) & (Deploy.state == "scheduled")
    is_cancelled = Deploy.cancel_requested_by.is_null(False) & Deploy.state.in_(states.DEPLOY_WAITING)
    is_going_on = Deploy.state.not_in(states.DEPLOY_ENDED | states.DEPLOY_WAITING)
    for (deploy_id,) in (
        Deploy.select(Deploy.id).where(is_due | is_cancelled | is_going_on).order_by(Deploy.id).tuples()
    ):
        dispatch.ring("windlass.conduct", deploy_id)
    for release_id in releases.due_builds():
        dispatch.ring("windlass.build", release_id)
    plans.ring_due()
