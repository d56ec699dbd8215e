"""/integrations as callers see them, and that nobody ever sees their credentials."""

import logging

import pytest

import secretbox
from controllers import foreign
from controllers.catalog import integrations, lookups
from controllers.foreign import circuits
from models import Integration
from tests import factories
from tests.client import assert_problem
from tests.foreign.standins.gitea import Gitea
from tests.stack import Repository

SECRET = "geheim-77b1-wort"
INDEX = {"name": "our-index", "driver": "package-index", "url": "https://pypi.example.net/simple"}
LOGIN = {"username": "deploy", "password": SECRET}


def make(api, **fields):
    """Make an integration that is expected to be made; returns it."""
    answer = api.post("/integrations", {**INDEX, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json


def stored(name="our-index"):
    """Return the credentials as a driver gets them."""
    return integrations.credentials_of(Integration.get(Integration.name == name))


def test_it_is_made_and_shown_without_its_credentials(api):
    answer = api.post("/integrations", {**INDEX, "credentials": LOGIN})
    assert (answer.status_code, answer.headers["Location"]) == (201, "/api/v1/integrations/our-index")
    made = answer.json
    assert (made["driver"], made["url"], made["credentials"], made["settings"]) == (
        "package-index",
        INDEX["url"],
        ["password", "username"],
        {},
    )
    assert made["roles"]
    assert api.get("/integrations/our-index").json == made
    assert api.get("/integrations").json["items"] == [made]
    assert stored() == LOGIN


def test_credentials_are_in_no_answer_and_no_log_and_encrypted_at_rest(api, caplog):
    caplog.set_level(logging.DEBUG)
    answers = [
        api.post("/integrations", {**INDEX, "credentials": LOGIN}),
        api.get("/integrations"),
        api.get("/integrations/our-index"),
        api.patch("/integrations/our-index", {"credentials": LOGIN}),
        api.post("/integrations", {**INDEX, "credentials": LOGIN}),
        api.post("/integrations", {**INDEX, "name": "b", "credentials": {"password": SECRET}}),
        api.post("/integrations", {**INDEX, "name": "b", "credentials": {"pass_word": SECRET}}),
        api.post("/integrations", {**INDEX, "name": "b", "credentials": SECRET}),
        api.post("/integrations", {**INDEX, "name": "b", "credentials": {"token": [SECRET]}}),
        api.post("/integrations", {**INDEX, "name": "b", "url": f"https://deploy:{SECRET}@pypi.example.net/simple"}),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 409] + [422] * 5
    assert not [answer.text for answer in answers if SECRET in answer.text]
    assert SECRET not in caplog.text
    assert SECRET not in Integration.get().credentials


def test_an_unknown_driver_is_refused_with_those_there_are(api):
    problem = assert_problem(api.post("/integrations", {**INDEX, "driver": "jenkinz"}), 422, "invalid")
    assert problem["errors"][0]["field"] == "driver"
    assert "git" in problem["errors"][0]["message"] and "package-index" in problem["errors"][0]["message"]


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"name": "Our"}, "name"),
        ({"name": None}, "name"),
        ({"url": "ftp://x"}, "url"),
        ({"url": None}, "url"),
        ({"credentials": {"password": "x"}}, "credentials"),
        ({"credentials": {"color": "x"}}, "credentials.color"),
        ({"credentials": {"token": ""}}, "credentials.token"),
        ({"credentials": {"token": 1}}, "credentials.token"),
        ({"settings": {"color": "x"}}, "settings.color"),
        ({"settings": []}, "settings"),
        ({"token": "x"}, "token"),
    ],
)
def test_what_the_driver_cannot_use_is_refused_field_by_field(api, fields, field):
    problem = assert_problem(api.post("/integrations", {**INDEX, **fields}), 422, "invalid")
    assert field in [error["field"] for error in problem["errors"]]
    assert Integration.select().count() == 0


def test_a_change_leaves_credentials_alone_unless_it_names_them(api):
    make(api, credentials=LOGIN)
    assert api.patch("/integrations/our-index", {"settings": None}).json["credentials"] == ["password", "username"]
    assert stored() == LOGIN
    assert api.patch("/integrations/our-index", {"credentials": {"token": "t"}}).json["credentials"] == ["token"]
    assert stored() == {"token": "t"}
    assert api.patch("/integrations/our-index", {"credentials": None}).json["credentials"] == []
    assert stored() == {}


