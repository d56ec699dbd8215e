"""Maintenance of a target as callers see it; what happens on hosts is in tests/deploying."""

import pytest

from controllers.rollout import maintenance, maintenance_run
from models import MaintenanceHost, Target
from models.db import now
from tests import factories
from tests.client import assert_problem

PATH = "/applications/shop/targets/production/maintenance"
NGINX = {"sites": "/etc/nginx/sites", "command": ["nginx"], "listen": "80"}


@pytest.fixture(autouse=True)
def enqueued(monkeypatch):
    """What is enqueued, instead of enqueueing: [(task, id, zone)]."""
    found = []
    monkeypatch.setattr("controllers.jobs.queue.enqueue", lambda task, *ids, zone=None: found.append((task, *ids, zone)))
    return found


@pytest.fixture
def target(database):
    """shop in production on web-1 and web-2, both with nginx."""
    for name in ("web-1", "web-2"):
        host = factories.host(name)
        host.settings = {**host.settings, "nginx": NGINX}
        host.save()
    return Target.create(
        application=factories.application(),
        environment=factories.environment(),
        hosts=["web-1", "web-2"],
        strategy={},
        health={},
        created_at=now(),
        updated_at=now(),
    )


def test_a_target_is_open_at_first(api, target):
    assert api.get(PATH).json == {
        "enabled": False,
        "holder": None,
        "reason": None,
        "message": None,
        "retry_after_s": None,
        "since": None,
        "hosts": [],
    }
    assert_problem(api.delete(PATH), 404, "not-found")
    assert_problem(api.get("/applications/shop/targets/nowhere/maintenance"), 404, "not-found")


def test_it_is_closed_changed_and_opened_and_every_host_is_enqueued(api, target, enqueued):
    made = api.put(PATH, {"reason": "disk", "message": "Back soon"})
    assert made.status_code == 201
    assert (made.json["enabled"], made.json["holder"], made.json["retry_after_s"]) == (True, "admin", 300)
    assert [(host["host"], host["state"]) for host in made.json["hosts"]] == [
        ("web-1", "pending"),
        ("web-2", "pending"),
    ]
    maintenance_hosts = [maintenance_host.id for maintenance_host in MaintenanceHost.select().order_by(MaintenanceHost.id)]
    assert enqueued == [("windlass.maintain_host", maintenance_host, "default") for maintenance_host in maintenance_hosts]
    assert api.get("/status").json["items"][0]["maintenance"]["reason"] == "disk"
    again = api.put(PATH, {"retry_after_s": None})
    assert (again.status_code, again.json["reason"], again.json["retry_after_s"]) == (200, None, None)
    assert again.json["since"] == made.json["since"]
    tag = api.get(PATH).headers["ETag"]
    assert api.put(PATH, {"reason": "x"}, headers={"If-Match": tag}).status_code == 200
    assert_problem(api.put(PATH, {"reason": "y"}, headers={"If-Match": tag}), 412, "precondition-failed")
    assert_problem(api.delete("/applications/shop/targets/production"), 409, "in-use")
    opened = api.delete(PATH)
    assert (opened.status_code, opened.json["enabled"]) == (200, False)
    assert len(enqueued) == 8
    assert api.get("/status").json["items"][0]["maintenance"] is None
    assert_problem(api.delete(PATH), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"retry_after_s": 0}, "retry_after_s"),
        ({"retry_after_s": "soon"}, "retry_after_s"),
        ({"message": ""}, "message"),
        ({"message": "x" * 2001}, "message"),
        ({"page": "<html>"}, "page"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(api, target, body, field):
    problem = assert_problem(api.put(PATH, body), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert not api.get(PATH).json["enabled"]


def test_hosts_without_nginx_cannot_be_closed(api, target):
    factories.host("web-3")
    Target.update(hosts=["web-1", "web-3"]).execute()
    problem = assert_problem(api.put(PATH, {}), 409, "no-nginx")
    assert problem["hosts"] == ["web-3"] and "web-3 has none" in problem["detail"]
    assert not api.get(PATH).json["enabled"]


def test_a_maintenance_host_is_worked_on_by_one_until_it_is_done(api, target):
    api.put(PATH, {})
    first = MaintenanceHost.select().order_by(MaintenanceHost.id).first()
    claim = maintenance_run.MaintenanceAttempt.claim
    claimed = claim(first.id)
    assert claimed is not None and claim(first.id) is None
    maintenance_run.MaintenanceAttempt(claimed).put_back(number=claimed.maintenance.number)
    assert claim(first.id) is None, "done"
    assert api.get(PATH).json["hosts"][0]["state"] == "closed"
    api.delete(PATH)
    assert claim(first.id) is not None, "wanted otherwise now"


def test_the_sweep_enqueues_what_is_due_only(api, target, enqueued):
    api.put(PATH, {})
    enqueued.clear()
    maintenance_run.KIND.enqueue_due()
    assert enqueued == [], "enqueued a moment ago"
    MaintenanceHost.update(enqueued_at=None).execute()
    first, second = MaintenanceHost.select().order_by(MaintenanceHost.id)
    MaintenanceHost.update(due_at=now() + 60_000).where(MaintenanceHost.id == second.id).execute()
    maintenance_run.KIND.enqueue_due()
    assert enqueued == [("windlass.maintain_host", first.id, "default")]


def test_a_rollout_under_way_is_waited_for(api, target):
    api.put(PATH, {})
    maintenance_host = MaintenanceHost.select().order_by(MaintenanceHost.id).first()
    deploy = factories.deploy([maintenance_host.host], state="running")
    deploy.host_runs.get().update(state="running").execute()
    maintenance_run.KIND.carry_out(maintenance_host.id)
    maintenance_host = MaintenanceHost.get_by_id(maintenance_host.id)
    assert maintenance_host.due_at is not None and maintenance_host.lease_owner is None and not maintenance_host.has_failed


def test_the_names_of_the_last_deploy_are_closed_too(target):
    target.server_names = ["new.example.com"]
    target.save()
    assert maintenance.server_names(target.application_id, target.environment_id) == ["new.example.com"]
    factories.deploy([], state="succeeded", snapshot={"processes": {}, "server_names": ["old.example.com"]})
    assert maintenance.server_names(target.application_id, target.environment_id) == [
        "new.example.com",
        "old.example.com",
    ]
