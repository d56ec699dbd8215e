"""/deploys and /stream as callers see them."""

import json
import threading
from queue import Queue

import pytest

from controllers import events
from controllers.jobs import queue, transitions
from controllers.rollout.deploy_views import DeployViewController
from models import Deploy, HostRun, Release, Step
from models.db import connection
from tests import factories
from tests.client import assert_problem

FIELDS = {"application": "shop", "release": "v1", "environment": "production"}


@pytest.fixture(autouse=True)
def sent_tasks(monkeypatch):
    """What is enqueued: (task, ids)."""
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, ids)))
    return enqueued


def ended(state="succeeded", **columns):
    """Make a deploy that has ended, with its history."""
    deploy = factories.deploy([], state="running", **columns)
    transitions.move_deploy(deploy, state)
    return deploy


def test_a_deploy_is_made_and_enqueued(api, target, sent_tasks):
    answer = api.post("/deploys", {**FIELDS, "comment": "Fixes the cart.\nReally."})
    assert answer.status_code == 201
    deploy = answer.json
    assert answer.headers["Location"] == f"/api/v1/deploys/{deploy['id']}"
    assert {
        name: deploy[name]
        for name in ("application", "release", "environment", "state", "requested_by", "comment", "previous_release")
    } == {
        **FIELDS,
        "state": "queued",
        "requested_by": "admin",
        "comment": "Fixes the cart.\nReally.",
        "previous_release": None,
    }
    assert (deploy["progress"], deploy["strategy"]["kind"], deploy["strategy"]["pause_s"]) == (
        {"total": 2, "done": 0, "failed": 0, "switched": 0},
        "rolling",
        3,
    )
    assert sent_tasks == [("windlass.reconcile", (deploy["id"],))]
    assert api.get(f"/deploys/{deploy['id']}").json == deploy
    runs = api.get(f"/deploys/{deploy['id']}/hosts").json["items"]
    assert [(run["host"], run["state"], run["wave"], run["steps"][0]["name"]) for run in runs] == [
        ("web-1", "pending", 0, "connect"),
        ("web-2", "pending", 1, "connect"),
    ]


def test_its_hosts_come_a_page_at_a_time_in_the_order_in_which_they_go(api):
    hosts = [factories.host(f"web-{number}") for number in (3, 1, 2)]
    deploy = factories.deploy(hosts, {"kind": "rolling", "batch": 2})
    first = HostRun.get(HostRun.deploy == deploy)
    for attempt in (1, 2):
        Step.create(host_run=first, attempt=attempt, position=0, name="connect", state="done", started_at=attempt)
    HostRun.update(attempt=2).where(HostRun.id == first.id).execute()
    page = api.get(f"/deploys/{deploy.id}/hosts?limit=2").json
    assert [(run["host"], run["wave"]) for run in page["items"]] == [("web-3", 0), ("web-1", 0)]
    assert [step["state"] for step in page["items"][0]["steps"][:2]] == ["done", "pending"]
    rest = api.get(f"/deploys/{deploy.id}/hosts?limit=2&after={page['next']}").json
    assert [(run["host"], run["wave"]) for run in rest["items"]] == [("web-2", 1)] and rest["next"] is None


def test_its_strategy_overlays_the_targets(api, target):
    strategy = api.post("/deploys", {**FIELDS, "strategy": {"batch": "100%", "on_failure": "stop"}}).json["strategy"]
    assert (strategy["kind"], strategy["batch"], strategy["pause_s"], strategy["on_failure"]) == (
        "rolling",
        "100%",
        3,
        "stop",
    )
    assert api.get("/applications/shop/targets/production").json["strategy"]["batch"] == 1


def test_latest_is_the_newest_release_that_is_ready(api, target):
    factories.release()
    factories.release(state="building")
    assert api.post("/deploys", {**FIELDS, "release": "latest"}).json["release"] == "v2"


