"""Inbound hooks: taken from who knows the secret, once each; rules and guards decide what follows from them."""

import hashlib
import hmac
import json

import pytest

from controllers.automation import automation_run, hook_run
from controllers.jobs import queue, transitions
from models import Automation, Deploy, Hook, Integration, Release, Target
from models.db import now
from tests import factories
from tests.client import assert_problem
from tests.foreign.conftest import foreign_settings

__all__ = ["foreign_settings"]

COMMIT, NEWER = "a" * 40, "b" * 40


def push(ref="refs/heads/main", commit=COMMIT, repository="team/shop", **changes):
    """Return a push as GitHub sends it (docs.github.com, webhook events and payloads)."""
    return {
        "ref": ref,
        "before": "0" * 40,
        "after": commit,
        "deleted": False,
        "repository": {"full_name": repository, "clone_url": f"https://github.com/{repository}.git"},
        "pusher": {"name": "ann"},
        **changes,
    }


@pytest.fixture
def sent_tasks(monkeypatch):
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, ids)))
    return enqueued


@pytest.fixture
def hub(api, sent_tasks):
    """A GitHub integration with an open hook: hub(body, …) sends a signed hook."""
    fields = {"name": "hub", "driver": "github", "credentials": {"token": "t0ken"}}
    assert api.post("/integrations", fields).status_code == 201
    opened = api.post("/integrations/hub/hook", {}).json

    def send(body, delivery="d-1", event="push", secret=None, **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = hmac.new((secret or opened["secret"]).encode(), raw, hashlib.sha256).hexdigest()
        sent = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": f"sha256={signature}",
            "Authorization": "",
            **headers,
        }
        return api.request("POST", "/hooks/hub", headers=sent, data=raw, content_type="application/json")

    send.secret, send.opened = opened["secret"], opened
    return send


@pytest.fixture
def target(hub):
    """The application shop of that integration, deployed in production from its branch main and from tags."""
    shop = factories.application("shop", source={"integration": "hub", "repository": "team/shop", "branch": "main"})
    host = factories.host("web-1")
    return Target.create(
        application=shop,
        environment=factories.environment(),
        hosts=[host.name],
        strategy={
            "kind": "all-at-once",
            "max_failures": 0,
            "pause_s": 0,
            "bake_s": 0,
            "on_failure": "rollback",
            "healthy_first": False,
        },
        health={"path": "/", "timeout_s": 5, "expect_status": None},
        rules=[{"branch": "main"}, {"tag": "v*"}],
        created_at=now(),
        updated_at=now(),
    )


def work():
    for number in hook_run.KIND.due():
        hook_run.KIND.carry_out(number)


def advance():
    for number in automation_run.KIND.due():
        automation_run.KIND.carry_out(number)


def built(release=None):
    """Let a release be ready."""
    release = release or Release.select().order_by(Release.id.desc()).get()
    assert transitions.move_release(release, "ready", digest="0" * 64, lock_digest="0" * 64, processes={"web": "x $SOCKET"})
    return release


# Taking them.


def test_a_signed_hook_is_taken_at_once_and_worked_on_later(hub, target, sent_tasks):
    answer = hub(push())
    assert (answer.status_code, answer.json) == (202, {"state": "accepted"})
    assert [task for task, _ in sent_tasks] == ["windlass.hook"]
    assert Release.select().count() == 0
    work()
    assert Release.get().commit == COMMIT and Hook.get().state == "done"


def test_the_secret_is_shown_once_and_kept_sealed(hub, api):
    assert hub.opened["url"].endswith("/api/v1/hooks/hub") and hub.opened["setup"]
    expected = {"url": hub.opened["url"], "setup": hub.opened["setup"], "is_open": True}
    assert api.get("/integrations/hub").json["hook"] == expected
    assert hub.secret not in Integration.get().hook_secret
    assert hub.secret not in api.get("/integrations/hub").get_data(as_text=True)


@pytest.mark.parametrize("signature", ["", "sha256=", "sha256=" + "0" * 64, "sha1=abc", "\u00e9"])
def test_a_hook_of_somebody_else_is_refused(hub, signature):
    problem = assert_problem(hub(push(), **{"X-Hub-Signature-256": signature}), 401, "hook-not-verified")
    assert hub.secret not in json.dumps(problem) and Hook.select().count() == 0


def test_a_hook_that_was_changed_on_its_way_is_refused(hub):
    raw = json.dumps(push()).encode()
    signature = hmac.new(hub.secret.encode(), raw, hashlib.sha256).hexdigest()
    answer = hub(raw.replace(b"main", b"evil"), **{"X-Hub-Signature-256": f"sha256={signature}"})
    assert_problem(answer, 401, "hook-not-verified")


@pytest.mark.parametrize("name", ["nobody", "hub%00", "closed"])
def test_where_no_hook_is_open_nothing_is_there(hub, api, name):
    api.post("/integrations", {"name": "closed", "driver": "github", "credentials": {"token": "t"}})
    assert_problem(api.post(f"/hooks/{name}", push()), 404, "not-found")


