"""/applications as callers see it."""

import re

import pytest

from api.routing import ENDPOINTS
from models import Release
from tests import factories
from tests.client import assert_problem

GIT = {"repository": "https://git.example.net/team/shop.git"}


def make(api, name="shop", **fields):
    """Make an application that is expected to be made; returns the answer."""
    answer = api.post("/applications", {"name": name, "source": GIT, **fields})
    assert answer.status_code == 201, answer.text
    return answer


def test_it_is_made_with_defaults_and_shown(api):
    made = make(api)
    assert made.headers["Location"] == "/api/v1/applications/shop"
    assert made.json["source"] == {"integration": None, "repository": GIT["repository"], "branch": "main"}
    assert (made.json["team"], made.json["processes"]) == (None, {})
    assert made.json["created_at"].endswith("Z")
    assert api.get("/applications/shop").json == made.json


def test_a_package_is_a_source_too(api):
    made = make(
        api,
        "httpbin",
        source={"package": "httpbin[mainapp]"},
        processes={"web": "gunicorn --bind unix:$SOCKET httpbin:app"},
    )
    assert made.json["source"] == {"integration": None, "package": "httpbin[mainapp]", "requirements": []}
    pinned = {"package": "x", "requirements": ["gunicorn==23.0.0"]}
    assert make(api, "x", source=pinned).json["source"]["requirements"] == ["gunicorn==23.0.0"]
    assert made.json["processes"] == {"web": "gunicorn --bind unix:$SOCKET httpbin:app"}


def test_everything_that_is_wrong_is_told_at_once(api):
    answer = api.post(
        "/applications",
        {
            "name": "-Shop",
            "source": {"repository": "ext::sh -c id", "branch": "--x"},
            "team": "",
            "processes": {"We b": "x", "web": ""},
            "x": 1,
        },
    )
    fields = {error["field"] for error in assert_problem(answer, 422, "invalid")["errors"]}
    assert {"name", "source.repository", "source.branch", "team", "processes.web", "x"} <= fields
    assert api.get("/applications").json["items"] == []


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"repository": None},
        {"repository": "https://x/y", "package": "z"},
        {"package": "z", "branch": "main"},
        {"repository": "https://x/y", "requirements": ["z"]},
        {"package": "z", "requirements": ["-r x"]},
        {"integration": "x"},
        "https://x/y",
        None,
        [GIT],
    ],
)
def test_a_source_is_one_repository_or_one_package(api, source):
    problem = assert_problem(api.post("/applications", {"name": "shop", "source": source}), 422, "invalid")
    assert problem["errors"][0]["field"].startswith("source")


def test_a_source_is_needed(api):
    problem = assert_problem(api.post("/applications", {"name": "shop"}), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == ["source"]


def test_an_integration_must_exist_and_serve_such_a_source(api):
    problem = assert_problem(
        api.post("/applications", {"name": "shop", "source": {**GIT, "integration": "gone"}}), 422, "invalid"
    )
    assert problem["errors"][0]["field"] == "source.integration"
    api.post("/integrations", {"name": "pypi", "driver": "package-index", "url": "https://pypi.example.net/simple"})
    problem = assert_problem(
        api.post("/applications", {"name": "shop", "source": {**GIT, "integration": "pypi"}}), 422, "invalid"
    )
    assert "git" in problem["errors"][0]["message"]
    made = make(api, source={"package": "shop", "integration": "pypi"})
    assert made.json["source"]["integration"] == "pypi"


def test_an_artifact_of_a_build_that_leaves_none_is_refused(api):
    api.post("/integrations", {"name": "here", "driver": "local"})
    login = {"username": "deploy", "token": "geheim"}
    api.post(
        "/integrations",
        {"name": "ci", "driver": "jenkins", "url": "https://ci.example.net", "credentials": login},
    )
    build = {"integration": "ci", "job": "team/shop", "artifact": "dist/shop.tar.gz"}
    assert make(api, build=build).json["build"] == build
    problem = assert_problem(api.patch("/applications/shop", {"build": {**build, "integration": "here"}}), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == ["build.artifact"]
    assert "'here'" in problem["errors"][0]["message"] and "leave artifact out" in problem["errors"][0]["message"]
    assert api.get("/applications/shop").json["build"] == build, "nothing was changed"
    moved = {"integration": "here", "job": "team/shop"}
    assert api.patch("/applications/shop", {"build": moved}).json["build"] == moved


def test_a_repository_that_no_build_could_read_is_refused_at_once(api):
    url, login = "https://git.example.net/team", {"username": "deploy", "password": "geheim"}
    assert api.post("/integrations", {"name": "ours", "driver": "git", "url": url, "credentials": login}).status_code == 201
    for source in (
        {"repository": "shop"},
        {"repository": "https://elsewhere.example.net/team/shop", "integration": "ours"},
    ):
        problem = assert_problem(api.post("/applications", {"name": "shop", "source": source}), 422, "invalid")
        assert [error["field"] for error in problem["errors"]] == ["source.repository"]
        assert "integration" in problem["errors"][0]["message"]
    assert make(api, source={"repository": "shop", "integration": "ours"}).json["source"]["repository"] == "shop"


def test_a_second_one_of_the_same_name_is_refused(api):
    make(api)
    problem = assert_problem(api.post("/applications", {"name": "shop", "source": {"package": "x"}}), 409, "already-exists")
    assert "shop" in problem["detail"]
    assert api.get("/applications/shop").json["source"]["repository"] == GIT["repository"]


def test_a_change_leaves_alone_what_it_does_not_name(api):
    before = make(api, team="checkout", processes={"web": "serve"}).json
    changed = api.patch("/applications/shop", {"source": {"repository": "https://x.example.net/y", "branch": "next"}}).json
    assert changed["source"] == {"integration": None, "repository": "https://x.example.net/y", "branch": "next"}
    assert (changed["team"], changed["processes"], changed["created_at"]) == (
        "checkout",
        {"web": "serve"},
        before["created_at"],
    )
    assert api.patch("/applications/shop", {"team": None, "processes": {}}).json["team"] is None
    assert api.get("/applications/shop").json["processes"] == {}


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"source": None}, {"processes": None}, {"created_at": "2026-01-01T00:00:00Z"}]
)
def test_a_change_of_what_cannot_change_is_refused(api, change):
    before = make(api).json
    assert_problem(api.patch("/applications/shop", change), 422, "invalid")
    assert api.get("/applications/shop").json == before


