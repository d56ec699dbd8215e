"""Enqueue work that a committed row stands for. One that is lost does no harm: the sweep enqueues it again."""

import functools
import logging

from peewee import Value

import broker
from models import Host, Zone
from models.db import clock, database, is_postgresql

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
        celery().send_task(task, ids, queue=queue, retry=True, retry_policy=broker.ONCE_MORE, confirm_timeout=broker.CONFIRM_S)
    except Exception as error:  # kombu's transports raise their own libraries' errors, with no common base.
        log.warning("the broker does not answer (%s); the sweep will find this work: %s %s", error, task, ids)
        return False
    return True


def enqueue_rows(task, model, *conditions, on_hosts=False, most=None, again_ms=ENQUEUE_AGAIN_MS):
    """Enqueue a task about each row that meets the conditions and was not enqueued just now, the oldest first.

    on_hosts: each goes to the zone of its host, instead of to the central queue; most: how many at once, None for all;
    again_ms: milliseconds after which a message counts as lost.
    """
    at = clock()
    is_not_enqueued = model.enqueued_at.is_null() | (model.enqueued_at < at - again_ms)
    query = model.select(model.id, Zone.name).join(Host).join(Zone) if on_hosts else model.select(model.id, Value(None))
    query = query.where(is_not_enqueued, *conditions).order_by(model.id).limit(most)
    if not query.exists():  # A transaction that changes nothing would wait for SQLite's one writer all the same.
        return
    with database.atomic():
        # Whoever holds a row just now changes it, or enqueues it as well; waiting for each other could go round in a circle.
        locked = query.for_update(of=model, skip_locked=True) if is_postgresql() else query
        due = list(locked.tuples())
        model.update(enqueued_at=at).where(model.id.in_([row_id for row_id, _ in due])).execute()
    refused = [row_id for row_id, zone in due if enqueue(task, row_id, zone=zone) is False]
    if refused:
        model.update(enqueued_at=None).where(model.id.in_(refused), model.enqueued_at == at).execute()
