"""Kinds of work that workers do: each is one declaration, from which sweep, queue and Celery know all they need.

A kind is declared where its work is done. `batch/` hands what is declared to Celery; the sweep goes through all of it.
"""

import contextlib
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass

from peewee import Model

from config import settings
from controllers.jobs import leases, queue
from models import Host

ALL = {}  # Every kind by the name of its task, in the order in which they were declared.


@dataclass(frozen=True)
class Kind:
    """One kind of work.

    task: its name on the queue, such as "windlass.build".
    run: what is called with the id of a row; it may be called late, twice or at once. Returns the row that was worked on, if any.
    model, is_due: the leased rows that the sweep enqueues while the condition that is_due() returns holds and nobody has them.
    on_hosts: each row goes to the zone of its host, instead of to the central queue.
    most: how many rows of it are enqueued at once, the oldest first; None: all.
    again_ms: milliseconds after which a message counts as lost and its row is enqueued again.
    share: one in so many of a worker's threads may do this work at a time; None: all of them. What finds no place is left to
        the next message.
    sweep: what the sweep does for this kind instead, where other rows than leased ones are due.
    is_first: the sweep looks after it before all others, because they may wait for what it decides.
    """

    task: str
    run: Callable
    model: type[Model] | None = None
    is_due: Callable | None = None
    on_hosts: bool = False
    most: int | None = None
    again_ms: int = queue.ENQUEUE_AGAIN_MS
    share: int | None = None
    sweep: Callable | None = None
    is_first: bool = False

    def carry_out(self, row_id):
        """Do the work on one row, if this worker has a place for it: this is what Celery calls."""
        with self.place() as is_free:
            row = self.run(row_id) if is_free else None
        if self.share and row is not None:
            self.enqueue_next(row)

    def enqueue_next(self, row):
        """Enqueue the oldest row that found no place; `row` is the one that has just left one."""
        due, zone = self.rows_due().where(self.model.id != row.id), None
        if self.on_hosts:
            zone = row.host.zone
            due = due.join(Host).where(Host.zone == zone)
        waiting = due.first()
        if waiting is not None:
            queue.enqueue(self.task, waiting.id, zone=zone and zone.name)

    @contextlib.contextmanager
    def place(self):
        """Hold a place for this work while the block runs; yields False where none is free."""
        if self.share is None:
            yield True
            return
        is_free = places(self.task, self.share).acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                places(self.task, self.share).release()

    def rows_due(self):
        """Return the query for the ids of the rows that are due and that no living worker has, the oldest first."""
        return self.model.select(self.model.id).where(self.is_due(), leases.is_free(self.model)).order_by(self.model.id)

    def due(self):
        """Return the ids of these rows."""
        return [row.id for row in self.rows_due()]

    def enqueue_due(self):
        """Enqueue what is due and was not enqueued just now."""
        if self.sweep:
            self.sweep()
        elif self.is_due:
            due = (self.is_due(), leases.is_free(self.model))
            queue.enqueue_rows(self.task, self.model, *due, on_hosts=self.on_hosts, most=self.most, again_ms=self.again_ms)


@functools.cache
def places(task, share):
    """Return this worker's places for a task: one in `share` of its threads, and one at least."""
    return threading.BoundedSemaphore(max(1, settings.worker.concurrency // share))


def in_order():
    """Return all kinds in the order in which the sweep looks after them."""
    return sorted(ALL.values(), key=lambda kind: not kind.is_first)


def declare(kind):
    """Make a kind known to the sweep and to Celery; returns it."""
    ALL[kind.task] = kind
    return kind
