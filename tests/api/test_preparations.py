"""/hosts/<name>/prepare and /preparations: what is refused, what is written down; no host is needed."""

import pytest

from controllers.jobs import queue, transitions
from models import AuditEntry, Preparation
from models.db import now
from tests import factories
from tests.client import assert_problem

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHU4"


@pytest.fixture(autouse=True)
def enqueued(monkeypatch):
    """What workers were told."""
    sent = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: sent.append((task, *ids, zone)))
    return sent


@pytest.fixture
def host(database):
    return factories.host("web-1", host_key=KEY)


def prepare(api, **fields):
    answer = api.post("/hosts/web-1/prepare", fields)
    assert answer.status_code == 202, answer.get_data(as_text=True)
    return answer


def test_it_is_written_down_audited_and_enqueued_in_the_hosts_zone(api, host, enqueued):
    answer = prepare(api, user="admin", check=True)
    made = answer.json
    assert (made["host"], made["user"], made["check"], made["state"]) == ("web-1", "admin", True, "pending")
    assert answer.headers["Location"] == f"/api/v1/preparations/{made['id']}"
    assert enqueued == [("windlass.prepare_host", made["id"], "default")]
    assert api.get(f"/preparations/{made['id']}").json == made
    assert api.get("/preparations?host=web-1").json["items"] == [made]
    entry = AuditEntry.get(AuditEntry.action == "host.prepare")
    assert (entry.actor, entry.subject) == ("admin", "web-1")
    assert entry.data == {"user": "admin", "check": True, "preparation": made["id"]}


@pytest.mark.parametrize(
    "columns, code, detail",
    [
        ({}, "host-untrusted", "windlass hosts trust web-2"),
        ({"host_key": KEY, "transport": "local"}, "not-over-ssh", "etc/provision.sh target"),
    ],
)
def test_a_host_that_cannot_be_prepared_is_refused_with_what_to_do(api, host, enqueued, columns, code, detail):
    factories.host("web-2", **columns)
    assert detail in assert_problem(api.post("/hosts/web-2/prepare", {}), 409, code)["detail"]
    assert not Preparation.select().exists() and enqueued == []


@pytest.mark.parametrize("fields", [{"user": "-x"}, {"check": "yes"}, {"become": "su"}])
def test_wrong_wishes_are_refused(api, host, fields):
    assert_problem(api.post("/hosts/web-1/prepare", fields), 422, "invalid")


def test_a_host_that_is_not_there(api, database):
    assert_problem(api.post("/hosts/web-1/prepare", {}), 404, "not-found")
    assert_problem(api.get("/preparations/1"), 404, "not-found")


def test_one_at_a_time_and_the_host_stays_meanwhile(api, host):
    first = prepare(api).json
    assert assert_problem(api.post("/hosts/web-1/prepare", {}), 409, "being-prepared")["preparation"] == first["id"]
    assert_problem(api.delete("/hosts/web-1"), 409, "in-use")
    cancelled = api.post(f"/preparations/{first['id']}/cancel", {}).json
    assert (cancelled["state"], cancelled["message"]) == ("cancelled", "cancelled by admin before it began")
    assert_problem(api.post(f"/preparations/{first['id']}/cancel", {}), 409, "not-cancellable")
    assert prepare(api).json["id"] != first["id"]


def test_the_history_is_kept_when_the_host_goes(api, host):
    made = prepare(api).json
    row = Preparation.get_by_id(made["id"])
    transitions.move_preparation(row, "running", started_at=now())
    transitions.move_preparation(row, "succeeded", changed=["Make the user deploy"])
    assert api.delete("/hosts/web-1").status_code == 204
    assert api.get(f"/preparations/{made['id']}").json["changed"] == ["Make the user deploy"]
    items = api.get(f"/preparations/{made['id']}/events").json["items"]
    assert [item["data"]["state"] for item in items] == ["pending", "running", "succeeded"]


def test_the_same_request_again_is_answered_with_the_first(api, host):
    again = [api.post("/hosts/web-1/prepare", {}, headers={"Idempotency-Key": "k"}).json["id"] for _ in range(2)]
    assert again[0] == again[1]
