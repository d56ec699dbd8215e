"""Freezes and scheduled deploys as callers see them: when nobody deploys, who may nevertheless, and what waits."""

import pytest

from controllers import sweep
from controllers.access import sessions
from controllers.jobs import queue
from controllers.rollout import reconcile
from models import Deploy, Freeze, Token, User
from models.db import clock
from tests import factories
from tests.client import ApiClient, assert_problem
from utils.datekit import rfc3339

FIELDS = {"application": "shop", "release": "v1", "environment": "production"}
HOUR_MS = 3_600_000
ALWAYS = {
    "name": "sale",
    "reason": "black friday",
    "starts_at": "2020-01-01T00:00:00Z",
    "ends_at": "2999-01-01T00:00:00Z",
}
WEEKLY = {"begins": "fri 16:00", "ends": "mon 08:00", "timezone": "Europe/Berlin"}


@pytest.fixture(autouse=True)
def sent_tasks(api, monkeypatch):
    """A target of one host and a release that is ready; what is enqueued: (task, ids)."""
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, ids)))
    factories.application("shop")
    factories.environment("production")
    factories.host("web-1")
    factories.release()
    assert api.put("/applications/shop/targets/production", {"hosts": ["web-1"]}).status_code == 201
    return enqueued


@pytest.fixture
def bob(application):
    """A client of a user who is no administrator."""
    user = User.create(name="bob", created_at=clock())
    Token.create(user=user, name="laptop", secret_hash=sessions.digest("bobs-token"), created_at=clock())
    return ApiClient(application, "bobs-token")


def test_a_freeze_is_made_shown_changed_and_deleted(api):
    made = api.post("/freezes", ALWAYS)
    assert (made.status_code, made.headers["Location"]) == (201, "/api/v1/freezes/sale")
    assert (
        made.json.items()
        >= {
            "active": True,
            "active_until": "2999-01-01T00:00:00.000Z",
            "created_by": "admin",
            "applications": None,
        }.items()
    )
    changed = api.patch("/freezes/sale", {"starts_at": None, "ends_at": None, "weekly": WEEKLY, "environments": ["production"]})
    assert (changed.status_code, changed.json["weekly"], changed.json["starts_at"]) == (200, WEEKLY, None)
    assert [freeze["name"] for freeze in api.get("/freezes").json["items"]] == ["sale"]
    assert api.delete("/freezes/sale").status_code == 204
    assert_problem(api.get("/freezes/sale"), 404, "not-found")


@pytest.mark.parametrize(
    "change, field",
    [
        ({"starts_at": None}, "starts_at"),
        ({"ends_at": None}, "ends_at"),
        ({"ends_at": "2019-01-01T00:00:00Z"}, "ends_at"),
        ({"ends_at": "2999-01-01T00:00:00"}, "ends_at"),
        ({"ends_at": "9999-12-31T23:59:59-12:00"}, "ends_at"),
        ({"starts_at": "0275-01-01T00:00:00Z"}, "starts_at"),
        ({"weekly": WEEKLY}, "weekly"),
        ({"weekly": {**WEEKLY, "timezone": "Berlin"}}, "weekly.timezone"),
        ({"weekly": {**WEEKLY, "timezone": "../etc/passwd"}}, "weekly.timezone"),
        ({"weekly": {**WEEKLY, "begins": "friday 16:00"}}, "weekly.begins"),
        ({"weekly": {**WEEKLY, "begins": "fri 24:00"}}, "weekly.begins"),
        ({"weekly": {**WEEKLY, "ends": WEEKLY["begins"]}}, "weekly"),
        ({"applications": []}, "applications"),
        ({"applications": ["gone"]}, "applications"),
        ({"environments": ["moon"]}, "environments"),
        ({"reason": ""}, "reason"),
        ({"until": "x"}, "until"),
    ],
)
def test_what_cannot_be_a_freeze_is_refused_by_field(api, change, field):
    problem = assert_problem(api.post("/freezes", {**ALWAYS, **change}), 422, "invalid")
    assert field in [error["field"] for error in problem["errors"]]
    assert Freeze.select().count() == 0


def test_there_is_one_freeze_of_a_name_and_administrators_make_it(api, bob):
    assert_problem(bob.post("/freezes", ALWAYS), 403, "not-administrator")
    api.post("/freezes", ALWAYS)
    assert_problem(api.post("/freezes", ALWAYS), 409, "already-exists")
    for refused in (bob.patch("/freezes/sale", {"reason": "x"}), bob.delete("/freezes/sale")):
        assert refused.status_code == 403
    assert bob.get("/freezes/sale").json["reason"] == "black friday"


