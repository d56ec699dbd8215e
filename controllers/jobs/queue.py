"""Enqueue work that a committed row stands for. One that is lost does no harm: the sweep enqueues it again."""

import functools
import logging

import broker
from models import Host, Zone
from models.db import clock, database

ENQUEUE_AGAIN_MS = 10_000  # A message that was lost is sent again after this time.

log = logging.getLogger(__name__)


@functools.cache
def celery():
    """Return this process's Celery application."""
    return broker.make_celery()


def enqueue(task, *ids, zone=None):
    """Put a task on its zone's queue, or on the central one; returns whether the broker took it.

    Never raises because the broker is away. Raises RuntimeError inside a transaction: a worker could
    answer before the row it is told of can be read.
    """
    if database.in_transaction():
        raise RuntimeError(f"{task} enqueued inside a transaction")
    queue = broker.zone_queue(zone) if zone else broker.CENTRAL
    try:
        celery().send_task(
            task, ids, queue=queue, retry=True, retry_policy=broker.ONCE_MORE, confirm_timeout=broker.CONFIRM_S
        )
    except Exception as error:  # kombu's transports raise their own libraries' errors, with no common base.
        log.warning("the broker does not answer (%s); the sweep will find this work: %s %s", error, task, ids)
        return False
    return True


def enqueue_on_hosts(task, model, *conditions, most=None, again_ms=ENQUEUE_AGAIN_MS):
    """Enqueue the rows about a host that meet conditions and were not enqueued just now, each in its host's zone.

    `most` is for how many at once, the oldest first; None: for all. `again_ms`: after how long a message counts as lost.
    """
    at = clock()
    is_not_enqueued = model.enqueued_at.is_null() | (model.enqueued_at < at - again_ms)
    query = model.select(model.id, Zone.name).join(Host).join(Zone).where(is_not_enqueued, *conditions)
    due = list(query.order_by(model.id).limit(most).tuples())
    if due:  # A statement that changes nothing would wait for SQLite's one writer all the same.
        model.update(enqueued_at=at).where(model.id.in_([row_id for row_id, _ in due])).execute()
    for row_id, zone in due:
        enqueue(task, row_id, zone=zone)