def test_a_closed_hook_takes_nothing(hub, api):
    assert api.delete("/integrations/hub/hook").status_code == 204
    assert api.get("/integrations/hub").json["hook"]["is_open"] is False
    assert_problem(hub(push()), 404, "not-found")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"ref": 7}', b"\xff\xfe"])
def test_a_signed_hook_that_cannot_be_read_is_refused(hub, body):
    assert hub(body).status_code in (202, 400)
    assert Hook.select().count() == 0


def test_a_hook_that_is_too_large_is_refused(hub, settings):
    settings.web.max_hook_bytes = 1000
    assert_problem(hub(push(padding="x" * 2000)), 413, "body-too-large")


@pytest.mark.both_databases
def test_a_repeated_hook_is_known_and_followed_once(hub, target):
    states_of = [hub(push()).json["state"] for _ in range(3)]
    work()
    assert states_of == ["accepted", "duplicate", "duplicate"]
    assert Release.select().count() == 1


def test_a_ping_and_other_news_are_ignored(hub):
    assert hub({"zen": "x", "hook_id": 1}, event="ping").json == {"state": "ignored"}
    assert hub({"action": "starred"}, event="star", delivery="d-2").json == {"state": "ignored"}


def test_hooks_are_listed_with_what_followed(hub, target, api):
    hub(push())
    work()
    (item,) = api.get("/integrations/hub/hooks").json["items"]
    assert item["state"] == "done" and "production" in item["outcome"] and item["news"][0]["name"] == "main"


def test_only_administrators_open_hooks(hub, application):
    from controllers.access import sessions
    from models import Token, User
    from models.db import clock
    from tests.client import ApiClient

    user = User.create(name="colleague", created_at=clock())
    Token.create(user=user, name="laptop", secret_hash=sessions.digest("colleagues-token"), created_at=clock())
    assert_problem(ApiClient(application, "colleagues-token").post("/integrations/hub/hook", {}), 403, "not-administrator")


# What follows.


def test_a_push_becomes_a_release_and_then_a_deploy(hub, target, api):
    hub(push())
    work()
    advance()
    assert Deploy.select().count() == 0, "its release is still being built"
    built()
    advance()
    deploy = Deploy.get()
    assert (deploy.requested_by, deploy.release.commit, deploy.comment) == ("automation", COMMIT, "push to branch main")
    (item,) = api.get("/applications/shop/targets/production/automations").json["items"]
    assert (item["state"], item["deploy"]) == ("deployed", deploy.id)


@pytest.mark.parametrize(
    "body",
    [
        push(ref="refs/heads/feature"),
        push(ref="refs/tags/1.0"),
        push(repository="team/other"),
        push(deleted=True, after="0" * 40),
    ],
)
def test_what_no_rule_wants_becomes_nothing(hub, target, body):
    hub(body)
    work()
    assert Release.select().count() == 0 and Automation.select().count() == 0


def test_a_tag_is_wanted_by_its_own_rule(hub, target):
    hub(push(ref="refs/tags/v1.2"))
    work()
    assert (Release.get().ref, Automation.get().rule) == ("v1.2", {"tag": "v*"})


def test_a_newer_push_takes_the_place_of_one_that_waits(hub, target):
    hub(push())
    work()
    hub(push(commit=NEWER), delivery="d-2")
    work()
    for release in Release.select():
        built(release)
    advance()
    assert [deploy.release.commit for deploy in Deploy.select()] == [NEWER]
    assert sorted(row.state for row in Automation.select()) == ["deployed", "superseded"]


def test_a_release_that_failed_there_before_is_never_deployed_again(hub, target):
    hub(push())
    work()
    release = built()
    deploy = factories.deploy([factories.host()], release=release)
    for state in ("running", "failed"):
        transitions.move_deploy(deploy, state)
    advance()
    row = Automation.get()
    assert row.state == "skipped" and "failed in production" in row.outcome
    assert Deploy.select().count() == 1


def test_a_release_that_could_not_be_built_ends_it(hub, target):
    hub(push())
    work()
    transitions.move_release(Release.get(), "failed", error="no such package")
    advance()
    assert Automation.get().state == "skipped" and "no such package" in Automation.get().outcome


def test_a_lock_is_waited_for(hub, target, api):
    api.put("/applications/shop/targets/production/lock", {"reason": "inventory"})
    hub(push())
    work()
    built()
    advance()
    assert Automation.get().state == "waiting" and "inventory" in Automation.get().outcome
    api.delete("/applications/shop/targets/production/lock")
    Automation.update(due_at=now()).execute()
    advance()
    assert Automation.get().state == "deployed"


@pytest.mark.both_databases
def test_a_worker_that_died_after_asking_leaves_one_deploy(hub, target):
    hub(push())
    work()
    built()
    advance()
    Automation.update(state="waiting", deploy=None, ended_at=None, due_at=None).execute()
    advance()
    assert Deploy.select().count() == 1 and Automation.get().deploy_id == Deploy.get().id
