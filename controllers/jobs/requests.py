"""Have workers find something out for somebody who waits for it: each errand is done once, and forgotten with its answer.

The web process asks with send(); the task that it names gives the errand to carry_out() on a worker.
"""

import time

from controllers.jobs import queue, workers
from models import Errand
from models.db import clock

LOOK_EVERY_S = 0.1
RING_AGAIN_S = 5
FORGET_AFTER_MS = 3600 * 1000  # Errands that nobody waits for any more, because the web process ended meanwhile.


def send(task, zones, patience_s, **columns):
    """Have a worker of each zone carry out a task; returns the errands, by zone, once all have answers or time is over.

    `columns` are those of Errand that say what it is about. An errand without `answer` was taken by `worker`, or by nobody.
    """
    Errand.delete().where(Errand.created_at < clock() - FORGET_AFTER_MS).execute()
    made = [Errand.create(zone=zone, created_at=clock(), **columns) for zone in zones]
    mine = Errand.id.in_([errand.id for errand in made])
    try:
        await_answers(task, mine, patience_s)
        return list(Errand.select().where(mine).order_by(Errand.zone))
    finally:
        Errand.delete().where(mine).execute()


def await_answers(task, mine, patience_s):
    """Ring for what nobody has taken, until all is answered or the time is over."""
    begun, rung_at = time.monotonic(), None
    while Errand.select().where(mine, Errand.answer.is_null()).exists():
        waited = time.monotonic() - begun
        if waited > patience_s:
            return
        if rung_at is None or waited - rung_at > RING_AGAIN_S:
            rung_at = waited
            for errand in Errand.select().where(mine, Errand.worker.is_null()):
                queue.ring(task, errand.id, zone=errand.zone)
        time.sleep(LOOK_EVERY_S)


def unanswered(errand, patience_s):
    """Return the sentence for an errand that had no answer in time: by the worker that took it, or by nobody at all."""
    if errand.worker is not None:
        return f"Worker {errand.worker} had no answer within {patience_s} s: see its log."
    return f"No worker of zone {errand.zone} had time for it within {patience_s} s: start one there, or see what keeps it busy."


def carry_out(errand_id, find_out):
    """The worker's side: write down what find_out(errand) returns, unless another worker has taken it or nobody waits."""
    errand = Errand.get_or_none(Errand.id == errand_id)
    free = (Errand.id == errand_id) & Errand.worker.is_null()
    if Errand.update(worker=workers.NAME).where(free).execute():
        Errand.update(answer=find_out(errand)).where(Errand.id == errand_id).execute()
