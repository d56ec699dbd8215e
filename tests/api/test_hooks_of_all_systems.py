"""Hooks of every system that sends some: whose secret is accepted, which are repetitions, and what follows from each."""

import hashlib
import hmac
import json

import pytest

from controllers import foreign as systems
from controllers.automation import automation_run, hook_run
from controllers.foreign import hooks as checking
from controllers.jobs import queue
from models import Automation, Hook, Release, Target
from models.db import now
from tests import factories
from tests.client import assert_problem
from tests.controllers.servers import basic
from tests.foreign.conftest import foreign_settings
from tests.foreign.standins.bitbucket_cloud import BitbucketCloud
from tests.foreign.standins.bitbucket_server import BitbucketServer
from tests.foreign.standins.gitea import Gitea
from tests.foreign.standins.github import GitHub
from tests.foreign.standins.gitlab import GitLab

__all__ = ["foreign_settings"]
COMMIT = "a" * 40
WHEEL = "server-1.2-py3-none-any.whl"


@pytest.fixture
def database(sqlite_database):
    """SQLite alone: tests/api/test_hooks.py takes both."""
    return sqlite_database


@pytest.fixture
def sqlite_database(request, settings):
    from tests.conftest import opened_database

    yield from opened_database(request, settings, "sqlite")


@pytest.fixture
def sent_tasks(monkeypatch):
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, ids)))
    return enqueued


def pushed(kind):
    """Return what makes a push of a code host: (secret, commit) -> (headers, body)."""
    return lambda secret, commit=COMMIT: kind(None).push_hook(secret, [("branch", "main", commit)])


def built(secret, commit=COMMIT):
    """Return what Jenkins sends when a build has ended."""
    scm = {"url": "https://git.example.com/shop.git", "branch": "origin/main", "commit": commit}
    build = {"full_url": "https://ci.example.com/job/shop/7/", "phase": "FINALIZED", "status": "SUCCESS", "scm": scm}
    return {"authorization": basic("windlass", secret)}, json.dumps({"name": "shop", "build": build}).encode()


def deployed(secret, name=WHEEL):
    """Return what Artifactory sends when a file was put into it."""
    data = {"repo_key": "pypi", "path": f"server/1.2/{name}", "name": name, "sha256": "0" * 64}
    body = json.dumps({"domain": "artifact", "event_type": "deployed", "data": data}).encode()
    return {"x-jfrog-event-auth": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}, body


SYSTEMS = {
    "bitbucket-server": pushed(BitbucketServer),
    "bitbucket-cloud": pushed(BitbucketCloud),
    "github": pushed(GitHub),
    "gitlab": pushed(GitLab),
    "gitea": pushed(Gitea),
    "jenkins": built,
    "artifactory": deployed,
}
SHOWS_THE_SECRET = ("gitlab", "jenkins")  # They sign nothing.
CREDENTIALS = {"jenkins": {"username": "deploy", "token": "t0ken"}}
SETTINGS = {"artifactory": {"repository": "releases", "pypi_repository": "pypi"}}


@pytest.fixture
def opened(api, sent_tasks):
    """Open the hook of a system of a driver: opened(driver) -> (send(headers, body), secret)."""

    def make(driver):
        fields = {
            "name": "main",
            "driver": driver,
            "url": "https://system.example.com",
            "credentials": CREDENTIALS.get(driver, {"token": "t0ken"}),
            "settings": SETTINGS.get(driver, {}),
        }
        assert api.post("/integrations", fields).status_code == 201
        answer = api.post("/integrations/main/hook", {})
        assert answer.json["setup"]

        def send(headers, body):
            headers = {"Authorization": "", **{name.title(): value for name, value in headers.items()}}
            return api.request("POST", "/hooks/main", headers=headers, data=body, content_type="application/json")

        return send, answer.json["secret"]

    return make


def test_every_driver_that_takes_hooks_is_here():
    assert set(SYSTEMS) == {name for name, driver in systems.drivers().items() if driver.takes_hooks}


@pytest.mark.parametrize("driver", SYSTEMS)
def test_what_is_signed_is_taken_once_and_nothing_else_is(opened, driver, monkeypatch):
    send, secret = opened(driver)
    compared, compare = [], hmac.compare_digest
    monkeypatch.setattr(checking.hmac, "compare_digest", lambda *pair: compared.append(pair) or compare(*pair))
    headers, body = SYSTEMS[driver](secret)
    foreign_headers, _ = SYSTEMS[driver]("another-secret")
    names = ("signature", "token", "authorization", "event-auth")
    bare = {name: value for name, value in headers.items() if not any(part in name for part in names)}
    for refused in (foreign_headers, bare):
        assert_problem(send(refused, body), 401, "hook-not-verified")
        assert_problem(send(refused, b"{"), 401, "hook-not-verified")
    if driver not in SHOWS_THE_SECRET:
        assert_problem(send(headers, body + b" "), 401, "hook-not-verified")
    assert compared and Hook.select().count() == 0
    assert send(headers, body).json == {"state": "accepted"}
    assert [send(headers, body).json["state"] for _ in range(3)] == ["duplicate"] * 3
    assert Hook.select().count() == 1


