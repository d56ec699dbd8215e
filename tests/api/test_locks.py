"""Locks as callers see them: who may deploy, who may unlock, and when it is over by itself."""

import logging

import pytest

from controllers.access import sessions
from controllers.jobs import queue
from controllers.rollout import reconcile
from models import Deploy, Lock, Token, User
from models.db import clock
from tests import factories
from tests.client import ApiClient, assert_problem

pytestmark = pytest.mark.both_databases

PATH = "/applications/shop/targets/production/lock"
FIELDS = {"application": "shop", "release": "v1", "environment": "production"}


@pytest.fixture(autouse=True)
def target(api, monkeypatch):
    """A target of one host, and a release that is ready."""
    monkeypatch.setattr(queue, "enqueue", lambda *_, **__: None)
    factories.application("shop")
    factories.environment("production")
    factories.host("web-1")
    factories.release()
    assert api.put("/applications/shop/targets/production", {"hosts": ["web-1"]}).status_code == 201


@pytest.fixture
def bob(application):
    """A client of another user."""
    user = User.create(name="bob", created_at=clock())
    Token.create(user=user, name="laptop", secret_hash=sessions.digest("bobs-token"), created_at=clock())
    return ApiClient(application, "bobs-token")


def test_a_lock_is_made_shown_changed_and_taken_away(api):
    assert_problem(api.get(PATH), 404, "not-found")
    made = api.put(PATH, {"reason": "migration"})
    assert made.status_code == 201
    assert (made.json["holder"], made.json["reason"], made.json["expires_at"]) == ("admin", "migration", None)
    assert api.get(PATH).json == made.json
    assert api.get("/status").json["items"][0]["lock"] == made.json
    changed = api.put(PATH, {"reason": "longer", "for_s": 3600})
    assert changed.status_code == 200
    assert changed.json["expires_at"] > changed.json["created_at"] == made.json["created_at"]
    assert api.delete(PATH).status_code == 204
    assert_problem(api.get(PATH), 404, "not-found")
    assert_problem(api.delete(PATH), 404, "not-found")


def test_others_are_refused_and_told_by_whom_and_why(api, bob):
    api.put(PATH, {"reason": "migration"})
    problem = assert_problem(bob.post("/deploys", FIELDS), 409, "locked")
    assert (problem["holder"], problem["reason"]) == ("admin", "migration")
    assert "admin" in problem["detail"] and "migration" in problem["detail"]
    assert Deploy.select().count() == 0
    assert api.post("/deploys", FIELDS).status_code == 201, "who locked may deploy"


def test_a_failed_deploy_of_others_is_not_retried(api, bob):
    deploy = factories.deploy([], state="failed")
    api.put(PATH, {"reason": "migration"})
    assert_problem(bob.post(f"/deploys/{deploy.id}/retry"), 409, "locked")
    assert Deploy.get_by_id(deploy.id).state == "failed"


def test_other_targets_are_not_locked(api, bob):
    factories.environment("staging", position=1)
    factories.host("web-2")
    api.put("/applications/shop/targets/staging", {"hosts": ["web-2"]})
    api.put(PATH, {"reason": "migration"})
    assert bob.post("/deploys", {**FIELDS, "environment": "staging"}).status_code == 201


def test_a_lock_is_over_when_its_time_has_come(api, bob):
    api.put(PATH, {"reason": "migration", "for_s": 60})
    Lock.update(expires_at=clock() - 1).execute()
    assert_problem(api.get(PATH), 404, "not-found")
    assert api.get("/status").json["items"][0]["lock"] is None
    assert bob.post("/deploys", FIELDS).status_code == 201
    assert bob.put(PATH, {"reason": "mine"}).status_code == 201, "an ended lock is nobody's"


@pytest.mark.parametrize("method", ["put", "delete"])
def test_breaking_takes_force_and_is_in_the_audit_trail(api, bob, caplog, method):
    api.put(PATH, {"reason": "migration"})
    body = {"reason": "urgent"} if method == "put" else None
    assert_problem(bob.request(method.upper(), PATH, body), 409, "locked")
    assert Lock.get().holder == "admin"
    with caplog.at_level(logging.WARNING):
        done = bob.put(PATH, {**body, "force": True}) if body else bob.delete(f"{PATH}?force=true")
    assert done.status_code == (201 if body else 204)
    assert "bob broke a lock" in caplog.text and "locked by admin: migration" in caplog.text
    entry = api.get("/audit").json["items"][0]
    assert entry["actor"] == "bob" and entry["subject"] == "shop/production"
    assert (entry["data"]["broken_lock_of"], entry["data"]["its_reason"]) == ("admin", "migration")


def test_a_deploy_that_has_not_begun_waits_for_the_end_of_a_lock(api, bob):
    deploy = bob.post("/deploys", FIELDS).json
    api.put(PATH, {"reason": "migration"})
    reconcile.reconcile(deploy["id"])
    waiting = bob.get(f"/deploys/{deploy['id']}").json
    assert waiting["state"] == "queued"
    assert "locked by admin: migration" in waiting["reason"]
    api.delete(PATH)
    reconcile.reconcile(deploy["id"])
    begun = bob.get(f"/deploys/{deploy['id']}").json
    assert (begun["state"], begun["reason"]) == ("running", None)


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": " "}, "reason"),
        ({"reason": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"reason": "x", "expires_at": "2999-01-01T00:00:00"}, "expires_at"),
        ({"reason": "x", "for_s": 0}, "for_s"),
        ({"reason": "x", "for_s": "60"}, "for_s"),
        ({"reason": "x", "for_s": 60, "expires_at": "2999-01-01T00:00:00Z"}, ""),
        ({"reason": "x", "holder": "bob"}, "holder"),
    ],
)
def test_what_cannot_be_a_lock_is_refused_by_field(api, body, field):
    problem = assert_problem(api.put(PATH, body), 422, "invalid")
    assert field in [error["field"] for error in problem["errors"]]
    assert Lock.select().count() == 0


def test_a_change_of_an_older_version_is_refused(api):
    assert_problem(api.put(PATH, {"reason": "x"}, headers={"If-Match": '"old"'}), 412, "precondition-failed")
    api.put(PATH, {"reason": "x"})
    tag = api.get(PATH).headers["ETag"]
    api.put(PATH, {"reason": "y"})
    assert_problem(api.put(PATH, {"reason": "z"}, headers={"If-Match": tag}), 412, "precondition-failed")


def test_there_is_no_lock_without_a_target(api):
    assert_problem(api.put("/applications/shop/targets/moon/lock", {"reason": "x"}), 404, "not-found")


def test_deleting_a_target_takes_its_lock_along(api):
    api.put(PATH, {"reason": "x"})
    assert api.delete("/applications/shop/targets/production").status_code == 204
    assert Lock.select().count() == 0
