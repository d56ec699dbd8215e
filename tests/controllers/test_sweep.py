"""The sweep's own thread: it goes on whatever happens to one look, until the worker leaves."""

import threading

import pytest

from controllers import sweep
from controllers.jobs import kinds, queue, states
from controllers.jobs.kinds import Kind
from controllers.rollout import reconcile
from models import Deploy
from tests import factories

pytestmark = pytest.mark.both_databases


@pytest.fixture
def sent_tasks(monkeypatch):
    """What is enqueued: (task, ids)."""
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, *ids)))
    return enqueued


def test_it_enqueues_what_goes_on_and_for_nothing_else(database, sent_tasks):
    going_on = [factories.deploy([], state=state) for state in ("queued", "running", "paused", "rolling_back")]
    for state in ("succeeded", "failed", "cancelled", "rolled_back", "pending_approval"):
        factories.deploy([], state=state)
    sweep.sweep()
    task = reconcile.KIND.task
    assert [message for message in sent_tasks if message[0] == task] == [(task, deploy.id) for deploy in going_on]


def test_the_states_that_it_asks_for_are_all_but_those_of_deploys_that_wait_or_have_ended():
    asked = states.DEPLOY_GOING_ON
    assert asked == {"queued", "running", "paused", "rolling_back"}
    assert set(states.DEPLOY) == asked | states.DEPLOY_WAITING | states.DEPLOY_ENDED


def test_it_goes_on_after_a_look_that_failed(settings, database, monkeypatch):
    settings.worker.sweep_s = 0.01
    looks, over = [], threading.Event()

    def look():
        looks.append(Deploy.select().count())
        if len(looks) == 1:
            raise RuntimeError("the database is away")
        if len(looks) == 3:
            over.set()

    monkeypatch.setattr(sweep, "sweep", look)
    thread = threading.Thread(target=sweep.keep_sweeping, args=(over,))
    thread.start()
    thread.join(timeout=30)
    assert not thread.is_alive() and len(looks) == 3


def test_deploys_come_first_and_a_kind_that_fails_keeps_no_other_back(database, sent_tasks, monkeypatch):
    deploy = factories.deploy([], state="running")
    later = Kind("windlass.later", run=None, sweep=lambda: sent_tasks.append(("windlass.later",)))
    broken = Kind("windlass.broken", run=None, sweep=lambda: 1 / 0)
    monkeypatch.setattr(kinds, "ALL", {kind.task: kind for kind in (broken, later, reconcile.KIND)})
    sweep.sweep()
    assert sent_tasks == [("windlass.reconcile", deploy.id), ("windlass.later",)]
