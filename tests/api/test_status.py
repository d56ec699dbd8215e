"""/status and /status/public as callers see them."""

import json

import pytest

from controllers.status import StatusController
from models import Placement, Target
from models.db import now
from tests import factories
from tests.client import ApiClient, assert_problem

pytestmark = pytest.mark.both_databases


def target(application="shop", environment="production", hosts=("web-1",)):
    """Make a target; `hosts` is as the API has it."""
    return Target.create(
        application=factories.application(application),
        environment=factories.environment(environment),
        hosts=hosts if isinstance(hosts, dict) else list(hosts),
        strategy={},
        health={},
        created_at=now(),
        updated_at=now(),
    )


def place(host, release, is_healthy=True, environment="production", **columns):
    """Write what was seen of a release on a host; a release None is content that nobody knows."""
    return Placement.create(
        **{
            "application": factories.application("shop"),
            "environment": factories.environment(environment),
            "host": host,
            "release": release,
            "digest": release.digest if release else "f" * 64,
            "is_healthy": is_healthy,
            "address": "http://10.0.0.5/",
            "observed_at": now(),
            **columns,
        }
    )


def only(api, query=""):
    """Return the one item of the status."""
    items = api.get(f"/status{query}").json["items"]
    assert len(items) == 1
    return items[0]


def test_a_new_target_was_never_deployed(api):
    factories.host("web-1")
    target()
    assert only(api) == {
        "application": "shop",
        "environment": "production",
        "desired": None,
        "observed": None,
        "state": "never",
        "health": "unknown",
        "lock": None,
        "maintenance": None,
        "drift": False,
        "drift_detail": None,
        "drift_count": 0,
        "stale": False,
        "unreachable": [],
        "previous_release": None,
        "url": None,
        "observed_at": None,
        "deploy": None,
        "hosts": [
            {
                "host": "web-1",
                "release": None,
                "reachable": True,
                "in_service": True,
                "stale": False,
                "drift": [],
                "drifted_since": None,
                "healthy": None,
                "observed_at": None,
                "url": None,
            }
        ],
    }


def test_all_is_well(api):
    first, second = factories.host("web-1"), factories.host("web-2")
    target(hosts=["web-1", "web-2"])
    old, new = factories.release(), factories.release()
    deploy = factories.deploy([first, second], release=new, previous_release=old, state="succeeded")
    place(first, new)
    place(second, new)
    item = only(api)
    assert (
        item["desired"],
        item["observed"],
        item["state"],
        item["health"],
        item["drift"],
        item["previous_release"],
    ) == ("v2", "v2", "succeeded", "healthy", False, "v1")
    assert (item["deploy"]["id"], item["deploy"]["release"], item["deploy"]["requested_by"], item["url"]) == (
        deploy.id,
        "v2",
        "tester",
        "http://10.0.0.5/",
    )
    assert [(host["host"], host["release"], host["healthy"]) for host in item["hosts"]] == [
        ("web-1", "v2", True),
        ("web-2", "v2", True),
    ]
    assert item["observed_at"] and item["hosts"][0]["observed_at"]


@pytest.mark.parametrize(
    "state, desired",
    [
        ("running", "v2"),
        ("paused", "v2"),
        ("succeeded", "v2"),
        ("queued", "v1"),
        ("rolling_back", "v1"),
        ("rolled_back", "v1"),
        ("failed", "v1"),
        ("cancelled", "v1"),
    ],
)
def test_what_should_be_there_is_what_last_succeeded_or_runs_now(api, state, desired):
    factories.host("web-1")
    target()
    factories.deploy([], release=factories.release(), state="succeeded")
    factories.deploy([], release=factories.release(), state=state)
    item = only(api)
    assert (item["desired"], item["state"], item["deploy"]["release"]) == (desired, state, "v2")


def test_drift_says_which_host_has_what(api):
    hosts = [factories.host(f"web-{number}") for number in range(1, 5)]
    target(hosts=[host.name for host in hosts])
    old, new = factories.release(), factories.release()
    factories.deploy(hosts, release=new, state="succeeded")
    place(hosts[0], new)
    place(hosts[1], old)
    place(hosts[2], None)
    item = only(api)
    assert (item["observed"], item["drift"]) == (None, True)
    detail = item["drift_detail"]
    assert (
        "web-2: v1" in detail
        and "web-3: another build" in detail
        and "web-4: nothing" in detail
        and "web-1" not in detail
        and "v2" in detail
    )


def test_a_deploy_under_way_is_no_drift(api):
    host = factories.host("web-1")
    target()
    old = factories.release()
    factories.deploy([host], release=old, state="succeeded")
    factories.deploy([host], release=factories.release(), state="running")
    place(host, old)
    item = only(api)
    assert (item["desired"], item["observed"], item["drift"]) == ("v2", "v1", False)


def test_another_release_of_the_same_content_is_the_same(api):
    host = factories.host("web-1")
    target()
    built, built_again = factories.release(digest="d" * 64), factories.release(digest="d" * 64)
    factories.deploy([host], release=built_again, state="succeeded")
    place(host, built)
    item = only(api)
    assert (item["observed"], item["drift"]) == ("v2", False)


