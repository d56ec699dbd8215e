"""Rules that ask for a green build: a release is deployed once its commit's builds are, and only then."""

import pytest

from controllers.automation import automation_run
from models import Application, Automation, Deploy, Integration, Target
from models.db import clock, now
from tests.api.test_hooks import COMMIT, advance, built, hub, push, sent_tasks, target, work
from tests.foreign.conftest import database, foreign_settings
from tests.foreign.standins.github import GitHub
from tests.stack import Repository

__all__ = ["database", "foreign_settings", "hub", "sent_tasks", "target"]


@pytest.fixture
def github(api, hub, target, tmp_path):
    """GitHub, where a push of COMMIT is ready to be deployed as soon as its build is green."""
    with GitHub(Repository(tmp_path / "shop"), "team/shop") as standin:
        moved = {"url": standin.url, "credentials": {"token": standin.token}}
        assert api.patch("/integrations/hub", moved).status_code == 200
        Target.update(rules=[{"branch": "main", "require_green_build": True}]).execute()
        hub(push())
        work()
        built()
        standin.requests.clear()
        yield standin


def look():
    """Look at what is due; returns the row then."""
    advance()
    return Automation.get()


def look_later():
    Automation.update(due_at=now()).execute()
    return look()


def pause_s():
    """Return in how many seconds the next look is."""
    return (Automation.get().due_at - clock()) / 1000


def status_of(context="ci", state="success", commit=COMMIT):
    """Return the hook of a status, as GitHub sends it."""
    return {"sha": commit, "state": state, "context": context, "repository": {"full_name": "team/shop"}}


@pytest.mark.parametrize("states", [(), ("pending",), ("success", "pending")])
def test_a_commit_whose_builds_have_not_all_ended_waits(github, states):
    for number, state in enumerate(states):
        github.judge(COMMIT, f"ci/{number}", state)
    row = look()
    assert row.state == "waiting" and f"green build of commit {COMMIT[:12]}" in row.outcome
    assert Deploy.select().count() == 0


def test_what_windlass_says_of_a_commit_is_no_build(github):
    github.judge(COMMIT, "windlass/shop/staging", "success")
    assert look().state == "waiting"


def test_a_red_build_ends_it(github):
    github.judge(COMMIT, "ci/1", "success")
    github.judge(COMMIT, "ci/2", "failure")
    row = look()
    assert row.state == "skipped" and "is red" in row.outcome and Deploy.select().count() == 0


@pytest.mark.parametrize("event", ["status", "check_suite"])
def test_the_hook_of_a_build_that_turned_green_is_followed_at_once(github, hub, sent_tasks, event):
    Automation.update(attempt=20).execute()
    assert look().state == "waiting" and automation_run.KIND.due() == []
    body = status_of()
    if event == "status":
        github.judge(COMMIT, "ci", "success")
    else:
        github.checks[COMMIT] = [{"name": "test", "status": "completed", "conclusion": "success"}]
        body.update(action="completed", check_suite={"head_sha": COMMIT, "conclusion": "success", "app": {"name": "x"}})
    sent_tasks.clear()
    hub(body, delivery="d-2", event=event)
    work()
    assert ("windlass.automation", (Automation.get().id,)) in sent_tasks
    assert look().state == "deployed" and Deploy.get().release.commit == COMMIT


def test_a_hook_that_comes_during_a_look_is_not_forgotten(github, hub, monkeypatch):
    decide = automation_run.AutomationAttempt.decide

    def decide_and_receive_a_hook(attempt):
        decided = decide(attempt)
        github.judge(COMMIT, "ci", "success")
        hub(status_of(), delivery="d-2", event="status")
        work()
        return decided

    with monkeypatch.context() as during:
        during.setattr(automation_run.AutomationAttempt, "decide", decide_and_receive_a_hook)
        assert look().state == "waiting"
    assert look().state == "deployed"


def test_the_build_of_another_commit_changes_nothing(github, hub):
    look()
    hub(status_of(commit="c" * 40), delivery="d-2", event="status")
    work()
    assert automation_run.KIND.due() == []


def test_pauses_grow_and_have_an_end(github):
    pauses = []
    for _ in range(8):
        look_later()
        pauses.append(round(pause_s(), -1))
    assert pauses[:3] == [10, 20, 40] and pauses == sorted(pauses) and pauses[-2:] == [300, 300]


def test_refused_credentials_are_told_and_not_repeated(github, api):
    github.token = "another"
    row = look()
    assert row.state == "waiting" and "'hub'" in row.outcome and "credentials" in row.outcome
    asked = len(github.requests)
    assert look_later().state == "waiting" and len(github.requests) == asked
    github.judge(COMMIT, "ci", "success")
    assert api.patch("/integrations/hub", {"credentials": {"token": "another"}}).status_code == 200
    assert look_later().state == "deployed"


def test_a_source_that_is_away_is_told_and_asked_again(github):
    github.judge(COMMIT, "ci", "success")
    github.fault("status", status=503)
    row = look()
    assert row.state == "waiting" and "'hub'" in row.outcome
    github.recover()
    assert look_later().state == "deployed"


def test_a_source_that_wants_to_be_left_alone_is(github, hub):
    github.judge(COMMIT, "ci", "success")
    github.fault("status", status=429, retry_after=600)
    assert look().state == "waiting" and pause_s() > 500
    asked = len(github.requests)
    hub(status_of(), delivery="d-2", event="status")
    work()
    look()
    automation_run.KIND.carry_out(Automation.get().id)
    assert len(github.requests) == asked, "neither a hook nor a message that is enqueued twice cuts the pause short"


def test_an_integration_that_is_gone_is_named(github):
    Integration.update(name="elsewhere").execute()
    row = look()
    assert row.state == "waiting" and "'hub'" in row.outcome and "Windlass itself" not in row.outcome


def test_a_source_that_knows_no_builds_ends_it(github):
    source = {"repository": "https://git.example.com/shop.git"}
    Application.update(source=source).execute()
    row = Automation.get()
    row.release.source = source
    row.release.save()
    row = look()
    assert row.state == "skipped" and "require_green_build" in row.outcome
