"""Releases that failed in a target: people are warned, automatic triggers are refused."""

import pytest

from controllers.actor import WINDLASS
from controllers.errors import Conflict
from controllers.jobs import queue
from controllers.rollout.deploys import DeployController
from models import Deploy, Environment
from tests import factories

pytestmark = pytest.mark.both_databases

FIELDS = {"application": "shop", "release": "v1", "environment": "production"}


@pytest.fixture(autouse=True)
def target(api, monkeypatch):
    """A target of one host, and two releases that are ready."""
    monkeypatch.setattr(queue, "enqueue", lambda *_, **__: None)
    factories.application("shop")
    factories.environment("production")
    factories.host("web-1")
    made = [factories.release(), factories.release()]
    assert api.put("/applications/shop/targets/production", {"hosts": ["web-1"]}).status_code == 201
    return made


def known_bad_releases(api):
    return [bad["release"] for bad in api.get("/applications/shop/targets/production").json["latched"]]


@pytest.mark.parametrize(
    "state, expected",
    [("failed", "failed in production last time"), ("rolled_back", "was rolled back in production last time")],
)
def test_people_are_warned_and_may_go_on(api, target, state, expected):
    old = factories.deploy([], release=target[0], state=state, reason="web-1: check: answered 500.")
    made = api.post("/deploys", FIELDS)
    assert made.status_code == 201
    (warning,) = made.json["warnings"]
    assert expected in warning and f"deploy {old.id}" in warning and "answered 500" in warning
    assert api.get(f"/deploys/{made.json['id']}").json["warnings"] == [warning]


def test_automatic_triggers_are_refused(target):
    factories.deploy([], release=target[0], state="failed", reason="no")
    with pytest.raises(Conflict) as refused:
        DeployController(WINDLASS).create(FIELDS, is_automatic=True)
    assert refused.value.code == "latched"
    assert Deploy.select().count() == 1
    assert DeployController(WINDLASS).create({**FIELDS, "release": "v2"}, is_automatic=True)["warnings"] == []


def test_it_is_shown_with_the_release_and_the_target(api, target):
    old = factories.deploy([], release=target[0], state="failed", reason="no")
    assert api.get("/applications/shop/releases/v1").json["latched"] == [
        {"environment": "production", "deploy": old.id, "reason": "no"}
    ]
    assert api.get("/applications/shop/targets/production").json["latched"] == [
        {"release": "v1", "deploy": old.id, "reason": "no"}
    ]
    assert api.get("/applications/shop/releases/v2").json["latched"] == []


def test_a_later_success_unlatches_and_a_cancelled_deploy_says_nothing(api, target):
    factories.deploy([], release=target[0], state="failed")
    factories.deploy([], release=target[0], state="cancelled")
    factories.deploy([], release=target[0], state="running")
    assert known_bad_releases(api) == ["v1"]
    factories.deploy([], release=target[0], state="succeeded")
    assert known_bad_releases(api) == []


def test_what_people_went_back_from_is_latched_and_what_they_went_back_to_is_not(api, target):
    old, new = target
    factories.deploy([], release=old, state="succeeded")
    bad = factories.deploy([], release=new, state="succeeded")
    back = factories.deploy([], release=old, state="succeeded", rollback_of=bad)
    assert known_bad_releases(api) == ["v2"]
    factories.deploy([], release=new, state="succeeded", rollback_of=back)
    assert known_bad_releases(api) == []


def test_other_environments_and_applications_are_apart(api, target):
    factories.deploy([], release=target[0], state="failed", environment=factories.environment("staging", 1))
    factories.deploy([], release=factories.release(factories.application("blog")), state="failed")
    assert known_bad_releases(api) == []
    assert api.post("/deploys", FIELDS).json["warnings"] == []
    assert Environment.select().count() == 2