@pytest.mark.parametrize(
    "seen, health",
    [
        ([True, True], "healthy"),
        ([True, False], "unhealthy"),
        ([True, None], "unknown"),
        ([False, None], "unhealthy"),
        ([True], "unknown"),
    ],
)
def test_health_needs_every_host(api, seen, health):
    hosts = [factories.host("web-1"), factories.host("web-2")]
    target(hosts=["web-1", "web-2"])
    release = factories.release()
    for host, is_healthy in zip(hosts, seen, strict=False):
        place(host, release, is_healthy=is_healthy)
    assert only(api)["health"] == health


def test_hosts_by_tags_are_those_that_have_all_of_them(api):
    factories.host("web-1", tags=["web", "eu"])
    factories.host("web-2", tags=["web"])
    target(hosts={"tags": ["web", "eu"]})
    assert [host["host"] for host in only(api)["hosts"]] == ["web-1"]


def test_without_hosts_nothing_is_known(api):
    target(hosts={"tags": ["later"]})
    factories.deploy([], release=factories.release(), state="succeeded")
    item = only(api)
    assert (item["hosts"], item["observed"], item["health"], item["drift"]) == ([], None, "unknown", False)


def test_filters_and_pages_follow_application_and_order_of_promotion(api):
    factories.environment("production", 2)
    factories.environment("staging", 1)
    for application in ("b", "a"):
        for environment in ("production", "staging"):
            target(application, environment)
    seen, after = [], None
    while True:
        page = api.get("/status?limit=1" + (f"&after={after}" if after else "")).json
        seen += [(item["application"], item["environment"]) for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [("a", "staging"), ("a", "production"), ("b", "staging"), ("b", "production")]
    assert [(environment["name"], environment["position"]) for environment in page["environments"]] == [
        ("staging", 1),
        ("production", 2),
    ]
    assert only(api, "?application=b&environment=staging")["application"] == "b"
    assert api.get("/status?application=gone").json["items"] == []
    assert_problem(api.get("/status?after=WyJhIl0"), 422, "invalid")


def test_the_number_of_queries_does_not_grow_with_the_targets(administrator, database, monkeypatch):
    def queries():
        sent = []
        with monkeypatch.context() as patched:
            run = database.execute_sql
            patched.setattr(database, "execute_sql", lambda sql, *rest, **options: sent.append(sql) or run(sql, *rest, **options))
            page = StatusController(administrator).listing(limit=200)
        return len(page["items"]), len(sent)

    hosts = [factories.host(f"web-{number}") for number in range(4)]
    make_targets(1, hosts)
    assert queries()[0] == 2
    few = queries()[1]
    make_targets(50, hosts)
    assert queries() == (100, few)
    assert few <= 9


def make_targets(number, hosts):
    """Make targets of so many applications in two environments, each deployed and seen."""
    for index in range(number):
        application = factories.application(f"app-{index}")
        for environment, of in (("staging", hosts[:2]), ("production", hosts[2:])):
            if Target.get_or_none(Target.application == application, Target.environment == factories.environment(environment)):
                continue
            target(application.name, environment, [host.name for host in of])
            old, new = factories.release(application), factories.release(application)
            factories.deploy(
                [], release=new, previous_release=old, state="succeeded", environment=factories.environment(environment)
            )
            for host in of:
                Placement.create(
                    application=application,
                    environment=factories.environment(environment),
                    host=host,
                    release=new,
                    digest=new.digest,
                    is_healthy=True,
                    observed_at=1,
                )


# What everybody may know.


def test_the_public_status_has_names_releases_and_states_only(anonymous):
    host = factories.host("web-1")
    target()
    release = factories.release()
    factories.deploy([host], release=release, state="succeeded")
    place(host, release)
    answer = anonymous.get("/status/public")
    assert answer.status_code == 200
    assert answer.json == {
        "items": [{"application": "shop", "environment": "production", "release": "v1", "state": "succeeded"}],
        "next": None,
    }


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer wrong"}, {"Authorization": "nonsense"}, {"Cookie": "windlass=x"}])
def test_the_public_status_reads_no_credentials(application, database, headers):
    client = ApiClient(application)
    client.headers = headers
    answer = client.get("/status/public")
    assert answer.status_code == 200
    assert answer.json == {"items": [], "next": None}


def test_the_public_status_as_a_script(anonymous):
    answer = anonymous.get("/status/public?callback=windlass.show")
    assert answer.mimetype == "text/javascript"
    body = answer.get_data(as_text=True)
    assert body.startswith("/**/windlass.show(") and body.endswith(");")
    assert json.loads(body.removeprefix("/**/windlass.show(").removesuffix(");")) == {"items": [], "next": None}


@pytest.mark.parametrize("callback", ["", "alert(1)", "a;b", "<script>", "a-b", "a" * 400, "%E2%80%A8"])
def test_a_callback_is_a_name(anonymous, callback):
    assert_problem(anonymous.get(f"/status/public?callback={callback}"), 422, "invalid")


def test_the_full_status_is_never_a_script(api):
    assert_problem(api.get("/status?callback=show"), 422, "invalid")


def test_the_public_status_is_paged(anonymous):
    for application in ("a", "b"):
        target(application)
    first = anonymous.get("/status/public?limit=1").json
    rest = anonymous.get(f"/status/public?limit=1&after={first['next']}").json
    assert [item["application"] for item in first["items"] + rest["items"]] == ["a", "b"]
