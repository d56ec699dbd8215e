"""/plans as callers see them, before any host was looked at."""

import pytest

from controllers.jobs import queue
from controllers.rollout import plans
from models import Plan, PlanHost
from tests.client import assert_problem

FIELDS = {"application": "shop", "release": "v1", "environment": "production"}


@pytest.fixture(autouse=True)
def sent_tasks(monkeypatch):
    """What is enqueued; nobody answers, and nobody waits for an answer."""
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, ids)))
    monkeypatch.setattr(plans, "PATIENCE_S", 0)
    return enqueued


def test_a_host_in_maintenance_is_not_looked_at_and_told_apart(api, target, sent_tasks):
    api.post("/hosts/web-1/maintenance", {"reason": "new disk"})
    made = api.post("/plans", FIELDS)
    assert (made.status_code, made.json["state"]) == (201, "observing")
    assert made.json["skipped"] == [{"host": "web-1", "reason": "in maintenance: new disk"}]
    rows = list(PlanHost.select())
    assert [row.host_name for row in rows] == ["web-2"]
    assert sent_tasks == [("windlass.plan_host", (rows[0].id,))]


def test_what_a_deploy_keeps_of_itself_waits_for_no_host_in_maintenance(api, target):
    api.post("/hosts/web-1/maintenance", {"reason": "new disk"})
    plan = api.get(f"/plans/{api.post('/deploys', FIELDS).json['plan']}").json
    assert [item["host"] for item in plan["skipped"]] == ["web-1"]
    assert [row.host_name for row in PlanHost.select()] == ["web-2"]


def test_without_a_host_in_service_there_is_nothing_to_plan(api, target, sent_tasks):
    for name in ("web-1", "web-2"):
        api.post(f"/hosts/{name}/maintenance", {"reason": "new disks"})
    assert_problem(api.post("/plans", FIELDS), 409, "no-hosts")
    assert (Plan.select().count(), sent_tasks) == (0, [])
