"""The routes of releases, as a client sees them."""

import pytest

from controllers.jobs import queue
from controllers.releases import build
from models import Release
from tests import factories
from tests.client import assert_problem
from tests.stack import Repository


@pytest.fixture(autouse=True)
def shop(database, monkeypatch):
    """An application; nobody answers when it is enqueued a build."""
    monkeypatch.setattr(queue, "enqueue", lambda *_, **__: None)
    return factories.application()


def test_a_release_is_asked_for_built_and_shown(api, shop, settings, tmp_path):
    settings.git.local_paths = [str(tmp_path)]
    repository = Repository(tmp_path / "repository")
    commit = repository.commit({"Procfile": "web: serve $PORT\n"})
    shop.source = {"repository": str(repository.folder), "branch": "main"}
    shop.save()
    answer = api.post("/applications/shop/releases", {"ref": "main"})
    assert answer.status_code == 202 and answer.headers["Location"].endswith("/api/v1/applications/shop/releases/v1")
    assert (answer.json["state"], answer.json["ref"]) == ("building", "main")
    build.KIND.carry_out(Release.get().id)
    shown = api.get("/applications/shop/releases/v1")
    assert shown.json["state"] == "ready" and shown.json["commit"] == commit and len(shown.json["digest"]) == 64
    assert shown.json["created_at"].endswith("Z") and shown.json["ended_at"] >= shown.json["created_at"]
    assert api.get("/applications/shop/releases/v1", headers={"If-None-Match": shown.headers["ETag"]}).status_code == 304
    history = api.get("/applications/shop/releases/v1/events").json["items"]
    assert [event["number"] for event in history] == list(range(1, len(history) + 1))
    assert history[-1]["data"]["state"] == "ready"
    stream = api.get("/applications/shop/releases/v1/stream", headers={"Last-Event-ID": "1"}).get_data(as_text=True)
    assert '"state":"ready"' in stream and "id: 2\n" in stream and "id: 1\n" not in stream


def test_nothing_needs_to_be_given(api):
    assert api.post("/applications/shop/releases", {}).json["ref"] == "main"


def test_a_build_that_was_asked_for_twice_with_one_key_is_one(api):
    answers = [api.post("/applications/shop/releases", {}, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert [answer.json["version"] for answer in answers] == ["v1", "v1"] and Release.select().count() == 1


@pytest.mark.parametrize(
    "body, field",
    [
        ({"ref": "--upload-pack=touch x"}, "ref"),
        ({"ref": ""}, "ref"),
        ({"ref": "a b"}, "ref"),
        ({"ref": 5}, "ref"),
        ({"ref": "x" * 300}, "ref"),
        ({"package_version": "1.0; import os"}, "package_version"),
        ({"package_version": "1.0"}, "package_version"),
        ({"branch": "main"}, "branch"),
        ({"upgrade_dependencies": "yes"}, "upgrade_dependencies"),
    ],
)
def test_bad_input_is_told_by_field_and_changes_nothing(api, body, field):
    problem = assert_problem(api.post("/applications/shop/releases", body), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert Release.select().count() == 0


def test_what_is_not_there_is_404(api):
    for path in (
        "/applications/nothing/releases",
        "/applications/shop/releases/v1",
        "/applications/shop/releases/v1/events",
        "/applications/shop/releases/v1/stream",
        "/applications/shop/releases/v1/compare/v2",
    ):
        assert_problem(api.get(path), 404, "not-found")


def test_nobody_sees_anything_without_logging_in(anonymous):
    for path in (
        "/applications/shop/releases",
        "/applications/shop/releases/v1",
        "/applications/shop/releases/v1/compare/v2",
    ):
        assert_problem(anonymous.get(path), 401, "unauthenticated")
    assert_problem(anonymous.post("/applications/shop/releases", {}), 401, "unauthenticated")
    assert Release.select().count() == 0


def test_a_build_is_cancelled(api, anonymous, shop):
    api.post("/applications/shop/releases", {})
    path = "/applications/shop/releases/v1/cancel"
    assert_problem(anonymous.post(path, {}), 401, "unauthenticated")
    assert_problem(api.post(path, {"force": True}), 422, "invalid")
    answers = [api.post(path, {}, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200] and answers[0].json == answers[1].json
    assert answers[0].json == {**api.get("/applications/shop/releases").json["items"][0], "state": "failed"}
    assert (answers[0].json["error"], answers[0].json["cancel_requested_by"]) == ("cancelled by admin", "admin")
    problem = assert_problem(api.post(path, {}), 409, "not-cancellable")
    assert problem["detail"] == "Release v1 of shop is failed: nothing is being built that could be cancelled."
    assert_problem(api.post("/applications/shop/releases/v2/cancel", {}), 404, "not-found")
    entries = api.get("/audit?action=release.cancel").json["items"]
    assert [(entry["actor"], entry["subject"], entry["data"]) for entry in entries] == [("admin", "shop", {"version": "v1"})]


def test_releases_are_listed_and_compared(api, shop):
    factories.release(shop, lock="flask==3.0\n")
    factories.release(shop, lock="flask==3.1\n")
    listed = api.get("/applications/shop/releases?limit=1")
    assert [item["version"] for item in listed.json["items"]] == ["v2"] and 'rel="next"' in listed.headers["Link"]
    compared = api.get("/applications/shop/releases/v1/compare/v2").json
    assert compared["dependencies"]["changed"] == [{"name": "flask", "from": "3.0", "to": "3.1"}]
    factories.release(shop, "failed")
    assert_problem(api.get("/applications/shop/releases/v1/compare/v3"), 409, "release-not-ready")