@pytest.mark.parametrize(
    "change, status, code",
    [
        ({"application": "gone"}, 404, "not-found"),
        ({"environment": "moon"}, 404, "not-found"),
        ({"release": "v9"}, 404, "not-found"),
        ({"release": "v2"}, 409, "release-not-ready"),
    ],
)
def test_what_it_needs_must_be_there(api, target, sent_tasks, change, status, code):
    factories.release(state="building")
    assert_problem(api.post("/deploys", {**FIELDS, **change}), status, code)
    assert (Deploy.select().count(), sent_tasks) == (0, [])


def test_without_a_ready_release_there_is_no_latest(api, target):
    Release.update(state="failed").execute()
    assert_problem(api.post("/deploys", {**FIELDS, "release": "latest"}), 409, "no-ready-release")


def test_a_target_without_hosts_is_refused(api, target):
    api.put("/applications/shop/targets/production", {"hosts": {"tags": ["later"]}})
    assert_problem(api.post("/deploys", FIELDS), 409, "no-hosts")
    assert Deploy.select().count() == 0


def test_a_host_in_maintenance_is_skipped_with_its_reason_and_the_others_go(api, target):
    api.post("/hosts/web-1/maintenance", {"reason": "new disk"})
    deploy = api.post("/deploys", FIELDS).json
    runs = api.get(f"/deploys/{deploy['id']}/hosts").json["items"]
    assert [(run["host"], run["state"], run["message"]) for run in runs] == [
        ("web-2", "pending", None),
        ("web-1", "skipped", "in maintenance: new disk"),
    ]


def test_a_target_whose_hosts_are_all_in_maintenance_is_refused(api, target, sent_tasks):
    for name in ("web-1", "web-2"):
        api.post(f"/hosts/{name}/maintenance", {"reason": "new disks"})
    refused = assert_problem(api.post("/deploys", FIELDS), 409, "no-hosts")
    assert "shop in production" in refused["detail"]
    old, new = factories.release(), factories.release()
    back = ended(release=new, previous_release=old)
    assert_problem(api.post(f"/deploys/{back.id}/rollback"), 409, "no-hosts")
    assert (Deploy.select().count(), sent_tasks) == (1, [])


def test_everything_that_is_wrong_is_told_at_once(api, target):
    answer = api.post(
        "/deploys",
        {
            "application": "Shop",
            "release": "--x",
            "strategy": {"kind": "blue-green", "batch": -1, "x": 1},
            "comment": "\x1b[2J",
            "host": "web-1",
        },
    )
    fields = {error["field"] for error in assert_problem(answer, 422, "invalid")["errors"]}
    assert {
        "application",
        "release",
        "environment",
        "strategy.kind",
        "strategy.batch",
        "strategy.x",
        "comment",
        "host",
    } == fields


def test_they_are_listed_newest_first_and_filtered(api):
    factories.environment("staging", 1)
    other = factories.application("other")
    made = [
        factories.deploy([], state="succeeded"),
        factories.deploy([], state="failed"),
        factories.deploy([], release=factories.release(other), state="failed"),
        factories.deploy([], state="succeeded", environment=factories.environment("staging")),
    ]
    ids = [deploy.id for deploy in made]

    def listed(query=""):
        return [deploy["id"] for deploy in api.get(f"/deploys?{query}").json["items"]]

    assert listed() == ids[::-1]
    assert listed("application=other") == [ids[2]]
    assert listed("application=shop&environment=production&state=failed") == [ids[1]]
    assert listed("state=paused") == []
    first = api.get("/deploys?limit=3").json
    assert [deploy["id"] for deploy in api.get(f"/deploys?limit=3&after={first['next']}").json["items"]] == [ids[0]]
    assert_problem(api.get("/deploys?status=failed"), 422, "invalid")


@pytest.mark.parametrize("path", ["/deploys/x", "/deploys/-1", "/deploys/1.5", "/deploys/9999999999999999999999"])
def test_a_number_is_a_number(api, path):
    assert_problem(api.get(path), 404, "not-found")


