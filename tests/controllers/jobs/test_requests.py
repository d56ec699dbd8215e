"""A request to workers is carried out once, by one worker, however often it is enqueued; an error names who did not answer."""

import threading

import pytest

from controllers.actor import Actor
from controllers.errors import NotFound, Unavailable
from controllers.fleet import host_check_run, host_checks
from controllers.jobs import queue, requests, workers
from models import Host, WorkerRequest
from models.db import clock, connection
from tests import factories

pytestmark = pytest.mark.both_databases

ANN = Actor("ann")


class FakeQueue:
    """Takes what is enqueued; `answer(request_id)` is what the worker that gets it does."""

    def __init__(self):
        self.enqueued, self.answer = [], lambda request_id: None

    def __call__(self, task, request_id, zone):
        self.enqueued.append((task, zone))
        self.answer(request_id)


@pytest.fixture
def fake_queue(database, monkeypatch):
    """The queue of all zones; nobody waits long, and a request is enqueued again at every look."""
    made = FakeQueue()
    monkeypatch.setattr(queue, "enqueue", made)
    monkeypatch.setattr(requests, "ENQUEUE_AGAIN_S", 0)
    monkeypatch.setattr(requests, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(host_checks, "PATIENCE_S", 0.3)
    return made


@pytest.fixture
def host(fake_queue):
    """A host."""
    return factories.host(name="web-1")


def test_a_message_that_nobody_took_is_enqueued_again(fake_queue, host):
    def answer_the_third(request_id):
        if len(fake_queue.enqueued) == 3:
            requests.carry_out(request_id, lambda request: {"of": request.host.name})

    fake_queue.answer = answer_the_third
    (request,) = requests.send("windlass.observe_host", ["default"], 10, host=host)
    assert (request.answer, request.worker) == ({"of": "web-1"}, workers.NAME)
    assert fake_queue.enqueued == [("windlass.observe_host", "default")] * 3
    assert WorkerRequest.select().count() == 0


def test_two_workers_that_get_it_find_it_out_once(fake_queue, host):
    found = []

    def answer_twice(request_id):
        for _ in range(2):
            requests.carry_out(request_id, lambda request: found.append(request.id) or {})

    fake_queue.answer = answer_twice
    requests.send("windlass.observe_host", ["default"], 10, host=host)
    assert len(found) == 1


def test_two_questions_about_one_host_get_each_its_own_answer(fake_queue, host, monkeypatch):
    monkeypatch.setattr(host_check_run, "read_key", lambda host: {"host_key": "ssh-ed25519 AAAA"})
    monkeypatch.setattr(host_check_run, "look", lambda host, is_verifying: None)
    held, answers = [], {}

    def hold_until_both_are_asked(request_id):
        held.append(request_id)
        if len(set(held)) == 2:
            for each in held:
                host_check_run.observe(each)

    fake_queue.answer = hold_until_both_are_asked

    def ask(do):
        with connection():
            answers[do] = host_checks.ask(host, {"do": do}, 20)

    threads = [threading.Thread(target=ask, args=(do,)) for do in ("read-key", "check")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == {"read-key": {"host_key": "ssh-ed25519 AAAA"}, "check": {}}


def test_without_a_worker_the_zone_is_named(fake_queue, host):
    with pytest.raises(Unavailable) as refused:
        host_checks.HostCheckController(ANN).check("web-1")
    assert refused.value.code == "no-worker" and "No worker of zone default" in str(refused.value)
    assert WorkerRequest.select().count() == 0


def test_a_worker_that_waits_for_the_host_is_named(fake_queue, host):
    fake_queue.answer = lambda request_id: (
        WorkerRequest.update(worker="machine:7").where(WorkerRequest.id == request_id).execute()
    )
    with pytest.raises(Unavailable) as refused:
        host_checks.HostCheckController(ANN).check("web-1")
    assert refused.value.code == "host-slow"
    assert "web-1: Worker machine:7 had no answer within" in str(refused.value)
    assert len(fake_queue.enqueued) == 1, "what a worker has taken is not given to another"


def test_a_host_that_is_deleted_meanwhile(fake_queue, host):
    fake_queue.answer = lambda request_id: Host.delete().where(Host.name == "web-1").execute()
    with pytest.raises(NotFound):
        host_checks.HostCheckController(ANN).check("web-1")


def test_what_nobody_waits_for_is_forgotten_and_a_late_message_does_nothing(fake_queue, host):
    old = clock() - requests.FORGET_AFTER_MS - 1
    left = WorkerRequest.create(zone="default", host=host, created_at=old)
    fake_queue.answer = lambda request_id: requests.carry_out(request_id, lambda request: {})
    requests.send("windlass.observe_host", ["default"], 10, host=host)
    assert WorkerRequest.select().count() == 0
    requests.carry_out(left.id, lambda request: pytest.fail("nobody waits for it"))