def test_if_match_keeps_two_changes_from_overwriting_each_other(api):
    make(api)
    tag = api.get("/applications/shop").headers["ETag"]
    assert api.patch("/applications/shop", {"team": "a"}, headers={"If-Match": tag}).status_code == 200
    assert_problem(api.patch("/applications/shop", {"team": "b"}, headers={"If-Match": tag}), 412, "precondition-failed")
    assert api.get("/applications/shop").json["team"] == "a"
    assert api.patch("/applications/shop", {"team": "c"}, headers={"If-Match": "*"}).json["team"] == "c"


def test_lists_are_paged_by_name(api):
    for name in ("c", "a", "e", "b", "d"):
        make(api, name)
    names, after = [], ""
    while after is not None:
        page = api.get(f"/applications?limit=2{'&after=' + after if after else ''}").json
        assert len(page["items"]) <= 2
        names += [item["name"] for item in page["items"]]
        after = page["next"]
    assert names == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "after=x", "after=WyJhIiwiYiJd", "sort=name"])
def test_bad_pages_are_refused(api, query):
    assert_problem(api.get(f"/applications?{query}"), 422, "invalid")


def test_what_is_not_there_is_a_404(api):
    for path in (
        *(
            "/applications/gone",
            "/applications/%00",
            "/applications/..%2f",
            "/environments/gone",
            "/zones/gone",
            "/hosts/gone",
        ),
        *(
            "/applications/gone/targets",
            "/applications/gone/targets/production",
            "/applications/gone/targets/x/variables",
        ),
        *("/integrations/%00", "/deploys/17", "/deploys/17/hosts", "/deploys/17/events", "/deploys/17/log"),
        *("/deploys/17/stream", "/deploys/999999999999999999"),
    ):
        assert_problem(api.get(path), 404, "not-found")


def test_nobody_gets_anything(anonymous):
    open_to_all = {
        "/",
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
        "/status/public",
        "/session",
        "/hooks/<name>",
        "",
    }
    guarded = [endpoint for endpoint in ENDPOINTS if endpoint.path not in open_to_all]
    assert len(guarded) > 40
    for endpoint in guarded:
        path = re.sub(r"<\w+(:\w+)?>", "1", endpoint.path)
        answer = anonymous.request(endpoint.method, path, {} if endpoint.method != "GET" else None)
        assert_problem(answer, 401, "unauthenticated")


def test_deleting_takes_releases_along(api):
    make(api)
    factories.release(factories.application("shop"))
    assert api.delete("/applications/shop").status_code == 204
    assert_problem(api.get("/applications/shop"), 404, "not-found")
    assert Release.select().count() == 0
    assert_problem(api.delete("/applications/shop"), 404, "not-found")


def test_deleting_is_refused_while_there_are_targets(api):
    make(api)
    api.post("/environments", {"name": "production"})
    api.post("/hosts", {"name": "web-1", "user": "deploy", "zone": factories.zone().name})
    assert api.put("/applications/shop/targets/production", {"hosts": ["web-1"]}).status_code == 201
    problem = assert_problem(api.delete("/applications/shop"), 409, "in-use")
    assert "production" in problem["detail"]
    assert api.get("/applications/shop").status_code == 200
