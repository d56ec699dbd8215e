"""Pausing, resuming, and single hosts of a paused deploy as callers see them."""

import pytest

from controllers.jobs import queue
from models import Deploy, HostRun
from tests import factories
from tests.client import assert_problem


@pytest.fixture(autouse=True)
def sent_tasks(monkeypatch):
    """What is enqueued: (task, ids)."""
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, ids)))
    return enqueued


@pytest.fixture
def deploy(api):
    """A running deploy of two hosts, the first of which failed."""
    made = factories.deploy([factories.host("web-1"), factories.host("web-2")], state="running")
    HostRun.update(state="failed", message="no").where(
        HostRun.deploy == made, HostRun.id == HostRun.select(HostRun.id).order_by(HostRun.id).limit(1)
    ).execute()
    return made


def test_pause_and_resume(api, deploy, sent_tasks):
    path = f"/deploys/{deploy.id}"
    paused = api.post(f"{path}/pause")
    assert (paused.status_code, paused.json["state"], paused.json["reason"]) == (200, "paused", "paused by admin")
    assert_problem(api.post(f"{path}/pause"), 409, "not-pausable")
    resumed = api.post(f"{path}/resume")
    assert (resumed.status_code, resumed.json["state"], resumed.json["reason"]) == (200, "running", None)
    assert_problem(api.post(f"{path}/resume"), 409, "not-resumable")
    assert sent_tasks == [("windlass.reconcile", (deploy.id,))] * 2
    history = api.get(f"{path}/events").json["items"]
    assert [event["data"]["state"] for event in history] == ["paused", "running"]


def test_a_paused_deploy_can_be_cancelled_and_not_paused_again(api, deploy):
    api.post(f"/deploys/{deploy.id}/pause")
    assert api.post(f"/deploys/{deploy.id}/cancel").status_code == 200
    assert_problem(api.post(f"/deploys/{deploy.id}/resume"), 409, "not-resumable")
    assert Deploy.get_by_id(deploy.id).cancel_requested_by == "admin"


def test_one_host_is_tried_again_or_left_out_while_paused(api, deploy):
    path = f"/deploys/{deploy.id}"
    assert_problem(api.post(f"{path}/hosts/web-1/retry"), 409, "not-paused")
    api.post(f"{path}/pause")
    assert api.post(f"{path}/hosts/web-1/retry").json["state"] == "pending"
    skipped = api.post(f"{path}/hosts/web-1/skip").json
    assert (skipped["state"], skipped["message"]) == ("skipped", "left out by admin")
    assert_problem(api.post(f"{path}/hosts/web-1/skip"), 409, "not-skippable")
    assert_problem(api.post(f"{path}/hosts/web-2/retry"), 409, "not-retryable")
    assert [run["state"] for run in api.get(f"{path}/hosts").json["items"]] == ["skipped", "pending"]


@pytest.mark.parametrize(
    "path",
    [
        "/deploys/99/pause",
        "/deploys/99/resume",
        "/deploys/99/hosts/web-1/skip",
        "/deploys/1/hosts/web-9/skip",
        "/deploys/1/hosts/a%00b/retry",
    ],
)
def test_what_is_not_there_is_told(api, deploy, path):
    assert_problem(api.post(path), 404, "not-found")


@pytest.mark.parametrize("action", ["pause", "resume", "hosts/web-1/skip", "hosts/web-1/retry"])
def test_they_take_nothing_and_need_a_caller(api, anonymous, deploy, action):
    assert_problem(api.post(f"/deploys/{deploy.id}/{action}", {"for": 5}), 422, "invalid")
    assert_problem(anonymous.post(f"/deploys/{deploy.id}/{action}"), 401, "unauthenticated")
    assert Deploy.get_by_id(deploy.id).state == "running"
