"""Ring again for whatever is due: the net under lost messages, dead workers and a broker that was away.

Every central worker sweeps, in a thread of its own and by a steady clock: so it needs no message that could be lost, no
free thread of the pool and no right time of day, and it lives as long as there is anybody to do what it rings for.
"""

import logging

import failpoints
from config import settings
from controllers.automation import hooks, rules
from controllers.commands import command_run
from controllers.fleet import host_check_run, preparation_run
from controllers.jobs import queue, transitions
from controllers.notifications import deliveries
from controllers.releases import releases
from controllers.rollout import maintenance_run, plans
from models import Deploy
from models.db import connection, now

log = logging.getLogger(__name__)


def keep_sweeping(over):
    """Sweep every worker.sweep_s seconds until the event `over` is set."""
    while not over.wait(settings.worker.sweep_s):
        try:
            with connection():
                sweep()
        except Exception as error:  # The database may be away for a minute; the next look finds what is due.
            log.warning("no look for due work could be taken: %s", error)


def sweep():
    """Ring for deploys that are due and have not ended, builds that nobody works on, and hosts that a plan waits for."""
    failpoints.reach("sweep.before")
    is_due = (Deploy.start_at <= now()) & (Deploy.state == "scheduled")
    is_cancelled = Deploy.cancel_requested_by.is_null(False) & Deploy.state.in_(transitions.DEPLOY_WAITING)
    is_going_on = Deploy.state.in_(transitions.DEPLOY_GOING_ON)  # NOT IN would read every deploy that there ever was.
    for (deploy_id,) in (
        Deploy.select(Deploy.id).where(is_due | is_cancelled | is_going_on).order_by(Deploy.id).tuples()
    ):
        queue.ring("windlass.conduct", deploy_id)
    failpoints.reach("sweep.between")
    for release_id in releases.due_builds():
        queue.ring("windlass.build", release_id)
    plans.ring_due()
    host_check_run.ring_due()
    maintenance_run.ring_due()
    command_run.ring_due()
    preparation_run.ring_due()
    deliveries.ring_due()
    hooks.ring_due()
    rules.ring_due()
    failpoints.reach("sweep.after")
