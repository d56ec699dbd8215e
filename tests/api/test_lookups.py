"""What foreign systems have to choose from, through the API: the same whichever system it is."""

import pytest

from controllers.catalog import lookups
from controllers.foreign import circuits
from controllers.jobs import queue
from models import Release
from tests import factories
from tests.client import assert_problem
from tests.controllers.conftest import index, packages
from tests.controllers.servers import wheel
from tests.foreign.standins.artifactory import Artifactory
from tests.foreign.standins.chat import Slack
from tests.foreign.test_source_conformance import HOSTS, driver_name, host_of
from tests.stack import Repository

__all__ = ["index", "packages"]


@pytest.fixture(autouse=True)
def quickly(settings, monkeypatch):
    """A fence open to loopback, circuits that remember nothing, and nobody who builds."""
    monkeypatch.setattr(queue, "enqueue", lambda *_, **__: None)
    monkeypatch.setattr(lookups, "PATIENCE_S", 100)
    settings.network.allow = ["127.0.0.1/32"]
    circuits.forget()
    yield
    circuits.forget()


@pytest.fixture
def repository(tmp_path, settings):
    """A repository with three branches and a tag that is an object of its own."""
    made = Repository(tmp_path / "repositories" / "shop")
    settings.git.local_paths = [str(made.folder.parent)]
    made.commit({"app.py": "one"})
    made.git("tag", "--annotate", "--message", "One", "v1.0")
    made.git("branch", "feature/basket")
    made.git("branch", "stable")
    made.commit({"app.py": "two"})
    return made


def integrated(api, name, standin, driver, **fields):
    """Make an integration of a stand-in."""
    fields = {"name": name, "driver": driver, "url": standin.url, "credentials": {"token": standin.token}, **fields}
    answer = api.post("/integrations", fields)
    assert answer.status_code == 201, answer.text


def refs_of(repository):
    """Return the refs of the repository as the API has them."""
    first, second = (repository.git("rev-parse", name) for name in ("stable", "main"))
    branches = {"feature/basket": first, "main": second, "stable": first}
    return [
        *({"kind": "branch", "name": name, "commit": commit} for name, commit in branches.items()),
        {"kind": "tag", "name": "v1.0", "commit": first},
    ]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("host", [host for host in HOSTS if driver_name(host) == host])
def test_repositories_and_refs_are_the_same_from_every_system(api, repository, host):
    make, options, credentials = HOSTS[host]
    with make(repository, **options) as standin:
        integrated(api, "code", standin, host, credentials=credentials)
        listed = api.get("/integrations/code/repositories").json
        assert standin.name in [item["name"] for item in listed["items"]] and listed["next"] is None
        listed = api.get("/integrations/code/repositories?query=shop").json["items"]
        assert [item["name"] for item in listed] == [standin.name] and set(listed[0]) == {
            "name",
            "url",
            "default_branch",
        }
        factories.application(source={"integration": "code", "repository": standin.name, "branch": "main"})
        assert api.get("/applications/shop/refs").json == {"items": refs_of(repository), "next": None}
        first = api.get("/applications/shop/refs?limit=3").json
        rest = api.get(f"/applications/shop/refs?limit=3&after={first['next']}").json
        assert (first["items"] + rest["items"], rest["next"]) == (refs_of(repository), None)
        assert [item["name"] for item in api.get("/applications/shop/refs?query=sta").json["items"]] == ["stable"]
        assert api.get("/applications/shop/refs?query=nothing").json == {"items": [], "next": None}


def test_refs_of_plain_git_are_told_and_its_repositories_are_not(api, repository):
    factories.application(source={"repository": str(repository.folder), "branch": "main"})
    assert api.get("/applications/shop/refs").json["items"] == refs_of(repository)
    api.post("/integrations", {"name": "plain", "driver": "git"})
    problem = assert_problem(api.get("/integrations/plain/repositories"), 409, "no-repositories")
    assert "driver git" in problem["detail"] and "bitbucket-server, gitea, github, gitlab can" in problem["detail"]


