"""/applications/<name>/targets as callers see them."""

import pytest

from controllers.actor import WINDLASS
from controllers.controller import Controller
from controllers.errors import Conflict
from controllers.fleet import targets
from models import Target, Variable
from tests import factories
from tests.client import assert_problem

PRODUCTION = "/applications/shop/targets/production"
STAGING = "/applications/shop/targets/staging"


@pytest.fixture(autouse=True)
def inventory(database):
    """An application, two environments, three hosts."""
    factories.application("shop", processes={"web": "serve", "worker": "work"})
    factories.environment("staging", 1)
    factories.environment("production", 2)
    factories.host("web-1", tags=["web", "eu"])
    factories.host("web-2", tags=["web"])
    factories.host("db-1", tags=["db"])


def test_it_is_made_with_defaults_and_shown(api):
    made = api.put(PRODUCTION, {"hosts": ["web-1"]})
    assert made.status_code == 201
    target = made.json
    assert (target["application"], target["environment"], target["hosts"], target["resolved_hosts"]) == (
        "shop",
        "production",
        ["web-1"],
        ["web-1"],
    )
    assert (
        target["strategy"].items()
        >= {
            "kind": "all-at-once",
            "max_failures": 0,
            "pause_s": 0,
            "bake_s": 0,
            "on_failure": "rollback",
        }.items()
    )
    assert target["health"] == {"path": "/", "timeout_s": 30, "expect_status": None}
    assert (target["processes"], target["server_names"], target["drain_s"], target["keep_warm"]) == ({}, [], 30, True)
    assert api.get(PRODUCTION).json == target


def test_put_replaces_it_whole_and_leaves_variables_alone(api):
    made = api.put(
        PRODUCTION,
        {
            "hosts": ["web-1"],
            "strategy": {"kind": "rolling", "batch": "25%", "max_failures": "10%", "pause_s": 5, "on_failure": "stop"},
            "drain_s": 0,
            "health": {"path": "/health", "timeout_s": 5, "expect_status": 204},
            "processes": {"worker": None},
            "server_names": ["Shop.example.net"],
            "keep_warm": False,
        },
    ).json
    assert (
        made["strategy"].items()
        >= {
            "kind": "rolling",
            "batch": "25%",
            "max_failures": "10%",
            "pause_s": 5,
            "bake_s": 0,
            "on_failure": "stop",
        }.items()
    )
    assert made["health"] == {"path": "/health", "timeout_s": 5, "expect_status": 204}
    assert (made["processes"], made["server_names"], made["drain_s"], made["keep_warm"]) == (
        {"worker": None},
        ["shop.example.net"],
        0,
        False,
    )
    api.put(f"{PRODUCTION}/variables", {"variables": {"A": "1"}})
    replaced = api.put(PRODUCTION, {"hosts": {"tags": ["web"]}})
    assert replaced.status_code == 200
    assert (replaced.json["hosts"], replaced.json["resolved_hosts"]) == ({"tags": ["web"]}, ["web-1", "web-2"])
    assert (replaced.json["strategy"]["kind"], replaced.json["processes"], replaced.json["keep_warm"]) == (
        "all-at-once",
        {},
        True,
    )
    assert replaced.json["created_at"] == made["created_at"]
    assert api.get(f"{PRODUCTION}/variables").json["variables"] == {"A": "1"}


def test_rolling_goes_host_by_host_when_nothing_is_said(api):
    assert api.put(PRODUCTION, {"hosts": ["web-1"], "strategy": {"kind": "rolling"}}).json["strategy"]["batch"] == 1


