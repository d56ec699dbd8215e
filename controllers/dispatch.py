"""Ring for work that a committed row stands for. A bell that nobody hears does no harm: the sweep rings again."""

import functools
import logging

import doorbell
from models.db import database

log = logging.getLogger(__name__)


@functools.cache
def celery():
    """Return this process's Celery application."""
    return doorbell.make_celery()


def ring(task, *ids, zone=None):
    """Put a task on its zone's queue, or on the central one; returns whether the broker took it.

    Never raises because the broker is away. Raises RuntimeError inside a transaction: a worker could
    answer before the row it is told of can be read.
    """
    if database.in_transaction():
        raise RuntimeError(f"{task} rung inside a transaction")
    queue = doorbell.zone_queue(zone) if zone else doorbell.CENTRAL
    try:
        celery().send_task(
            task, ids, queue=queue, retry=True, retry_policy=doorbell.ONCE_MORE, confirm_timeout=doorbell.CONFIRM_S
        )
    except Exception as error:  # kombu's transports raise their own libraries' errors, with no common base.
        log.warning("the broker does not answer (%s); the sweep will find this work: %s %s", error, task, ids)
        return False
    return True
