"""Requests to workers: a worker finds something out for somebody who waits; each is done once, and deleted with its answer.

The web process asks with send(); the task that it names gives the request to carry_out() on a worker.
"""

import time

from controllers.jobs import queue, workers
from models import WorkerRequest
from models.db import clock

LOOK_EVERY_S = 0.1
ENQUEUE_AGAIN_S = 5
FORGET_AFTER_MS = 3600 * 1000  # Requests that nobody waits for any more, because the web process ended meanwhile.


def send(task, zones, patience_s, **columns):
    """Have a worker of each zone carry out a task; returns the requests, by zone, once all have answers or time is over.

    `columns` are those of WorkerRequest that say what it is about. One without `answer` was taken by `worker`, or by nobody.
    """
    WorkerRequest.delete().where(WorkerRequest.created_at < clock() - FORGET_AFTER_MS).execute()
    made = [WorkerRequest.create(zone=zone, created_at=clock(), **columns) for zone in zones]
    mine = WorkerRequest.id.in_([request.id for request in made])
    try:
        await_answers(task, mine, patience_s)
        return list(WorkerRequest.select().where(mine).order_by(WorkerRequest.zone))
    finally:
        WorkerRequest.delete().where(mine).execute()


def await_answers(task, mine, patience_s):
    """Enqueue what nobody has taken, until all is answered or the time is over."""
    begun, enqueued_at = time.monotonic(), None
    while WorkerRequest.select().where(mine, WorkerRequest.answer.is_null()).exists():
        waited = time.monotonic() - begun
        if waited > patience_s:
            return
        if enqueued_at is None or waited - enqueued_at > ENQUEUE_AGAIN_S:
            enqueued_at = waited
            for request in WorkerRequest.select().where(mine, WorkerRequest.worker.is_null()):
                queue.enqueue(task, request.id, zone=request.zone)
        time.sleep(LOOK_EVERY_S)


def unanswered(request, patience_s):
    """Return the sentence for a request that had no answer in time: by the worker that took it, or by nobody at all."""
    if request.worker is not None:
        return f"Worker {request.worker} had no answer within {patience_s} s: see its log."
    return f"No worker of zone {request.zone} had time for it within {patience_s} s: start one there, or see what keeps it busy."


def carry_out(request_id, find_out):
    """The worker's side: write down what find_out(request) returns, unless another worker has taken it or nobody waits."""
    request = WorkerRequest.get_or_none(WorkerRequest.id == request_id)
    free = (WorkerRequest.id == request_id) & WorkerRequest.worker.is_null()
    if WorkerRequest.update(worker=workers.NAME).where(free).execute():
        WorkerRequest.update(answer=find_out(request)).where(WorkerRequest.id == request_id).execute()