def test_deploys_are_refused_with_the_end_and_the_reason(api, bob, sent_tasks):
    api.post("/freezes", ALWAYS)
    problem = assert_problem(bob.post("/deploys", FIELDS), 409, "frozen")
    assert (problem["freeze"], problem["reason"], problem["until"]) == (
        "sale",
        "black friday",
        "2999-01-01T00:00:00.000Z",
    )
    assert (Deploy.select().count(), sent_tasks) == (0, [])


def test_freezes_that_follow_on_one_another_are_told_as_one(api):
    now, later, last = (clock() + hours * HOUR_MS for hours in (-1, 1, 2))
    for name, starts_at, ends_at in (("a", now, later), ("b", later, last)):
        Freeze.create(
            name=name,
            reason=name,
            starts_at=starts_at,
            ends_at=ends_at,
            created_by="ann",
            created_at=now,
            updated_at=now,
        )
    assert assert_problem(api.post("/deploys", FIELDS), 409, "frozen")["until"] == rfc3339(last)


@pytest.mark.parametrize(
    "scope",
    [
        {"applications": ["blog"]},
        {"environments": ["staging"]},
        {"applications": ["shop"], "environments": ["staging"]},
    ],
)
def test_what_a_freeze_is_not_about_goes_on(api, scope):
    factories.application("blog")
    factories.environment("staging", 1)
    assert api.post("/freezes", {**ALWAYS, **scope}).status_code == 201
    assert api.post("/deploys", FIELDS).status_code == 201


def test_an_administrator_overrides_with_a_reason_that_is_in_the_history(api, bob):
    api.post("/freezes", ALWAYS)
    assert_problem(bob.post("/deploys", {**FIELDS, "override": "urgent"}), 403, "override-forbidden")
    assert_problem(api.post("/deploys", {**FIELDS, "override": ""}), 422, "invalid")
    deploy = api.post("/deploys", {**FIELDS, "override": "leaking cards"}).json
    assert deploy["override"] == "leaking cards"
    entry = api.get("/audit").json["items"][0]
    assert (entry["action"], entry["data"]["override"]) == ("deploy.create", "leaking cards")
    assert "freezes are overridden by admin: leaking cards" in api.get(f"/deploys/{deploy['id']}/log").text
    reconcile.reconcile(deploy["id"])
    assert api.get(f"/deploys/{deploy['id']}").json["state"] == "running"


def test_a_rollback_is_not_frozen_but_a_retry_is(api):
    old = factories.release()
    deploy = factories.deploy([], release=factories.release(), previous_release=old, state="succeeded")
    failed = factories.deploy([], state="failed", environment=factories.environment("staging", 1))
    api.post("/freezes", ALWAYS)
    back = api.post(f"/deploys/{deploy.id}/rollback")
    assert back.status_code == 201
    reconcile.reconcile(back.json["id"])
    assert Deploy.get_by_id(back.json["id"]).state == "running"
    assert_problem(api.post(f"/deploys/{failed.id}/retry"), 409, "frozen")


def test_a_deploy_that_was_queued_waits_for_the_end_of_a_freeze(api):
    deploy = api.post("/deploys", FIELDS).json
    api.post("/freezes", ALWAYS)
    reconcile.reconcile(deploy["id"])
    waiting = api.get(f"/deploys/{deploy['id']}").json
    assert (waiting["state"], waiting["reason"]) == (
        "queued",
        "waits: frozen until 2999-01-01T00:00:00.000Z (sale): black friday",
    )
    api.delete("/freezes/sale")
    reconcile.reconcile(deploy["id"])
    assert api.get(f"/deploys/{deploy['id']}").json["state"] == "running"


# Scheduled deploys.


def schedule(api, hours=1):
    """Ask for a deploy in some hours; returns it."""
    made = api.post("/deploys", {**FIELDS, "start_at": rfc3339(clock() + hours * HOUR_MS)})
    assert made.status_code == 201, made.text
    return made.json


def make_due(deploy):
    Deploy.update(start_at=clock() - 1).where(Deploy.id == deploy["id"]).execute()