@pytest.mark.parametrize("driver", SYSTEMS)
def test_what_is_too_large_is_refused_unread(opened, driver, settings):
    send, secret = opened(driver)
    settings.web.max_hook_bytes = 64
    headers, body = SYSTEMS[driver](secret)
    assert_problem(send(headers, body), 413, "body-too-large")
    assert Hook.select().count() == 0


def target_of(source, rule):
    """Return a target with a rule, of an application with a source."""
    shop = factories.application("shop", source=source)
    strategy = {"kind": "all-at-once", "max_failures": 0, "pause_s": 0, "bake_s": 0, "on_failure": "rollback"}
    return Target.create(
        application=shop,
        environment=factories.environment(),
        hosts=[factories.host("web-1").name],
        strategy={**strategy, "healthy_first": False},
        health={"path": "/", "timeout_s": 5, "expect_status": None},
        rules=[rule],
        created_at=now(),
        updated_at=now(),
    )


def work():
    for number in hook_run.KIND.due():
        hook_run.KIND.carry_out(number)


@pytest.mark.parametrize(
    "driver, repository",
    [
        ("bitbucket-server", "ACME/shop"),
        ("bitbucket-cloud", "acme/shop"),
        ("github", "acme/shop"),
        ("gitlab", "acme/web/shop"),
        ("gitea", "acme/shop"),
    ],
)
def test_a_push_becomes_a_release_of_whatever_system(opened, driver, repository):
    send, secret = opened(driver)
    target_of({"integration": "main", "repository": repository, "branch": "main"}, {"branch": "main"})
    send(*SYSTEMS[driver](secret))
    work()
    release = Release.get()
    assert (release.commit, release.ref, release.state) == (COMMIT, "main", "building")
    assert Automation.get().release == release


def test_a_package_that_was_published_becomes_a_release(opened, sent_tasks):
    send, secret = opened("artifactory")
    target_of({"integration": "main", "package": "server"}, {"version": "1.*"})
    for name in (WHEEL, "notes.txt", "other-1.2-py3-none-any.whl", "server-2.0.tar.gz"):
        assert send(*deployed(secret, name)).json == {"state": "accepted"}
    work()
    release = Release.get()
    assert release.package_version == "1.2" and Automation.get().release == release
    assert ("windlass.build", (release.id,)) in sent_tasks


@pytest.mark.parametrize("package", ["foo__bar", "Foo-._Bar", "foo-bar"])
def test_a_package_is_the_same_in_every_spelling(opened, package):
    send, secret = opened("artifactory")
    target_of({"integration": "main", "package": package}, {"version": "1.*"})
    send(*deployed(secret, "foo_bar-1.2-py3-none-any.whl"))
    work()
    assert Release.get().package_version == "1.2"


def test_a_build_that_has_ended_is_looked_at_at_once(opened, sent_tasks):
    send, secret = opened("jenkins")
    shop = factories.application("shop")
    later = now() + 60_000
    waiting, other = (
        factories.release(shop, state="building", commit=commit, foreign_build={"position": None}, due_at=later)
        for commit in (COMMIT, "b" * 40)
    )
    send(*built(secret))
    work()
    assert ("windlass.build", (waiting.id,)) in sent_tasks and ("windlass.build", (other.id,)) not in sent_tasks
    assert Release.get_by_id(waiting.id).due_at is None and Release.get_by_id(other.id).due_at is not None


def test_a_newer_release_is_not_displaced_by_a_hook_that_is_sent_again_under_another_name(opened):
    """A signature covers the body alone, so that who recorded a hook can send it again with another delivery's id."""
    send, secret = opened("github")
    target_of({"integration": "main", "repository": "acme/shop", "branch": "main"}, {"branch": "main"})
    for commit in (COMMIT, "b" * 40):
        headers, body = SYSTEMS["github"](secret, commit)
        send({**headers, "x-github-delivery": commit}, body)
        work()
    headers, body = SYSTEMS["github"](secret)
    assert send({**headers, "x-github-delivery": "recorded"}, body).json == {"state": "accepted"}
    work()
    assert [row.release.commit[0] + ":" + row.state for row in Automation.select().order_by(Automation.id)] == [
        "a:superseded",
        "b:waiting",
    ]
    assert Release.select().count() == 2 and automation_run.KIND.due() == []