@pytest.mark.parametrize(
    "change",
    [{"name": "x"}, {"driver": "git"}, {"url": None}, {"credentials": {"username": "only"}}, {"settings": {"x": 1}}],
)
def test_a_bad_change_changes_nothing(api, change):
    before = make(api, credentials=LOGIN)
    assert_problem(api.patch("/integrations/our-index", change), 422, "invalid")
    assert api.get("/integrations/our-index").json == before
    assert stored() == LOGIN


def test_if_match_sees_new_credentials_too(api):
    make(api, credentials=LOGIN)
    tag = api.get("/integrations/our-index").headers["ETag"]
    assert (
        api.patch("/integrations/our-index", {"credentials": {**LOGIN, "password": "new"}}, headers={"If-Match": tag}).status_code
        == 200
    )
    assert_problem(
        api.patch("/integrations/our-index", {"credentials": LOGIN}, headers={"If-Match": tag}),
        412,
        "precondition-failed",
    )
    assert stored()["password"] == "new"


def test_a_lost_key_is_shown_and_new_credentials_heal_it(api, settings, tmp_path):
    make(api, credentials=LOGIN)
    settings.secret.key_file = str(tmp_path / "another.key")
    secretbox.box_of.cache_clear()
    assert api.get("/integrations/our-index").json["credentials"] is None
    assert_problem(api.patch("/integrations/our-index", {"url": INDEX["url"]}), 503, "secret-unreadable")
    assert api.patch("/integrations/our-index", {"credentials": LOGIN}).json["credentials"] == ["password", "username"]


def test_a_second_one_of_the_same_name_is_refused(api):
    make(api, credentials=LOGIN)
    assert_problem(api.post("/integrations", {**INDEX, "credentials": {"token": "x"}}), 409, "already-exists")
    assert stored() == LOGIN


def test_one_that_a_source_names_is_not_deleted(api):
    make(api)
    factories.application("shop", source={"integration": "our-index", "package": "shop"})
    problem = assert_problem(api.delete("/integrations/our-index"), 409, "in-use")
    assert problem["used_by"] == ["the source of application shop"]
    api.delete("/applications/shop")
    assert api.delete("/integrations/our-index").status_code == 204
    assert_problem(api.get("/integrations/our-index"), 404, "not-found")


