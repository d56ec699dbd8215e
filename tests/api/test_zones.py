"""/zones as callers see it."""

import pytest

from controllers.catalog import zones
from models import Zone
from tests import factories
from tests.client import assert_problem


@pytest.fixture
def sent_tasks(monkeypatch):
    """What is enqueued: (task, ids, zone)."""
    enqueued = []
    monkeypatch.setattr(zones.queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, ids, zone)))
    return enqueued


def test_the_first_start_makes_a_zone_once(api):
    zones.ensure_default()
    zones.ensure_default()
    assert [zone["name"] for zone in api.get("/zones").json["items"]] == ["default"]


def test_a_new_zone_asks_its_workers_for_a_key(api, sent_tasks):
    made = api.post("/zones", {"name": "dmz"})
    assert (made.status_code, made.json["public_key"]) == (201, None)
    assert sent_tasks == [("windlass.prepare_zone", (Zone.get(Zone.name == "dmz").id,), "dmz")]
    Zone.update(public_key="ssh-ed25519 AAAA windlass-dmz").execute()
    assert api.get("/zones/dmz").json["public_key"] == "ssh-ed25519 AAAA windlass-dmz"


def test_a_replaced_key_is_told_anew(api, sent_tasks):
    zone = factories.zone("dmz")
    Zone.update(public_key="ssh-ed25519 OLD").execute()
    tag = api.get("/zones/dmz").headers["ETag"]
    assert api.patch("/zones/dmz", {"public_key": None}, headers={"If-Match": tag}).json["public_key"] is None
    assert sent_tasks == [("windlass.prepare_zone", (zone.id,), "dmz")]
    assert_problem(api.patch("/zones/dmz", {}, headers={"If-Match": tag}), 412, "precondition-failed")


@pytest.mark.parametrize("change", [{"public_key": "ssh-ed25519 AAAA"}, {"name": "x"}])
def test_nobody_but_a_worker_says_what_the_key_is(api, sent_tasks, change):
    factories.zone("dmz")
    assert_problem(api.patch("/zones/dmz", change), 422, "invalid")
    assert sent_tasks == []


@pytest.mark.parametrize("name", ["", "A", "../x", "a.b", "x" * 41, None, 1])
def test_names_are_safe_for_files_and_queues(api, sent_tasks, name):
    assert_problem(api.post("/zones", {"name": name}), 422, "invalid")
    assert (Zone.select().count(), sent_tasks) == (0, [])


def test_a_second_one_is_refused_and_enqueues_nobody(api, sent_tasks):
    factories.zone("dmz")
    assert_problem(api.post("/zones", {"name": "dmz"}), 409, "already-exists")
    assert sent_tasks == []


def test_one_with_hosts_is_not_deleted(api):
    host = factories.host("web-1")
    problem = assert_problem(api.delete("/zones/default"), 409, "in-use")
    assert problem["used_by"] == ["host web-1"]
    host.delete_instance()
    assert api.delete("/zones/default").status_code == 204


def test_a_name_that_is_mistyped_is_told_the_nearest(api):
    assert api.post("/zones", {"name": "backstage"}).status_code == 201
    detail = assert_problem(api.get("/zones/bakstage"), 404, "not-found")["detail"]
    assert detail == "There is no zone 'bakstage'; did you mean 'backstage'?"
    assert assert_problem(api.get("/zones/x-x-x"), 404, "not-found")["detail"] == "There is no zone 'x-x-x'."
