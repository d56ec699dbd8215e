"""Enqueue again whatever is due: the net under lost messages, dead workers and a broker that was away.

Every central worker sweeps, in a thread of its own and by a steady clock: so it needs no message that could be lost, no
free thread of the pool and no right time of day, and it lives as long as there is anybody to do what it enqueues.
"""

import logging

import failpoints
from config import settings
from controllers.jobs import kinds
from models.db import connection

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
    """Enqueue what is due of every kind of work."""
    failpoints.reach("sweep.before")
    for kind in kinds.in_order():
        try:
            kind.enqueue_due()
        except Exception as error:  # What keeps one kind back must not keep the others back as well.
            log.warning("no look for due work of %s could be taken: %s", kind.task, error)
        failpoints.reach("sweep.between")
    failpoints.reach("sweep.after")