def test_everything_that_is_wrong_is_told_at_once(api):
    answer = api.put(
        PRODUCTION,
        {
            "hosts": [],
            "strategy": {
                "kind": "blue-green",
                "batch": 0,
                "max_failures": "x",
                "pause_s": -1,
                "bake_s": "1",
                "on_failure": "panic",
                "x": 1,
            },
            "health": {"path": "health", "timeout_s": 0, "expect_status": 99, "x": 1},
            "processes": {"We b": "x", "web": ""},
            "server_names": ["a;b"],
            "drain_s": -1,
            "keep_warm": "yes",
            "x": 1,
        },
    )
    errors = {error["field"]: error["message"] for error in assert_problem(answer, 422, "invalid")["errors"]}
    expected = {
        "hosts",
        "strategy.kind",
        "strategy.batch",
        "strategy.max_failures",
        "strategy.pause_s",
        "strategy.bake_s",
        "strategy.on_failure",
        "strategy.x",
        "health.path",
        "health.timeout_s",
        "health.expect_status",
        "health.x",
        "processes.web",
        "server_names.0",
        "drain_s",
        "keep_warm",
        "x",
    }
    assert expected <= set(errors)
    assert "rolling" in errors["strategy.kind"]
    assert Target.select().count() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hosts": None},
        {"hosts": "web-1"},
        {"hosts": {"tags": []}},
        {"hosts": {"tags": ["web"], "x": 1}},
        {"hosts": ["web-1"], "strategy": None},
        {"hosts": ["web-1"], "variables": {}},
    ],
)
def test_bad_fields_are_refused(api, fields):
    assert_problem(api.put(PRODUCTION, fields), 422, "invalid")


def test_unknown_hosts_are_named(api):
    problem = assert_problem(api.put(PRODUCTION, {"hosts": ["web-1", "web-9", "web-8"]}), 422, "invalid")
    assert problem["errors"][0]["field"] == "hosts"
    assert (
        "web-9" in problem["errors"][0]["message"]
        and "web-8" in problem["errors"][0]["message"]
        and "web-1" not in problem["errors"][0]["message"]
    )
    assert Target.select().count() == 0


def test_tags_may_come_before_their_hosts(api):
    assert api.put(PRODUCTION, {"hosts": {"tags": ["later"]}}).json["resolved_hosts"] == []
    factories.host("late-1", tags=["later"])
    assert api.get(PRODUCTION).json["resolved_hosts"] == ["late-1"]


def test_all_tags_must_be_there(api):
    assert api.put(PRODUCTION, {"hosts": {"tags": ["web", "eu"]}}).json["resolved_hosts"] == ["web-1"]


@pytest.mark.parametrize(
    "taken, requested",
    [
        (["web-1"], ["web-1", "db-1"]),
        (["web-1"], {"tags": ["web"]}),
        ({"tags": ["eu"]}, ["web-1"]),
        ({"tags": ["web"]}, {"tags": ["eu"]}),
    ],
)
def test_a_host_serves_an_application_in_one_environment_only(api, taken, requested):
    api.put(STAGING, {"hosts": taken})
    problem = assert_problem(api.put(PRODUCTION, {"hosts": requested}), 409, "host-taken")
    assert (problem["hosts"], problem["environment"]) == (["web-1"], "staging")
    assert_problem(api.get(PRODUCTION), 404, "not-found")
    assert api.put(STAGING, {"hosts": ["web-1"]}).status_code == 200, "its own environment does not take it from itself"


def test_another_application_may_share_the_host(api):
    factories.application("other")
    api.put(STAGING, {"hosts": ["web-1"]})
    assert api.put("/applications/other/targets/production", {"hosts": ["web-1"]}).status_code == 201


@pytest.mark.parametrize(
    "path, named", [("/applications/gone/targets/production", "gone"), ("/applications/shop/targets/moon", "moon")]
)
def test_what_it_connects_must_exist(api, path, named):
    assert named in assert_problem(api.put(path, {"hosts": ["web-1"]}), 404, "not-found")["detail"]
    assert named in assert_problem(api.get(path), 404, "not-found")["detail"]


def test_one_that_was_never_made_is_not_there(api):
    problem = assert_problem(api.get(PRODUCTION), 404, "not-found")
    assert "has no target in production: make one" in problem["detail"]


def test_if_match(api):
    assert_problem(api.put(PRODUCTION, {"hosts": ["web-1"]}, headers={"If-Match": '"x"'}), 412, "precondition-failed")
    api.put(PRODUCTION, {"hosts": ["web-1"]})
    tag = api.get(PRODUCTION).headers["ETag"]
    assert api.put(PRODUCTION, {"hosts": ["web-2"]}, headers={"If-Match": tag}).status_code == 200
    assert_problem(api.put(PRODUCTION, {"hosts": ["db-1"]}, headers={"If-Match": tag}), 412, "precondition-failed")
    assert api.get(PRODUCTION).json["hosts"] == ["web-2"]