def test_what_cannot_be_asked_for_is_refused_in_plain_words(api, settings):
    with Slack() as chat:
        api.post(
            "/integrations",
            {"name": "chat", "driver": "slack", "credentials": {"webhook_url": chat.url + chat.path}},
        )
        assert_problem(api.get("/integrations/chat/repositories"), 409, "no-repositories")
        assert not chat.requests
    factories.application("shop")
    factories.application("httpbin", source={"package": "httpbin"})
    settings.build.index_url = ""
    assert_problem(api.get("/applications/shop/versions"), 409, "no-package")
    assert_problem(api.get("/applications/httpbin/refs"), 409, "no-repository")
    assert_problem(api.get("/applications/httpbin/versions"), 409, "no-index")
    for path in ("/integrations/none/repositories", "/applications/none/refs", "/applications/none/versions"):
        assert_problem(api.get(path), 404, "not-found")
    for query in ("limit=0", "limit=201", "after=x", "after=Wy0xXQ", "after=WzFlOTld", "colour=red"):
        assert_problem(api.get(f"/applications/shop/refs?{query}"), 422, "invalid")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_versions_of_a_package_come_from_whichever_index_it_has(api, packages, index):
    for version in ("1.9", "1.10", "2.0rc1"):
        wheel(packages, "server", version)
    expected = [
        {"version": version, "is_prerelease": version == "2.0rc1", "files": [f"server-{version}-py3-none-any.whl"]}
        for version in ("2.0rc1", "1.10", "1.9")
    ]
    factories.application("server", source={"package": "Server[fast]"})
    assert api.get("/applications/server/versions").json == {"items": expected, "next": None}
    api.post("/integrations", {"name": "ours", "driver": "package-index", "url": index.url})
    factories.application("ours", source={"integration": "ours", "package": "server"})
    assert api.get("/applications/ours/versions?query=1.1").json["items"] == [expected[1]]
    with Artifactory() as artifactory:
        for file in (item["files"][0] for item in expected):
            artifactory.add(f"pypi/server/{file}", file.encode())
        fields = {"url": f"{artifactory.url}/artifactory", "settings": {"pypi_repository": "pypi"}}
        for name, credentials in {
            "token": {"token": artifactory.token},
            "key": {"header": "X-JFrog-Art-Api", "value": artifactory.key},
        }.items():
            integrated(api, name, artifactory, "artifactory", credentials=credentials, **fields)
            factories.application(name, source={"integration": name, "package": "server"})
            assert api.get(f"/applications/{name}/versions").json["items"] == expected
    factories.application("nothing", source={"integration": "ours", "package": "nothing"})
    assert api.get("/applications/nothing/versions").json == {"items": [], "next": None}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_system_that_is_away_slow_or_wrong_is_named(api, repository, monkeypatch):
    with HOSTS["gitea"][0](repository) as standin:
        integrated(api, "code", standin, "gitea")
        factories.application(source={"integration": "code", "repository": standin.name, "branch": "main"})
        standin.fault("status", status=500, times=1)
        problem = assert_problem(api.get("/applications/shop/refs"), 503, "foreign-unavailable")
        assert (problem["integration"], problem["vendor_status"]) == ("code", 500)
        standin.fault("status", status=429, retry_after=40, times=1)
        limited = api.get("/integrations/code/repositories")
        assert assert_problem(limited, 503, "foreign-rate-limited")["integration"] == "code"
        assert limited.headers["Retry-After"] == "40"
        standin.fault("wrong-type", times=1)
        assert assert_problem(api.get("/applications/shop/refs?limit=2"), 502, "foreign-bad-answer")["integration"] == "code"
        monkeypatch.setattr(lookups, "PATIENCE_S", 0.3)
        standin.fault("slow", seconds=2)
        for number in range(circuits.FAILURES + 1):
            slow = api.get(f"/applications/shop/refs?limit={number + 3}")
            assert assert_problem(slow, 504, "foreign-timed-out")["integration"] == "code"
        standin.recover()
        assert api.get("/integrations/code").json["circuit"]["state"] == "closed", "our own haste is not its failure"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_answer_is_kept_for_a_moment(api, repository):
    with HOSTS["gitea"][0](repository) as standin:
        integrated(api, "code", standin, "gitea")
        factories.application(source={"integration": "code", "repository": standin.name, "branch": "main"})
        refs = api.get("/applications/shop/refs").json
        asked = len(standin.requests)
        assert api.get("/applications/shop/refs").json == refs and len(standin.requests) == asked


# A release of a ref.


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("host", ["git", "github", "bitbucket-server"])
def test_a_ref_that_is_not_there_is_refused_at_once_with_those_that_may_be_meant(api, repository, monkeypatch, host):
    monkeypatch.setattr(lookups, "GLANCE_S", 60)  # A machine may be busy.
    with host_of(host, repository) as (_, name, standin):
        source = {"repository": name, "branch": "main"}
        if standin:
            integrated(api, "code", standin, host)
            source["integration"] = "code"
        factories.application(source=source)
        for ref, hint in (("feature/baskt", "did you mean feature/basket?"), ("v10", "v1.0"), ("zzzz", "/refs lists")):
            problem = assert_problem(api.post("/applications/shop/releases", {"ref": ref}), 422, "invalid")
            assert problem["errors"][0]["field"] == "ref" and hint in problem["errors"][0]["message"], problem
        assert Release.select().count() == 0
        commit = repository.git("rev-parse", "stable")
        for ref in ("feature/basket", "v1.0", "refs/heads/stable", "refs/tags/v1.0", commit, commit[:9], None):
            assert api.post("/applications/shop/releases", {"ref": ref}).status_code == 202, ref
        unknown = api.post("/applications/shop/releases", {"ref": "f" * 40})
        assert unknown.status_code == (422 if standin else 202), "git itself tells of a commit only by fetching"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_source_that_cannot_say_keeps_nobody_from_asking_for_a_release(api, repository, monkeypatch):
    with HOSTS["github"][0](repository) as standin:
        integrated(api, "code", standin, "github")
        factories.application(source={"integration": "code", "repository": standin.name, "branch": "main"})
        for kind, options in (
            ("status", {"status": 503}),
            ("reset", {}),
            ("wrong-type", {}),
            ("status", {"status": 403}),
        ):
            standin.fault(kind, **options)
            assert api.post("/applications/shop/releases", {"ref": "nothing"}).status_code == 202, (kind, options)
            standin.recover()
        monkeypatch.setattr(lookups, "GLANCE_S", 0.3)
        standin.fault("slow", seconds=2)
        for _ in range(circuits.FAILURES):
            assert api.post("/applications/shop/releases", {"ref": "nothing"}).status_code == 202
        standin.recover()
        assert api.get("/integrations/code").json["circuit"]["state"] == "closed"
        standin.fault("status", status=401, times=1)
        for _ in range(2):
            assert api.post("/applications/shop/releases", {"ref": "nothing"}).status_code == 202, "also left alone"
    source = {"repository": str(repository.folder) + "-gone", "branch": "main"}
    factories.application("gone", source=source)
    assert api.post("/applications/gone/releases", {"ref": "nothing"}).status_code == 202
