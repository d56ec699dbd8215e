"""Protected environments as callers see them: who must agree, and where a release must have succeeded before."""

import pytest

from controllers import sweep
from controllers.access import sessions
from controllers.jobs import queue
from controllers.rollout import reconcile
from controllers.rollout.planning import plans
from models import Approval, AuditEntry, Deploy, Environment, Plan, PlanHost, Token, User
from models.db import clock
from tests import factories
from tests.client import ApiClient, assert_problem
from utils.datekit import rfc3339

FIELDS = {"application": "shop", "release": "v1", "environment": "production"}


@pytest.fixture(autouse=True)
def sent_tasks(api, monkeypatch):
    """Targets in staging and production, and a release that is ready; what is enqueued: (task, ids)."""
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, ids)))
    factories.application("shop")
    for position, name in enumerate(("staging", "production")):
        factories.environment(name, position)
        factories.host(f"{name}-1")
        assert api.put(f"/applications/shop/targets/{name}", {"hosts": [f"{name}-1"]}).status_code == 201
    factories.release()
    return enqueued


@pytest.fixture
def person(application, database):
    """Return a client of a user of a name, who is no administrator."""

    def make(name):
        user = User.create(name=name, created_at=clock())
        Token.create(user=user, name="laptop", secret_hash=sessions.digest(f"{name}s-token"), created_at=clock())
        return ApiClient(application, f"{name}s-token")

    return make


def protect(api, **fields):
    """Protect production."""
    changed = api.patch("/environments/production", fields)
    assert changed.status_code == 200, changed.text
    return changed.json


def ask(caller, is_seen=True, **more):
    """Ask for a deploy; its plan has looked at the hosts then, unless that is to come."""
    made = caller.post("/deploys", {**FIELDS, **more})
    assert made.status_code == 201, made.text
    if is_seen:
        PlanHost.update(state="ready", digest="moves-nothing", changes={"unchanged": True}).execute()
    return made.json


def test_a_deploy_waits_for_as_many_others_as_the_environment_says(api, person, sent_tasks):
    assert protect(api, approvals=2)["approvals"] == 2
    deploy = ask(api)
    path = f"/deploys/{deploy['id']}"
    assert (deploy["state"], deploy["approvals"]) == ("pending_approval", {"needed": 2, "given": []})
    reconcile.reconcile(deploy["id"])
    assert api.get(path).json["state"] == "pending_approval"
    bob, cat = person("bob"), person("cat")
    first = bob.post(f"{path}/approve", {"comment": "looks right"})
    assert (first.status_code, first.json["state"]) == (200, "pending_approval")
    second = cat.post(f"{path}/approve")
    assert second.json["state"] == "queued"
    assert [(approval["by"], approval["comment"]) for approval in second.json["approvals"]["given"]] == [
        ("bob", "looks right"),
        ("cat", None),
    ]
    assert sent_tasks[-1] == ("windlass.reconcile", (deploy["id"],))
    digest = api.get(f"/plans/{deploy['plan']}").json["digest"]
    assert {approval["digest"] for approval in second.json["approvals"]["given"]} == {digest}
    assert f"plan {deploy['plan']} ({digest[:12]}) is approved by bob: looks right" in api.get(f"{path}/log").text
    reconcile.reconcile(deploy["id"])
    assert api.get("/deploys").json["items"][0]["state"] == "running"


def test_nobody_approves_their_own_deploy_or_twice_or_too_late(api, person):
    protect(api, approvals=2)
    bob = person("bob")
    path = f"/deploys/{ask(api)['id']}"
    assert_problem(api.post(f"{path}/approve"), 403, "own-deploy")
    bob.post(f"{path}/approve")
    assert_problem(bob.post(f"{path}/approve"), 409, "already-approved")
    assert Approval.select().count() == 1
    person("cat").post(f"{path}/approve")
    assert_problem(person("dan").post(f"{path}/approve"), 409, "not-approvable")
    assert_problem(bob.post("/deploys/99/approve"), 404, "not-found")


def test_a_plan_is_drawn_up_at_once_and_nobody_agrees_before_it_says_everything(api, person, sent_tasks):
    protect(api, approvals=1)
    deploy = ask(api, is_seen=False)
    row = PlanHost.get()
    assert ("windlass.plan_host", (row.id,)) in sent_tasks and row.plan_id == deploy["plan"]
    path, bob = f"/deploys/{deploy['id']}/approve", person("bob")
    assert "wait a moment" in assert_problem(bob.post(path), 409, "plan-not-ready")["detail"]
    PlanHost.update(state="failed", error={"code": "x", "message": "m", "remedy": "r"}).execute()
    assert "ask again" in assert_problem(bob.post(path), 409, "plan-not-ready")["detail"]
    assert Approval.select().count() == 0
    PlanHost.update(state="ready", digest="moves-nothing", changes={"unchanged": True}).execute()
    assert bob.post(path).json["state"] == "queued"


def test_one_agrees_to_the_plan_one_has_read(api, person):
    protect(api, approvals=1)
    deploy = ask(api)
    path, bob = f"/deploys/{deploy['id']}/approve", person("bob")
    digest = api.get(f"/plans/{deploy['plan']}").json["digest"]
    problem = assert_problem(bob.post(path, {"digest": "0" * 64}), 409, "plan-changed")
    assert digest in problem["detail"] and Approval.select().count() == 0
    assert_problem(bob.post(path, {"digest": "what I read"}), 422, "invalid")
    assert bob.post(path, {"digest": digest}).json["approvals"]["given"][0]["digest"] == digest
    entry = AuditEntry.select().order_by(AuditEntry.number.desc()).get()
    assert (entry.action, entry.data["digest"]) == ("deploy.approve", digest)


