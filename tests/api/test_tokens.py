"""/tokens as callers see it."""

import pytest

from controllers.access import sessions
from models import Token, User
from models.db import clock
from tests.client import ApiClient, assert_problem


@pytest.fixture
def colleague(database, application):
    """A client of a user who is no administrator."""
    user = User.create(name="colleague", created_at=clock())
    Token.create(user=user, name="laptop", secret_hash=sessions.digest("colleagues-token"), created_at=clock())
    return ApiClient(application, "colleagues-token")


def test_a_new_tokens_secret_works_and_is_shown_once(api, application):
    made = api.post("/tokens", {"name": "ci"})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.headers["Location"] == f"/api/v1/tokens/{made.json['id']}"
    secret = made.json["secret"]
    assert ApiClient(application, secret).get("/me").json["name"] == "admin"
    assert secret not in api.get(f"/tokens/{made.json['id']}").text + api.get("/tokens").text


def test_only_the_digest_of_a_secret_is_kept(api):
    secret = api.post("/tokens", {"name": "ci"}).json["secret"]
    stored = repr(list(Token.select().dicts()))
    assert secret not in stored and sessions.digest(secret) in stored


def test_a_revoked_token_is_refused_from_the_next_request_on(api, application):
    made = api.post("/tokens", {"name": "ci"}).json
    ci = ApiClient(application, made["secret"])
    assert ci.get("/me").status_code == 200
    assert api.delete(f"/tokens/{made['id']}").status_code == 204
    assert_problem(ci.get("/me"), 401, "token-invalid")
    assert_problem(api.get(f"/tokens/{made['id']}"), 404, "token-not-found")


def test_an_expired_token_is_refused(api, application):
    made = api.post("/tokens", {"name": "ci", "expires_at": "2999-01-01T00:00:00Z"}).json
    ci = ApiClient(application, made["secret"])
    assert ci.get("/me").status_code == 200
    Token.update(expires_at=clock() - 1).where(Token.id == made["id"]).execute()
    assert_problem(ci.get("/me"), 401, "token-invalid")


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 300}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "ci", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "ci", "expires_at": "2999-01-01T00:00:00"}, "expires_at"),
        ({"name": "ci", "expires_at": "soon"}, "expires_at"),
        ({"name": "ci", "user": "nobody"}, "user"),
        ({"name": "ci", "nmae": "x"}, "nmae"),
    ],
)
def test_what_cannot_be_a_token_is_refused_by_field(api, body, field):
    problem = assert_problem(api.post("/tokens", body), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert Token.select().count() == 1


def test_every_wrong_field_is_told_at_once(api):
    problem = assert_problem(api.post("/tokens", {"name": 1, "expires_at": 2, "more": 3}), 422, "invalid")
    assert {error["field"] for error in problem["errors"]} == {"name", "expires_at", "more"}


def test_a_token_can_be_renamed_and_limited(api):
    token = api.post("/tokens", {"name": "ci"}).json
    changed = api.patch(f"/tokens/{token['id']}", {"name": "robot"})
    assert (changed.status_code, changed.json["name"], changed.json["expires_at"]) == (200, "robot", None)
    changed = api.patch(f"/tokens/{token['id']}", {"expires_at": "2999-01-01T01:00:00+01:00"})
    assert (changed.json["name"], changed.json["expires_at"]) == ("robot", "2999-01-01T00:00:00.000Z")
    assert api.patch(f"/tokens/{token['id']}", {"expires_at": None}).json["expires_at"] is None


def test_a_change_of_an_older_version_is_refused(api):
    path = f"/tokens/{api.post('/tokens', {'name': 'ci'}).json['id']}"
    seen = api.get(path).headers["ETag"]
    assert api.patch(path, {"name": "second"}, headers={"If-Match": seen}).status_code == 200
    assert_problem(api.patch(path, {"name": "third"}, headers={"If-Match": seen}), 412, "precondition-failed")
    assert api.get(path).json["name"] == "second"
    assert (
        api.patch(path, {"name": "third"}, headers={"If-Match": f'"other", {api.get(path).headers["ETag"]}'}).status_code == 200
    )
    assert api.patch(path, {"name": "fourth"}, headers={"If-Match": "*"}).status_code == 200


def test_others_see_only_their_own_tokens(api, colleague):
    mine = api.post("/tokens", {"name": "ci"}).json["id"]
    assert [token["user"] for token in colleague.get("/tokens").json["items"]] == ["colleague"]
    for response in (
        colleague.get(f"/tokens/{mine}"),
        colleague.patch(f"/tokens/{mine}", {"name": "x"}),
        colleague.delete(f"/tokens/{mine}"),
    ):
        assert_problem(response, 404, "token-not-found")
    assert {token["user"] for token in api.get("/tokens").json["items"]} == {"admin", "colleague"}


def test_only_an_administrator_makes_tokens_for_others(api, colleague, application):
    assert_problem(colleague.post("/tokens", {"name": "x", "user": "admin"}), 403, "not-administrator")
    secret = api.post("/tokens", {"name": "x", "user": "colleague"}).json["secret"]
    assert ApiClient(application, secret).get("/me").json["name"] == "colleague"


def test_a_token_knows_when_it_was_last_used(api, application):
    made = api.post("/tokens", {"name": "ci"}).json
    assert made["last_used_at"] is None
    ApiClient(application, made["secret"]).get("/me")
    assert api.get(f"/tokens/{made['id']}").json["last_used_at"] is not None


def test_the_list_goes_page_by_page_through_every_token_once(api):
    names = {api.post("/tokens", {"name": f"t{number}"}).json["name"] for number in range(5)}
    path, seen = "/tokens?limit=2", []
    while path:
        page = api.get(path)
        seen += [token["name"] for token in page.json["items"]]
        link = page.headers.get("Link")
        assert (link is None) == (page.json["next"] is None)
        path = link and link.removeprefix("</api/v1").removesuffix('>; rel="next"')
    assert len(seen) == 6 and names < set(seen)


@pytest.mark.parametrize(
    "query, field",
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("limt=1", "limt"),
        ("after=%2A", "after"),
        ("after=bm9uZQ", "after"),
        ("after=WyJhIl0", "after"),
        ("after=WzEsMl0", "after"),
        ("after=", "after"),
        ("after=%00", "after"),
        ("after=W3RydWVd", "after"),
        ("after=%C3%A9", "after"),
    ],
)
def test_a_list_refuses_what_it_does_not_understand(api, query, field):
    problem = assert_problem(api.get(f"/tokens?{query}"), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    "path",
    [
        "/tokens/x",
        "/tokens/-1",
        "/tokens/99999999999999999999999",
        "/tokens/0",
        "/tokens/999999999999999999",
        "/tokens/1/x",
    ],
)
def test_there_is_no_token_under_such_a_path(api, path):
    assert_problem(api.get(path), 404, api.get(path).json["code"])
