"""When hosts are looked at for drift without anybody asking, and what of a look is kept."""

import pytest

from controllers.fleet import host_check_run, placements
from models import Event, Host, HostRun, Placement
from models.db import clock, now
from tests import factories

pytestmark = pytest.mark.both_databases

TEXTS = {"supervisor-a": "program", "supervisor-b": None, "nginx": "site"}


def seen(**changes):
    """Return an agent's answer of an application that runs as it was deployed."""
    slot = {
        "release": "r" * 64,
        "environment": "e" * 64,
        "version": "v1",
        "spec_digest": "s",
        "binding": "socket",
        "serving": True,
        "processes": {"web": {"state": "RUNNING", "pid": 1}},
        "variables": {"PASSWORD": "hashed-secret"},
    }
    answer = {
        "current": "r" * 64,
        "active": "a",
        "slots": {"a": slot, "b": None},
        "texts": TEXTS,
        "releases": ["r" * 64],
        "environments": ["e" * 64],
        "damaged": [],
        "ports": {"a": 1, "b": 2},
    }
    return {**answer, **changes}


@pytest.fixture
def enqueued(monkeypatch):
    """The hosts that were enqueued."""
    found = []
    monkeypatch.setattr("controllers.jobs.queue.enqueue", lambda task, host_id, zone=None: found.append(host_id))
    return found


def place(host, **answer):
    """Write what a rollout left on a host."""
    placements.left_behind(factories.application(), factories.environment(), host, seen(**answer))
    return Placement.get(Placement.host == host)


def look(placement, began_at=None, **answer):
    """Keep what a look found; returns the placement afterwards."""
    placements.compare(placement, placement.host, seen(**answer), clock() if began_at is None else began_at, False)
    return Placement.get_by_id(placement.id)


def test_looks_are_spread_over_the_interval_and_only_hosts_in_service_with_something_on_them_are_due(
    database, settings, enqueued
):
    hosts = [factories.host() for _ in range(9)]
    for host in hosts[:7]:
        place(host)
    hosts[6].maintenance_reason = "disk"
    hosts[6].save()
    settings.drift.interval_s, settings.worker.sweep_s = 6, 2
    host_check_run.WATCH.enqueue_due()
    assert enqueued == [], "the first look comes after one interval"
    Host.update(look_due_at=now() - 1).where(Host.look_due_at.is_null(False)).execute()
    host_check_run.WATCH.enqueue_due()
    assert len(enqueued) == 3, "a third of six hosts, and one"
    host_check_run.WATCH.enqueue_due()
    assert sorted(enqueued) == sorted(host.id for host in hosts[:6]), "each once"
    settings.drift.interval_s = 0
    Host.update(look_enqueued_at=None).execute()
    host_check_run.WATCH.enqueue_due()
    assert len(enqueued) == 6, "0 switches it off"


def test_a_look_that_is_enqueued_many_times_takes_place_once(database, monkeypatch):
    host, looks = factories.host(), []
    monkeypatch.setattr(host_check_run, "look", lambda host: looks.append(host.name))
    Host.update(look_due_at=now() - 1).execute()
    for _ in range(10):
        host_check_run.watch(host.id)
    assert looks == [host.name]


def test_drift_begins_and_ends_with_one_event_each_and_keeps_its_beginning(database):
    placement = place(factories.host())
    drifted = look(placement, texts={**TEXTS, "nginx": "edited"})
    assert [item["kind"] for item in drifted.drift] == ["nginx"]
    again = look(drifted, texts={**TEXTS, "nginx": "edited again"})
    assert again.drifted_since == drifted.drifted_since
    over = look(again)
    assert (over.drift, over.drifted_since) == ([], None)
    events_of_drift = [event.data["drifted"] for event in Event.select().where(Event.kind == "drift").order_by(Event.id)]
    assert events_of_drift == [True, False]
    assert placements.drifted() == {}


def test_what_windlass_itself_was_doing_meanwhile_is_no_drift(database):
    host = factories.host()
    placement = place(host)
    began_at = clock()
    run = factories.deploy([host], state="running").host_runs.get()
    HostRun.update(state="running").where(HostRun.id == run.id).execute()
    assert look(placement, began_at, current="x" * 64).drift == []
    HostRun.update(state="failed", ended_at=clock()).where(HostRun.id == run.id).execute()
    assert look(placement, began_at, current="x" * 64).drift == [], "it ended while the host was looked at"
    HostRun.update(ended_at=1).where(HostRun.id == run.id).execute()
    assert look(placement, current="x" * 64).drift


def test_no_digest_of_a_variable_is_kept(database):
    assert "hashed-secret" not in str(place(factories.host()).detail["slots"])


def test_a_host_that_nothing_was_left_on_is_not_compared(database):
    placement = place(factories.host(), current=None, active=None)
    assert placement.recorded is None
    assert look(placement).drift == []


@pytest.mark.parametrize(
    ("answer", "kind", "detail"),
    [
        ({"current": None}, "release", "the link `current` is gone"),
        ({"active": None}, "release", "nothing answers; v1 should"),
        ({"releases": []}, "release", "is gone from the disk"),
        ({"environments": []}, "environment", "is gone from the disk"),
        ({"damaged": [["environment", "e" * 64, "bin/tool"]]}, "files", "bin/tool of the environment is missing"),
        ({"texts": {**TEXTS, "nginx": None}}, "nginx", "nginx's site is gone"),
        ({"texts": {**TEXTS, "supervisor-a": "x"}}, "supervisord", "supervisord's program file was edited"),
    ],
)
def test_each_kind_of_drift_is_told(database, answer, kind, detail):
    found = look(place(factories.host()), **answer).drift
    assert [(item["kind"], detail in item["message"]) for item in found] == [(kind, True)], found


@pytest.mark.parametrize(
    ("processes", "serving", "detail"),
    [
        ({"web": {"state": "FATAL", "pid": 0}}, False, "web is FATAL"),
        ({}, False, "web is unknown to supervisord"),
        ({"web": {"state": "RUNNING", "pid": 1}}, False, "nothing answers where it should listen"),
        (
            {"web": {"state": "RUNNING", "pid": 1}, "extra": {"state": "RUNNING", "pid": 2}},
            True,
            "extra is RUNNING; it was not deployed",
        ),
    ],
)
def test_processes_that_are_not_as_deployed_are_told(database, processes, serving, detail):
    slot = {**seen()["slots"]["a"], "processes": processes, "serving": serving}
    found = look(place(factories.host()), slots={"a": slot, "b": None}).drift
    assert [item["kind"] for item in found] == ["processes"] and detail in found[0]["message"]