def enqueued_by_sweep(sent_tasks):
    sent_tasks.clear()
    sweep.sweep()
    return [ids[0] for task, ids in sent_tasks if task == "windlass.reconcile"]


def test_a_scheduled_deploy_begins_when_it_is_due(api, sent_tasks):
    deploy = schedule(api)
    assert deploy["state"] == "scheduled" and deploy["start_at"]
    reconcile.reconcile(deploy["id"])
    assert Deploy.get_by_id(deploy["id"]).state == "scheduled"
    assert enqueued_by_sweep(sent_tasks) == []
    make_due(deploy)
    assert enqueued_by_sweep(sent_tasks) == [deploy["id"]]
    reconcile.reconcile(deploy["id"])
    assert Deploy.get_by_id(deploy["id"]).state == "running"
    assert [
        event["data"]["state"] for event in api.get(f"/deploys/{deploy['id']}/events").json["items"] if event["kind"] == "deploy"
    ] == ["scheduled", "queued", "running"]


def test_a_scheduled_deploy_holds_nobody_up_and_never_runs_beside_another(api):
    scheduled, other = schedule(api), api.post("/deploys", FIELDS).json
    reconcile.reconcile(other["id"])
    assert Deploy.get_by_id(other["id"]).state == "running"
    make_due(scheduled)
    reconcile.reconcile(scheduled["id"])
    assert Deploy.get_by_id(scheduled["id"]).state == "queued"
    Deploy.update(state="succeeded").where(Deploy.id == other["id"]).execute()
    reconcile.reconcile(scheduled["id"])
    assert Deploy.get_by_id(scheduled["id"]).state == "running"


def test_what_began_last_counts_as_the_newest(api):
    factories.release()
    scheduled = schedule(api)
    factories.deploy([], release=factories.release(), state="succeeded")
    assert api.get("/status").json["items"][0]["desired"] == "v3"
    Deploy.update(state="succeeded", started_at=clock() + 1).where(Deploy.id == scheduled["id"]).execute()
    assert api.get("/status").json["items"][0]["desired"] == "v1"
    assert api.post("/deploys", {**FIELDS, "release": "v2"}).json["previous_release"] == "v1"


def test_a_due_deploy_stays_scheduled_during_a_freeze_or_a_lock_and_says_why(api, bob):
    deploy = schedule(bob)
    make_due(deploy)
    api.post("/freezes", ALWAYS)
    reconcile.reconcile(deploy["id"])
    waiting = api.get(f"/deploys/{deploy['id']}").json
    assert waiting["state"] == "scheduled" and "black friday" in waiting["reason"]
    api.delete("/freezes/sale")
    api.put("/applications/shop/targets/production/lock", {"reason": "migration"})
    reconcile.reconcile(deploy["id"])
    waiting = api.get(f"/deploys/{deploy['id']}").json
    assert waiting["state"] == "scheduled" and "migration" in waiting["reason"]


def test_it_is_cancelled_without_touching_a_host(api, sent_tasks):
    deploy = schedule(api)
    assert api.post(f"/deploys/{deploy['id']}/cancel").status_code == 200
    assert enqueued_by_sweep(sent_tasks) == [deploy["id"]], "a lost message is enqueued again"
    reconcile.reconcile(deploy["id"])
    assert api.get(f"/deploys/{deploy['id']}").json["state"] == "cancelled"


def test_its_time_must_be_ahead_and_outside_of_freezes_known_now(api):
    assert_problem(api.post("/deploys", {**FIELDS, "start_at": "2020-01-01T00:00:00Z"}), 422, "invalid")
    assert_problem(api.post("/deploys", {**FIELDS, "start_at": "2999-01-01T00:00:00"}), 422, "invalid")
    at = clock()
    Freeze.create(
        name="a",
        reason="a",
        starts_at=at - HOUR_MS,
        ends_at=at + 2 * HOUR_MS,
        created_by="ann",
        created_at=at,
        updated_at=at,
    )
    assert schedule(api, hours=3)["state"] == "scheduled", "the freeze is over then"
    assert_problem(api.post("/deploys", {**FIELDS, "start_at": rfc3339(at + HOUR_MS)}), 409, "frozen")


def test_a_rollback_need_not_wait_for_what_is_scheduled(api):
    deploy = factories.deploy([], release=factories.release(), previous_release=factories.release(), state="succeeded")
    schedule(api)
    assert api.post(f"/deploys/{deploy.id}/rollback").status_code == 201
