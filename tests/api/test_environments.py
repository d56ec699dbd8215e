"""/environments as callers see it."""

import pytest

from controllers.catalog import environments
from models import Environment, Target
from tests import factories
from tests.client import assert_problem


def names(api):
    return [item["name"] for item in api.get("/environments").json["items"]]


def test_the_first_start_makes_staging_and_production_once(api):
    environments.ensure_first()
    environments.ensure_first()
    assert [(item["name"], item["position"]) for item in api.get("/environments").json["items"]] == [
        ("staging", 1),
        ("production", 2),
    ]
    api.delete("/environments/staging")
    environments.ensure_first()
    assert names(api) == ["production"], "what somebody deleted must stay away"


def test_a_new_one_comes_last_unless_it_says_where(api):
    environments.ensure_first()
    made = api.post("/environments", {"name": "live"})
    assert (made.status_code, made.json["position"], made.headers["Location"]) == (201, 3, "/api/v1/environments/live")
    api.post("/environments", {"name": "dev", "position": 0})
    assert names(api) == ["dev", "staging", "production", "live"]


def test_pages_follow_the_order_of_promotion(api):
    for name, position in (("c", 1), ("a", 2), ("b", 1)):
        api.post("/environments", {"name": name, "position": position})
    first = api.get("/environments?limit=2").json
    rest = api.get(f"/environments?limit=2&after={first['next']}").json
    assert [item["name"] for item in first["items"] + rest["items"]] == ["b", "c", "a"]
    assert rest["next"] is None


def test_moving_one(api):
    environments.ensure_first()
    tag = api.get("/environments/staging").headers["ETag"]
    assert api.patch("/environments/staging", {"position": 9}, headers={"If-Match": tag}).json["position"] == 9
    assert_problem(api.patch("/environments/staging", {"position": 1}, headers={"If-Match": tag}), 412, "precondition-failed")
    assert names(api) == ["production", "staging"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "A"},
        {"name": "a/b"},
        {"name": "x", "position": -1},
        {"name": "x", "position": "1"},
        {"name": "x", "position": 1001},
        {"name": "x", "protected": True},
    ],
)
def test_bad_ones_are_refused(api, fields):
    assert_problem(api.post("/environments", fields), 422, "invalid")
    assert Environment.select().count() == 0


def test_a_second_one_is_refused(api):
    environments.ensure_first()
    assert_problem(api.post("/environments", {"name": "staging"}), 409, "already-exists")


def test_one_in_use_is_not_deleted(api):
    environments.ensure_first()
    application = factories.application("shop")
    Target.create(
        application=application,
        environment=factories.environment("staging"),
        hosts=["x"],
        strategy={},
        health={},
        created_at=1,
        updated_at=1,
    )
    assert "shop" in assert_problem(api.delete("/environments/staging"), 409, "in-use")["detail"]
    factories.deploy([], release=factories.release(application), environment=factories.environment("production"))
    problem = assert_problem(api.delete("/environments/production"), 409, "in-use")
    assert problem["used_by"] == ["the deploys of shop"]
    assert names(api) == ["staging", "production"]