# Changing its course.


def test_cancelling(api, target, sent_tasks):
    number = api.post("/deploys", FIELDS).json["id"]
    answer = api.post(f"/deploys/{number}/cancel")
    assert (answer.status_code, answer.json["cancel_requested_by"]) == (200, "admin")
    assert_problem(api.post(f"/deploys/{ended().id}/cancel"), 409, "not-cancellable")


def test_retrying(api, target, sent_tasks):
    deploy = ended("failed")
    answer = api.post(f"/deploys/{deploy.id}/retry", {})
    assert (answer.status_code, answer.json["state"]) == (200, "running")
    assert sent_tasks == [("windlass.reconcile", (deploy.id,))]
    assert_problem(api.post(f"/deploys/{deploy.id}/retry"), 409, "not-retryable")


def test_rolling_back_makes_a_new_deploy(api, target):
    old, new = factories.release(), factories.release()
    deploy = ended(release=new, previous_release=old)
    answer = api.post(f"/deploys/{deploy.id}/rollback")
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/deploys/{answer.json['id']}"
    assert (answer.json["release"], answer.json["rollback_of"]) == (old.version, deploy.id)
    assert answer.json["id"] > deploy.id


def test_there_must_be_something_to_roll_back_to(api, target):
    assert_problem(api.post(f"/deploys/{ended().id}/rollback"), 409, "nothing-to-roll-back-to")


@pytest.mark.parametrize("action", ["cancel", "retry", "rollback"])
def test_actions_take_nothing_and_need_a_deploy(api, action):
    assert_problem(api.post(f"/deploys/17/{action}"), 404, "not-found")
    assert_problem(api.post(f"/deploys/17/{action}", {"force": True}), 422, "invalid")


# Its history.


@pytest.fixture
def deploy_with_events(api):
    """A deploy that has ended, with five events."""
    deploy = factories.deploy([factories.host("web-1")], state="running")
    events.append(
        f"deploy-{deploy.id}",
        [
            {"kind": "host", "host": "web-1", "data": {"state": "running", "wave": 0}},
            {"kind": "step", "host": "web-1", "step": "ship", "data": {"state": "done"}},
            {"kind": "output", "host": "web-1", "step": "start", "text": "first line\nsecond line"},
            {"kind": "output", "host": "web-1", "step": "start", "text": "<script>ü"},
        ],
    )
    transitions.move_deploy(deploy, "succeeded")
    return deploy


def test_events_are_paged_by_number(api, deploy_with_events):
    first = api.get(f"/deploys/{deploy_with_events.id}/events?limit=2").json
    assert ([event["number"] for event in first["items"]], first["next"]) == ([1, 2], 2)
    rest = api.get(f"/deploys/{deploy_with_events.id}/events?after=2").json
    assert ([event["number"] for event in rest["items"]], rest["next"]) == ([3, 4, 5], None)
    assert rest["items"][0] == {
        "number": 3,
        "at": rest["items"][0]["at"],
        "kind": "output",
        "host": "web-1",
        "step": "start",
        "text": "first line\nsecond line",
    }
    assert api.get(f"/deploys/{deploy_with_events.id}/events?after=5").json == {"items": [], "next": None}


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001", "after=99999999999"])
def test_bad_places_are_refused(api, deploy_with_events, query):
    assert_problem(api.get(f"/deploys/{deploy_with_events.id}/events?{query}"), 422, "invalid")


def test_the_log_is_plain_text(api, deploy_with_events):
    answer = api.get(f"/deploys/{deploy_with_events.id}/log")
    assert (answer.status_code, answer.mimetype, answer.headers["X-Content-Type-Options"]) == (
        200,
        "text/plain",
        "nosniff",
    )
    text = answer.get_data(as_text=True)
    assert "first line" in text and "second line" in text and "<script>ü" in text
    assert all("[web-1" in line for line in text.splitlines() if "line" in line)


# Following it.


