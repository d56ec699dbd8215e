"""Claims on work with an end: whoever holds a row's lease works on it, until it ends or the heartbeats stop.

A claim is a compare-and-set in database time, so no worker's clock matters, and it raises the row's epoch, so that a
worker that slept through its lease can be distinguished from the one that took over.
"""

import contextlib
import logging
import os
import socket
import threading
import uuid

from config import settings
from models.db import connection, now

log = logging.getLogger(__name__)
FREE = {"lease_owner": None, "lease_expires_at": None}  # The columns of a row that nobody holds.
BEATS_PER_LEASE = 5
OWNER = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
beating = set()  # An event for each heart of this process; setting it has the heart beat at once.


def claim(model, row_id, *conditions, **changes):
    """Take the lease of one row if it is free or over and `conditions` hold; returns the fresh row or None.

    `changes` are set in the same statement.
    """
    claimed = (
        model.update(lease_owner=OWNER, lease_expires_at=now() + settings.worker.lease_s * 1000, epoch=model.epoch + 1, **changes)
        .where(model.id == row_id, is_free(model), *conditions)
        .execute()
    )
    if not claimed:
        return None
    row = model.get_by_id(row_id)
    return row if row.lease_owner == OWNER else None


def is_free(model):
    """Return the condition that nobody holds a row, or that whoever did has not been heard of for too long."""
    return model.lease_expires_at.is_null() | (model.lease_expires_at < now())


def is_due(model):
    """Return the condition that the time at which a row is to be worked on has come, or that none was set."""
    return model.due_at.is_null() | (model.due_at <= now())


def is_held(row):
    """Return the condition that this claim on `row` is still the newest one."""
    model = type(row)
    return (model.id == row.id) & (model.epoch == row.epoch) & (model.lease_owner == OWNER)


def release(row, *conditions, **columns):
    """Give a lease back at once, so that nobody has to wait for its end, and set more columns with it.

    Nothing happens unless it is ours and `conditions` hold; returns whether they did.
    """
    return bool(type(row).update(**FREE, **columns).where(is_held(row), *conditions).execute())


@contextlib.contextmanager
def heartbeats(row, lost, look=None):
    """Keep a lease alive from a thread of its own while the block runs.

    `lost()` is called once from that thread when somebody else took over; `look()` is called at every beat, with a
    connection open, to notice what else was asked of this work in the meantime.
    """
    over, awake = threading.Event(), threading.Event()

    def beat():
        """Renew the lease at every beat, until the work is over or the lease is lost."""
        while not over.is_set():
            awake.wait(settings.worker.lease_s / BEATS_PER_LEASE)
            awake.clear()
            if not over.is_set() and not beat_once(row, lost, look):
                return

    thread = threading.Thread(target=beat, name=f"lease-{type(row).__name__}-{row.id}", daemon=True)
    beating.add(awake)
    thread.start()
    try:
        yield
    finally:
        over.set()
        awake.set()
        beating.discard(awake)
        thread.join(timeout=5)


def beat_once(row, lost, look):
    """Prolong a lease and look; returns False when it was lost."""
    try:
        with connection():
            if not extend(row):
                lost()
                return False
            if look:
                look()
    except Exception as error:  # A database that is away for a moment is no reason to give the host up.
        log.warning("no heartbeat for %s %s: %s", type(row).__name__, row.id, error)
    return True


def beat_at_once():
    """Have every heart of this process beat now, so that a worker that is told to leave need not wait for its next beats."""
    for awake in list(beating):
        awake.set()


def extend(row):
    """Prolong a lease; returns False when it is no longer ours."""
    model = type(row)
    return bool(model.update(lease_expires_at=now() + settings.worker.lease_s * 1000).where(is_held(row)).execute())