def test_an_applications_targets_are_listed(api):
    api.put(STAGING, {"hosts": ["web-1"]})
    api.put(PRODUCTION, {"hosts": ["web-2"]})
    first = api.get("/applications/shop/targets?limit=1").json
    rest = api.get(f"/applications/shop/targets?limit=1&after={first['next']}").json
    assert [item["environment"] for item in first["items"] + rest["items"]] == ["staging", "production"]
    assert rest["next"] is None


def test_deleting_takes_variables_along(api):
    api.put(PRODUCTION, {"hosts": ["web-1"]})
    api.put(f"{PRODUCTION}/variables", {"variables": {"A": "1"}})
    assert api.delete(PRODUCTION).status_code == 204
    assert Variable.select().count() == 0
    assert_problem(api.delete(PRODUCTION), 404, "not-found")


def test_it_is_not_deleted_during_a_deploy(api):
    api.put(PRODUCTION, {"hosts": ["web-1"]})
    deploy = factories.deploy([], release=factories.release(factories.application("shop")), state="running")
    problem = assert_problem(api.delete(PRODUCTION), 409, "in-use")
    assert f"deploy {deploy.id}" in problem["detail"]
    deploy.state = "succeeded"
    deploy.save()
    assert api.delete(PRODUCTION).status_code == 204


# What the engine reads.


def test_a_snapshot_holds_everything_a_rollout_goes_by(api):
    api.put(
        PRODUCTION,
        {
            "hosts": {"tags": ["web"]},
            "processes": {"worker": None, "clock": "tick"},
            "drain_s": 5,
            "keep_warm": False,
            "server_names": ["x.example.net"],
        },
    )
    shown = api.get(PRODUCTION).json
    taken = targets.snapshot(Controller(WINDLASS).target("shop", "production"))
    assert taken == {
        "application": "shop",
        "environment": "production",
        "hosts": ["web-1", "web-2"],
        "selector": {"tags": ["web"]},
        "strategy": shown["strategy"],
        "health": shown["health"],
        "processes": {"web": "serve", "worker": None, "clock": "tick"},
        "server_names": ["x.example.net"],
        "configure": [],
        "drain_s": 5,
        "keep_warm": False,
    }


def test_a_snapshot_without_hosts_is_refused(api):
    api.put(PRODUCTION, {"hosts": {"tags": ["later"]}})
    with pytest.raises(Conflict) as refused:
        targets.snapshot(Controller(WINDLASS).target("shop", "production"))
    assert refused.value.code == "no-hosts"


def test_a_snapshot_is_refused_when_tags_have_moved_a_host_into_two_environments(api):
    api.put(STAGING, {"hosts": {"tags": ["eu"]}})
    api.put(PRODUCTION, {"hosts": {"tags": ["db"]}})
    api.patch("/hosts/web-1", {"tags": ["eu", "db"]})
    with pytest.raises(Conflict) as refused:
        targets.snapshot(Controller(WINDLASS).target("shop", "production"))
    assert (refused.value.code, refused.value.extra["hosts"]) == ("host-taken", ["web-1"])


@pytest.mark.parametrize(
    "changes, base, complete",
    [
        ({}, None, {"kind": "all-at-once", "on_failure": "rollback"}),
        ({"kind": "rolling"}, {"kind": "all-at-once", "pause_s": 9}, {"kind": "rolling", "batch": 1, "pause_s": 9}),
        (
            {"batch": 3},
            {"kind": "rolling", "batch": 1, "on_failure": "stop"},
            {"kind": "rolling", "batch": 3, "on_failure": "stop"},
        ),
        ({"kind": "rolling"}, {"kind": "rolling", "batch": "50%"}, {"kind": "rolling", "batch": "50%"}),
    ],
)
def test_a_deploys_strategy_overlays_its_targets(changes, base, complete):
    made = targets.complete_strategy(changes, base)
    assert {name: made[name] for name in complete} == complete
    assert set(made) >= {"kind", "max_failures", "pause_s", "bake_s", "on_failure"}