def test_lists_are_paged_by_name(api):
    for name in ("c", "a", "b"):
        make(api, name=name)
    first = api.get("/integrations?limit=2").json
    rest = api.get(f"/integrations?limit=2&after={first['next']}").json
    assert [item["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]


# Trying out, drivers, and being left alone.

TOKEN = "the-token-of-tests"


@pytest.fixture
def gitea(tmp_path, settings):
    """A Gitea with one repository."""
    settings.network.allow = ["127.0.0.1/32"]
    circuits.forget()
    repository = Repository(tmp_path / "repositories" / "shop")
    repository.commit({"app.py": "one"})
    with Gitea(repository) as running:
        yield running
    circuits.forget()


def test_drivers_are_listed_with_their_schemas(api):
    drivers = {item["name"]: item for item in api.get("/integrations/drivers").json["items"]}
    assert drivers["gitea"]["role"] == "source" and drivers["gitea"]["takes_hooks"]
    assert "ca" in drivers["gitea"]["settings"]["properties"]
    assert drivers["github"]["default_url"] == "https://github.com"
    assert_problem(api.post("/integrations", {**INDEX, "name": "drivers"}), 422, "invalid")


def test_an_integration_is_tried_out(api, gitea):
    make(api, name="code", driver="gitea", url=gitea.url, credentials={"token": TOKEN})
    tried = api.post("/integrations/code/test", {"repository": gitea.name}).json
    assert tried["ok"] and tried["version"] == "1.22.3"
    assert [check["name"] for check in tried["checks"]] == ["server", "login", "repository", "git"]
    tried = api.post("/integrations/code/test", {"repository": "acme/nothing"}).json
    assert not tried["ok"] and "has no such thing" in tried["checks"][2]["message"]
    assert_problem(api.post("/integrations/nothing/test", {}), 404, "not-found")


def test_refused_credentials_are_left_alone_until_they_are_changed_or_tried_out(api, gitea):
    make(api, name="code", driver="gitea", url=gitea.url, credentials={"token": "wrong-token"})
    assert not api.post("/integrations/code/test", {}).json["ok"]
    circuit = api.get("/integrations/code").json["circuit"]
    assert (circuit["state"], circuit["until"]) == ("open", None) and "refuses the credentials" in circuit["reason"]
    asked = len(gitea.requests)
    with pytest.raises(foreign.ForeignError, match="It was not asked again"):
        foreign.driver_named("code", "source").resolve(gitea.name, "main")
    assert len(gitea.requests) == asked
    gitea.token = "wrong-token"  # Somebody made the token right over there.
    assert api.post("/integrations/code/test", {}).json["ok"]
    assert api.get("/integrations/code").json["circuit"] == {"state": "closed", "until": None, "reason": None}
    gitea.token = TOKEN
    api.post("/integrations/code/test", {})
    assert api.patch("/integrations/code", {"credentials": {"token": TOKEN}}).json["circuit"]["state"] == "closed"
    assert foreign.driver_named("code", "source").resolve(gitea.name, "main").author == "Tester"


def test_credentials_do_not_follow_to_another_place(api):
    made = make(api, credentials=LOGIN)
    for change in ({"url": "https://other.example.net/simple"}, {"url": "https://other.example.net", "settings": {}}):
        problem = assert_problem(api.patch("/integrations/our-index", change), 422, "invalid")
        assert problem["errors"][0]["field"] == "credentials"
    assert api.get("/integrations/our-index").json == made
    there = {"url": "https://other.example.net/simple"}
    assert api.patch("/integrations/our-index", {**there, "credentials": LOGIN}).json["url"] == there["url"]
    api.patch("/integrations/our-index", {"url": INDEX["url"], "credentials": None})
    assert api.patch("/integrations/our-index", there).json["url"] == there["url"], "nothing could be stolen"


def test_the_password_of_a_mail_server_does_not_follow_to_another_server(api):
    mail = {"host": "mail.example.net", "sender": "windlass@example.net", "to": ["ops@example.net"]}
    login = {"username": "windlass", "password": SECRET}
    api.post("/integrations", {"name": "mail", "driver": "email", "credentials": login, "settings": mail})
    for change in ({"host": "evil.example.com"}, {"port": 2525}, {"security": "tls"}):
        answer = api.patch("/integrations/mail", {"settings": {**mail, **change}})
        assert assert_problem(answer, 422, "invalid")["errors"][0]["field"] == "credentials"
    assert api.patch("/integrations/mail", {"settings": {**mail, "to": ["dev@example.net"]}}).status_code == 200
    moved = {"settings": {**mail, "host": "new.example.net"}, "credentials": login}
    assert api.patch("/integrations/mail", moved).json["settings"]["host"] == "new.example.net"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_several_of_one_driver_have_nothing_in_common(api, gitea, tmp_path, monkeypatch):
    monkeypatch.setattr(lookups, "PATIENCE_S", 100)  # A machine may be busy.
    other = Repository(tmp_path / "others" / "shop")
    other.commit({"app.py": "another"})
    with Gitea(other) as second:
        for name, standin, token in (("one", gitea, "wrong-token"), ("two", second, TOKEN)):
            make(api, name=name, driver="gitea", url=standin.url, credentials={"token": token})
            source = {"integration": name, "repository": standin.name, "branch": "main"}
            factories.application(f"shop-{name}", source=source)
        secrets = {name: api.post(f"/integrations/{name}/hook", {}).json["secret"] for name in ("one", "two")}
        assert_problem(api.get("/applications/shop-one/refs"), 502, "foreign-refused-credentials")
        asked = len(gitea.requests)
        assert_problem(api.get("/applications/shop-one/refs"), 502, "foreign-refused-credentials")
        assert len(gitea.requests) == asked, "its circuit is open"
        refs = api.get("/applications/shop-two/refs")
        assert refs.json["items"] == [{"kind": "branch", "name": "main", "commit": other.git("rev-parse", "main")}]
        assert [api.get(f"/integrations/{name}").json["circuit"]["state"] for name in ("one", "two")] == [
            "open",
            "closed",
        ]
        answers = {}
        for name in ("one", "two"):
            for owner, secret in secrets.items():
                headers, body = second.push_hook(secret, [("branch", "main", "a" * 40)])
                sent = api.request("POST", f"/hooks/{name}", data=body, headers={**headers, "Authorization": ""})
                answers[name, owner] = sent.status_code
        taken = {(name, owner): 202 if name == owner else 401 for name, owner in answers}
        assert answers == taken, "each takes hooks with its own secret alone, also of one delivery id"
        assert [len(api.get(f"/integrations/{name}/hooks").json["items"]) for name in ("one", "two")] == [1, 1]
        api.delete("/integrations/one/hook")
        headers, body = second.push_hook(secrets["two"], [("branch", "main", "b" * 40)])
        headers |= {"x-gitea-delivery": "delivery-2", "Authorization": ""}
        assert api.request("POST", "/hooks/one", data=body, headers=headers).status_code == 404
        assert api.request("POST", "/hooks/two", data=body, headers=headers).status_code == 202
