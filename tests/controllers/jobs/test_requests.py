"""What somebody waits for is found out once, by one worker, however often it is enqueued; and it is told who did not answer."""

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


class Message:
    """Hears what is enqueued; `answer(request_id)` is what the worker that hears it does."""

    def __init__(self):
        self.enqueued, self.answer = [], lambda worker_request_id: None

    def __call__(self, task, worker_request_id, zone):
        self.enqueued.append((task, zone))
        self.answer(worker_request_id)


@pytest.fixture
def message(database, monkeypatch):
    """The message of all zones; nobody waits long, and it is enqueued again at every look."""
    made = Message()
    monkeypatch.setattr(queue, "enqueue", made)
    monkeypatch.setattr(requests, "ENQUEUE_AGAIN_S", 0)
    monkeypatch.setattr(requests, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(host_checks, "PATIENCE_S", 0.3)
    return made


@pytest.fixture
def host(message):
    """A host."""
    return factories.host(name="web-1")


def test_a_message_that_nobody_heard_is_rung_again(message, host):
    def hear_the_third(worker_request_id):
        if len(message.enqueued) == 3:
            requests.carry_out(worker_request_id, lambda worker_request: {"of": worker_request.host.name})

    message.answer = hear_the_third
    (worker_request,) = requests.send("windlass.observe_host", ["default"], 10, host=host)
    assert (worker_request.answer, worker_request.worker) == ({"of": "web-1"}, workers.NAME)
    assert message.enqueued == [("windlass.observe_host", "default")] * 3
    assert WorkerRequest.select().count() == 0


def test_two_workers_that_hear_of_it_find_it_out_once(message, host):
    found = []

    def hear_twice(worker_request_id):
        for _ in range(2):
            requests.carry_out(worker_request_id, lambda worker_request: found.append(worker_request.id) or {})

    message.answer = hear_twice
    requests.send("windlass.observe_host", ["default"], 10, host=host)
    assert len(found) == 1


def test_two_questions_about_one_host_get_each_its_own_answer(message, host, monkeypatch):
    monkeypatch.setattr(host_check_run, "read_key", lambda host: {"host_key": "ssh-ed25519 AAAA"})
    monkeypatch.setattr(host_check_run, "look", lambda host, is_verifying: None)
    held, answers = [], {}

    def hold_until_both_are_asked(worker_request_id):
        held.append(worker_request_id)
        if len(set(held)) == 2:
            for each in held:
                host_check_run.observe(each)

    message.answer = hold_until_both_are_asked

    def ask(do):
        with connection():
            answers[do] = host_checks.ask(host, {"do": do}, 20)

    threads = [threading.Thread(target=ask, args=(do,)) for do in ("read-key", "check")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == {"read-key": {"host_key": "ssh-ed25519 AAAA"}, "check": {}}


def test_without_a_worker_the_zone_is_named(message, host):
    with pytest.raises(Unavailable) as refused:
        host_checks.HostCheckController(ANN).check("web-1")
    assert refused.value.code == "no-worker" and "No worker of zone default" in str(refused.value)
    assert WorkerRequest.select().count() == 0


def test_a_worker_that_waits_for_the_host_is_named(message, host):
    message.answer = lambda worker_request_id: (
        WorkerRequest.update(worker="machine:7").where(WorkerRequest.id == worker_request_id).execute()
    )
    with pytest.raises(Unavailable) as refused:
        host_checks.HostCheckController(ANN).check("web-1")
    assert refused.value.code == "host-slow"
    assert "web-1: Worker machine:7 had no answer within" in str(refused.value)
    assert len(message.enqueued) == 1, "what a worker has taken is not given to another"


def test_a_host_that_is_deleted_meanwhile(message, host):
    message.answer = lambda worker_request_id: Host.delete().where(Host.name == "web-1").execute()
    with pytest.raises(NotFound):
        host_checks.HostCheckController(ANN).check("web-1")


def test_what_nobody_waits_for_is_forgotten_and_a_late_message_does_nothing(message, host):
    old = clock() - requests.FORGET_AFTER_MS - 1
    left = WorkerRequest.create(zone="default", host=host, created_at=old)
    message.answer = lambda worker_request_id: requests.carry_out(worker_request_id, lambda worker_request: {})
    requests.send("windlass.observe_host", ["default"], 10, host=host)
    assert WorkerRequest.select().count() == 0
    requests.carry_out(left.id, lambda worker_request: pytest.fail("nobody waits for it"))