def test_a_deploy_of_a_plan_is_approved_by_that_plan(api, person, monkeypatch):
    protect(api, approvals=1)
    monkeypatch.setattr(plans, "PATIENCE_S", 0)
    plan = api.post("/plans", FIELDS).json["id"]
    PlanHost.update(state="ready", digest="moves-nothing", changes={"unchanged": True}).execute()
    deploy = ask(api, plan=plan)
    assert deploy["plan"] == plan and Plan.select().count() == 1
    assert person("bob").post(f"/deploys/{deploy['id']}/approve").json["state"] == "queued"


def test_what_waits_holds_nobody_up_and_can_be_cancelled(api, person, sent_tasks):
    protect(api, approvals=1)
    waiting = ask(api)
    protect(api, approvals=0)
    other = ask(api)
    reconcile.reconcile(other["id"])
    assert Deploy.get_by_id(other["id"]).state == "running"
    api.post(f"/deploys/{waiting['id']}/cancel")
    sent_tasks.clear()
    sweep.sweep()
    assert ("windlass.reconcile", (waiting["id"],)) in sent_tasks
    assert_problem(person("bob").post(f"/deploys/{waiting['id']}/approve"), 409, "not-approvable")
    reconcile.reconcile(waiting["id"])
    assert Deploy.get_by_id(waiting["id"]).state == "cancelled"


def test_a_deploy_needs_what_was_asked_when_it_was_made(api):
    protect(api, approvals=1)
    deploy = ask(api)
    protect(api, approvals=0)
    reconcile.reconcile(deploy["id"])
    assert api.get(f"/deploys/{deploy['id']}").json["state"] == "pending_approval"


def test_an_approved_deploy_still_waits_for_its_time(api, person):
    protect(api, approvals=1)
    deploy = ask(api, start_at=rfc3339(clock() + 3_600_000))
    assert deploy["state"] == "pending_approval"
    assert person("bob").post(f"/deploys/{deploy['id']}/approve").json["state"] == "scheduled"


def test_a_rollback_needs_nobody(api):
    protect(api, approvals=1, promote_from="staging")
    deploy = factories.deploy([], release=factories.release(), previous_release=factories.release(), state="succeeded")
    back = api.post(f"/deploys/{deploy.id}/rollback")
    assert (back.status_code, back.json["state"]) == (201, "queued")


# Promotion.


def succeed_in_staging(release, **columns):
    return factories.deploy([], release=release, state="succeeded", environment=factories.environment("staging"), **columns)


def test_only_what_succeeded_before_is_taken(api):
    assert protect(api, promote_from="staging")["promote_from"] == "staging"
    problem = assert_problem(api.post("/deploys", FIELDS), 409, "not-promoted")
    assert problem["promote_from"] == "staging" and "staging" in problem["detail"]
    assert api.post("/deploys", {**FIELDS, "environment": "staging"}).status_code == 201
    assert_problem(api.post("/deploys", FIELDS), 409, "not-promoted")
    succeed_in_staging(factories.release())
    assert_problem(api.post("/deploys", FIELDS), 409, "not-promoted")
    assert api.post("/deploys", {**FIELDS, "release": "v2"}).status_code == 201


def test_what_failed_or_was_left_since_is_no_longer_taken(api):
    protect(api, promote_from="staging")
    release = factories.release()
    first = succeed_in_staging(release)
    fields = {**FIELDS, "release": release.version}
    assert api.post("/deploys", fields).status_code == 201
    succeed_in_staging(factories.release(), rollback_of=first)
    assert "was rolled back in staging" in assert_problem(api.post("/deploys", fields), 409, "not-promoted")["detail"]
    succeed_in_staging(release)
    assert api.post("/deploys", fields).status_code == 201
    factories.deploy([], release=release, state="failed", environment=factories.environment("staging"), reason="no")
    assert_problem(api.post("/deploys", fields), 409, "not-promoted")


# The environment's own protection.


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"approvals": -1}, "approvals"),
        ({"approvals": "2"}, "approvals"),
        ({"promote_from": "moon"}, "promote_from"),
        ({"promote_from": "production"}, "promote_from"),
    ],
)
def test_what_cannot_protect_is_refused_by_field(api, fields, field):
    problem = assert_problem(api.patch("/environments/production", fields), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_environments_do_not_wait_for_each_other_in_a_circle(api):
    protect(api, promote_from="staging")
    assert_problem(api.patch("/environments/staging", {"promote_from": "production"}), 422, "invalid")
    assert Environment.get(Environment.name == "staging").promote_from is None
    assert protect(api, promote_from=None)["promote_from"] is None


def test_only_administrators_change_it(api, person):
    bob = person("bob")
    protect(api, approvals=1)
    for fields in ({"approvals": 0}, {"promote_from": None}):
        assert_problem(bob.patch("/environments/production", fields), 403, "not-administrator")
    assert bob.patch("/environments/production", {"position": 7}).json["approvals"] == 1
    assert_problem(bob.post("/environments", {"name": "test", "approvals": 0}), 403, "not-administrator")
    assert api.post("/environments", {"name": "test", "approvals": 3, "promote_from": "staging"}).json["approvals"] == 3


def test_an_environment_that_others_are_promoted_from_is_not_deleted(api):
    api.post("/environments", {"name": "test"})
    protect(api, promote_from="test")
    problem = assert_problem(api.delete("/environments/test"), 409, "in-use")
    assert "production" in problem["detail"]
