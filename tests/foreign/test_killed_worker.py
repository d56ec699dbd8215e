"""A worker is killed the moment a foreign system has done its request: the next one finds it done, and repeats nothing."""

import json
import os
import signal
import subprocess
import sys

import pytest

import store
from controllers.jobs import outbox
from controllers.notifications import delivery_run
from models import Delivery
from models.db import now
from tests import factories
from tests.foreign.standins.artifactory import Artifactory
from tests.foreign.standins.chat import Receiver
from tests.foreign.standins.github import GitHub
from tests.foreign.standins.jira import Jira
from tests.stack import ROOT, Repository

WORKER = (
    "import sys, config; made = config.load(); from models import db; db.connect_to(made.database.url); "
    "from controllers.notifications import delivery_run; delivery_run.KIND.carry_out(int(sys.argv[1]))"
)
LINK = {"global_id": "windlass-shop-production", "url": "https://windlass.example.net/deploys/1", "title": "v1 runs"}
STATUS = {
    "repository": "acme/shop",
    "key": "windlass/shop/production",
    "state": "success",
    "url": "https://windlass.example.net/deploys/1",
    "name": "shop in production",
    "description": "v1: deploy 1 has succeeded",
}


@pytest.fixture
def deploy(database):
    """A deploy that has ended, of a release whose tree is in the store."""
    sha256, size = store.add_bytes(b"print(1)\n")
    digest = store.add_manifest([["app.py", 0o644, size, sha256]])
    release = factories.release(digest=digest, lock="", commit="c" * 40)
    return factories.deploy([factories.host()], release=release, state="succeeded")


@pytest.fixture
def jira(integration):
    with Jira() as standin:
        integration("main", "jira", standin.url, {"token": standin.token})
        yield standin


@pytest.fixture
def chat(integration):
    with Receiver() as standin:
        integration("main", "webhook", f"{standin.url}/hook", {"secret": standin.secret})
        yield standin


@pytest.fixture
def artifactory(integration):
    with Artifactory() as standin:
        url = f"{standin.url}/artifactory"
        integration("main", "artifactory", url, {"token": standin.token}, {"repository": "releases"})
        yield standin


@pytest.fixture
def hub(integration, tmp_path):
    repository = Repository(tmp_path / "shop")
    with GitHub(repository, "acme/shop") as standin:
        standin.newest = repository.commit({"a": "b"})
        integration("main", "github", standin.url, {"token": standin.token})
        yield standin


def written(deploy, action, subject=None, payload=None):
    """Write what is to be said; returns the delivery's id."""
    of = {"release": deploy.release_id} if action == outbox.PUBLISH else {"deploy": deploy.id}
    Delivery.insert(outbox.columns(("test",), action, "main", subject, payload, **of)).execute()
    return Delivery.get().id


def killed(standin, number, settings, on):
    """Let a worker say it, and end it by SIGKILL once the stand-in has done what it was asked and before it answers."""
    answer = standin.reply_to
    variables = {
        **os.environ,
        "WINDLASS_DATA": settings.data,
        "WINDLASS_NETWORK_ALLOW": json.dumps(["127.0.0.1/32"]),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "lib" / "vendor"), str(ROOT / "lib"), str(ROOT)]),
    }
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(number)], env=variables, cwd=ROOT)

    def reply_and_kill(request):
        reply = answer(request)
        if request.method in on and reply.status < 300:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        return reply

    standin.reply_to = reply_and_kill
    try:
        assert worker.wait(120) == -signal.SIGKILL
    finally:
        worker.kill()
        standin.reply_to = answer
    row = Delivery.get_by_id(number)
    assert row.state == "waiting" and row.lease_owner, "it died with its lease"
    Delivery.update(lease_expires_at=now() - 1).where(Delivery.id == number).execute()
    assert delivery_run.KIND.due() == [number]
    delivery_run.KIND.carry_out(number)
    row = Delivery.get_by_id(number)
    assert row.state == "delivered", row.error
    return len(standin.asked(f"^({'|'.join(on)})"))


def test_a_comment(deploy, jira, settings):
    number = written(deploy, "comment", "SHOP-1", {"text": "v1 runs.", "marker": "windlass-deploy-1"})
    assert killed(jira, number, settings, ("POST",)) == 1 and len(jira.issues["SHOP-1"]["comments"]) == 1


def test_a_transition(deploy, jira, settings):
    number = written(deploy, "transition", "SHOP-1", {"to": "Done"})
    assert killed(jira, number, settings, ("POST",)) == 1 and jira.issues["SHOP-1"]["state"] == "Done"


def test_a_link(deploy, jira, settings):
    number = written(deploy, "remote-link", "SHOP-1", LINK)
    assert killed(jira, number, settings, ("POST",)) == 1 and len(jira.issues["SHOP-1"]["links"]) == 1


def test_a_version(deploy, jira, settings):
    number = written(deploy, "release-version", "shop v1", {"project": "SHOP", "text": "runs"})
    assert killed(jira, number, settings, ("POST",)) == 1 and len(jira.versions["SHOP"]) == 1


def test_a_status(deploy, hub, settings):
    number = written(deploy, "commit-status", hub.newest, STATUS)
    assert killed(hub, number, settings, ("POST",)) == 1 and len(hub.statuses_of(hub.newest)) == 1


def test_a_message_is_known_by_its_id(deploy, chat, settings):
    message = {"event": "deploy.succeeded", "state": "succeeded", "reason": "", "url": LINK["url"]}
    about = {"application": "shop", "release": "v1", "environment": "production", "deploy": deploy.id}
    number = written(deploy, "message", None, {**message, **about})
    assert killed(chat, number, settings, ("POST",)) == 2 and list(chat.taken) == [f"windlass-{number}"]


def test_a_bundle(deploy, artifactory, settings):
    number = written(deploy, "publish", "shop/v1.tar.gz")
    assert killed(artifactory, number, settings, ("PUT",)) <= 3 and list(artifactory.files) == ["releases/shop/v1.tar.gz"]