def messages(answer):
    """Return the events of a stream that ends."""
    return [
        json.loads(line.removeprefix("data: "))
        for line in answer.get_data(as_text=True).splitlines()
        if line.startswith("data: ")
    ]


def test_the_stream_of_an_ended_deploy_ends(api, deploy_with_events):
    answer = api.get(f"/deploys/{deploy_with_events.id}/stream")
    assert (answer.status_code, answer.mimetype, answer.headers["Cache-Control"]) == (
        200,
        "text/event-stream",
        "no-store",
    )
    assert messages(answer) == api.get(f"/deploys/{deploy_with_events.id}/events").json["items"]


@pytest.mark.parametrize(
    "query, headers, numbers",
    [
        ("", {"Last-Event-ID": "3"}, [4, 5]),
        ("?last_event_id=4", {}, [5]),
        ("?last_event_id=1", {"Last-Event-ID": "4"}, [5]),
        ("", {"Last-Event-ID": "5"}, []),
        ("", {"Last-Event-ID": "nonsense"}, [1, 2, 3, 4, 5]),
    ],
)
def test_a_stream_resumes_after_the_last_event_seen(api, deploy_with_events, query, headers, numbers):
    assert [
        event["number"] for event in messages(api.get(f"/deploys/{deploy_with_events.id}/stream{query}", headers=headers))
    ] == numbers


@pytest.mark.parametrize("query", ["last_event_id=x", "last_event_id=-1", "after=1"])
def test_a_bad_place_in_a_stream_is_refused_before_it_begins(api, deploy_with_events, query):
    assert_problem(api.get(f"/deploys/{deploy_with_events.id}/stream?{query}"), 422, "invalid")


def test_events_come_as_they_happen(api):
    deploy = factories.deploy([], state="running")
    seen = Queue()

    def read():
        for piece in api.get(f"/deploys/{deploy.id}/stream", buffered=False).response:
            for line in piece.decode().splitlines():
                if line.startswith("id: "):
                    seen.put(int(line.removeprefix("id: ")))
        seen.put("end")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in (1, 2):
            events.append(f"deploy-{deploy.id}", [{"kind": "output", "text": "x"}])
            assert seen.get(timeout=30) == number, "an event must not wait for the next one"
    finally:
        transitions.move_deploy(deploy, "succeeded")
        reader.join(30)
    assert [seen.get(timeout=30), seen.get(timeout=30)] == [3, "end"]


def test_a_client_that_goes_away_is_noticed(api, monkeypatch):
    gone = threading.Event()

    def follow(controller, number, after):
        try:
            with connection():
                yield {"number": 1, "kind": "output", "text": "x"}
            while True:
                yield None
        finally:
            gone.set()

    monkeypatch.setattr(DeployViewController, "follow", follow)
    answer = api.get("/deploys/1/stream", buffered=False)
    pieces = iter(answer.response)
    while b"id: 1" not in next(pieces):
        pass
    answer.close()
    assert gone.is_set()


def test_the_stream_of_all_deploys_begins_with_what_happens_next(api, monkeypatch):
    ended()
    first, second = factories.deploy([], state="running"), factories.deploy([], state="running")
    answer = api.get("/stream", buffered=False)
    pieces = iter(answer.response)
    next(pieces)
    transitions.move_deploy(first, "succeeded")
    transitions.move_deploy(second, "failed", reason="web-1 did not answer")
    seen = []
    for piece in pieces:
        seen += [json.loads(line.removeprefix("data: ")) for line in piece.decode().splitlines() if line.startswith("data: ")]
        if len(seen) == 2:
            break
    answer.close()
    assert [(event["data"]["deploy"], event["data"]["state"]) for event in seen] == [
        (first.id, "succeeded"),
        (second.id, "failed"),
    ]
    again = api.get(f"/stream?last_event_id={seen[0]['number']}", buffered=False)
    resumed = next(json.loads(piece.decode().split("data: ")[1]) for piece in again.response if b"data: " in piece)
    again.close()
    assert resumed == seen[1]
