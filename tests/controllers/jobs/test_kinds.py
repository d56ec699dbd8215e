"""A new kind of work is one declaration and one class: sweep, queue, Celery, claims and ends follow from that."""

import threading

import pytest
from peewee import CharField, OperationalError, TextField

from controllers import sweep
from controllers.jobs import kinds, leases, queue, states, workers
from controllers.jobs.attempt import CANCELLED, HANDED_OVER, Attempt
from controllers.jobs.kinds import Kind
from models.db import database as models_database
from models.db import now
from models.leased import LeasedModel

TASK = "windlass.greet"


class Greeting(LeasedModel):
    """What this ninth kind works on."""

    name = CharField()
    state = CharField(default="waiting")
    message = TextField(null=True)


class GreetingAttempt(Attempt):
    """One attempt to greet somebody."""

    model, what = Greeting, "greeting"
    steps = ()

    @classmethod
    def may_begin(cls):
        return (Greeting.state == "waiting") & leases.is_due(Greeting)

    def work(self):
        for step in self.steps:
            step(self)
        if self.stopped_because:
            self.put_back()
        else:
            states.move(self.row, "done", guard=self.is_held(), message=f"Hello {self.row.name}", **leases.FREE)

    def broke(self, message):
        states.move(self.row, "failed", guard=self.is_held(), message=message, **leases.FREE)

    def is_cancelled(self):
        return Greeting.get_by_id(self.row.id).message == "cancel"


@pytest.fixture
def greeting(database, monkeypatch):
    """The kind, declared for the length of a test; what is enqueued: (task, id)."""
    models_database.create_tables([Greeting])
    monkeypatch.setitem(states.TABLES, Greeting, {"waiting": {"done", "failed"}, "done": set(), "failed": set()})
    monkeypatch.setattr(GreetingAttempt, "steps", ())
    monkeypatch.setattr(kinds, "ALL", {})
    made = kinds.declare(Kind(TASK, run=GreetingAttempt.carry_out, model=Greeting, is_due=GreetingAttempt.may_begin, most=2))
    yield made
    models_database.drop_tables([Greeting])


@pytest.fixture
def sent_tasks(monkeypatch):
    """What is enqueued: (task, id)."""
    sent = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: sent.append((task, *ids)))
    return sent


def fresh(row):
    return Greeting.get_by_id(row.id)


def test_the_sweep_enqueues_what_is_due_so_many_at_once_and_not_all_the_time(greeting, sent_tasks):
    rows = [Greeting.create(name=name) for name in ("ann", "ben", "cid")]
    Greeting.create(name="later", due_at=now() + 60_000)
    Greeting.create(name="done", state="done")
    sweep.sweep()
    assert sent_tasks == [(TASK, row.id) for row in rows[:2]]
    sweep.sweep()
    assert sent_tasks == [(TASK, row.id) for row in rows], "those that wait in the queue keep nobody out"
    sweep.sweep()
    assert len(sent_tasks) == 3
    Greeting.update(enqueued_at=now() - greeting.again_ms - 1).where(Greeting.id == rows[1].id).execute()
    sweep.sweep()
    assert sent_tasks[3:] == [(TASK, rows[1].id)], "a message was lost"


def test_celery_is_given_the_task_by_its_name(greeting):
    from batch.registration import register

    (task,) = register(greeting)
    row = Greeting.create(name="ann")
    assert queue.celery().tasks[TASK].name == TASK
    task(row.id)
    assert (fresh(row).state, fresh(row).message, fresh(row).attempt) == ("done", "Hello ann", 1)
    assert fresh(row).lease_owner is None and greeting.due() == []


def test_an_attempt_that_fails_inside_windlass_says_so_and_gives_the_lease_back(greeting, monkeypatch):
    def fail(attempt):
        raise ValueError("no such name")

    monkeypatch.setattr(GreetingAttempt, "steps", [fail])
    row = Greeting.create(name="ann")
    greeting.carry_out(row.id)
    expected = f"Windlass itself failed: ValueError: no such name. See the worker's log for greeting {row.id}."
    assert (fresh(row).state, fresh(row).message, fresh(row).lease_owner) == ("failed", expected, None)


def test_where_the_database_took_no_write_it_is_tried_again_soon(greeting, monkeypatch):
    def fail(attempt):
        raise OperationalError("the database is away")

    monkeypatch.setattr(GreetingAttempt, "steps", [fail])
    row = Greeting.create(name="ann")
    greeting.carry_out(row.id)
    assert fresh(row).state == "waiting" and fresh(row).lease_owner is None and fresh(row).due_at is not None


def test_who_lost_the_lease_writes_no_end(greeting, monkeypatch):
    def take_over(attempt):
        Greeting.update(lease_owner="elsewhere", epoch=Greeting.epoch + 1).execute()

    monkeypatch.setattr(GreetingAttempt, "steps", [take_over])
    row = Greeting.create(name="ann")
    greeting.carry_out(row.id)
    assert (fresh(row).state, fresh(row).lease_owner) == ("waiting", "elsewhere")


@pytest.mark.parametrize("why", [CANCELLED, HANDED_OVER])
def test_what_is_asked_meanwhile_is_noticed_at_the_next_heartbeat(greeting, settings, monkeypatch, why):
    settings.worker.lease_s = 0.5
    stopped = threading.Event()
    monkeypatch.setattr(GreetingAttempt, "interrupt", lambda self, why: stopped.set())

    def ask(attempt):
        if why == CANCELLED:
            Greeting.update(message="cancel").execute()
        else:
            monkeypatch.setattr(workers, "leaving", stopped_already)
        assert stopped.wait(30)
        assert attempt.stopped_because == why

    stopped_already = threading.Event()
    stopped_already.set()
    monkeypatch.setattr(GreetingAttempt, "steps", [ask])
    row = Greeting.create(name="ann")
    greeting.carry_out(row.id)
    assert fresh(row).state == "waiting" and fresh(row).lease_owner is None


def test_only_so_many_of_a_kind_run_at_once_and_whoever_leaves_lets_the_next_one_in(greeting, settings, sent_tasks):
    settings.worker.concurrency = 2
    scarce = Kind("windlass.scarce", greeting.run, Greeting, greeting.is_due, share=2)
    first, second = Greeting.create(name="ann"), Greeting.create(name="ben")
    with scarce.place() as is_free:
        assert is_free
        scarce.carry_out(first.id)
        assert fresh(first).state == "waiting", "there is no place"
    scarce.carry_out(first.id)
    assert fresh(first).state == "done" and sent_tasks == [("windlass.scarce", second.id)]
    kinds.places.cache_clear()


def test_what_the_broker_refuses_is_enqueued_by_the_next_sweep(greeting, monkeypatch):
    row = Greeting.create(name="ann")
    asked = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: bool(asked.append(ids)))
    sweep.sweep()
    sweep.sweep()
    assert asked == [(row.id,)] * 2 and fresh(row).enqueued_at is None
