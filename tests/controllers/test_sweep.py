"""The sweep's own thread: it goes on whatever happens to one look, until the worker leaves."""

import threading

import pytest

from controllers import sweep
from controllers.jobs import queue, transitions
from models import Deploy
from tests import factories


@pytest.fixture
def bells(monkeypatch):
    """What is rung for: (task, ids)."""
    rung = []
    monkeypatch.setattr(queue, "ring", lambda task, *ids, zone=None: rung.append((task, *ids)))
    return rung


def test_it_rings_for_what_goes_on_and_for_nothing_else(database, bells):
    going_on = [factories.deploy([], state=state) for state in ("queued", "running", "paused", "rolling_back")]
    for state in ("succeeded", "failed", "cancelled", "rolled_back", "pending_approval"):
        factories.deploy([], state=state)
    sweep.sweep()
    assert [bell for bell in bells if bell[0] == "windlass.conduct"] == [
        ("windlass.conduct", deploy.id) for deploy in going_on
    ]


def test_the_states_that_it_asks_for_are_all_but_those_of_deploys_that_wait_or_have_ended():
    asked = transitions.DEPLOY_GOING_ON
    assert asked == {"queued", "running", "paused", "rolling_back"}
    assert set(transitions.DEPLOY) == asked | transitions.DEPLOY_WAITING | transitions.DEPLOY_ENDED


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
