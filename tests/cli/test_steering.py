"""pause, resume, retry and skip: what is sent, and what the exit code tells."""

import pytest

from tests import shapes
from tests.cli.resources import ROUTES, known

AGREED = {"by": "ada", "at": shapes.at(), "comment": None, "digest": "d" * 64}


@pytest.fixture(autouse=True)
def steering(monkeypatch):
    """The stand-in's routes for changing the course of a deploy."""

    def going(state):
        def answer(api, request, number):
            deploy = known(api.deploys, int(number), "deploy")
            api.add_event(int(number), "deploy", data={"state": state})
            return 200, deploy

        return answer

    def of_host(state):
        return lambda api, request, number, host: (200, shapes.host_run(host, state))

    for change, state in (("pause", "paused"), ("resume", "succeeded"), ("retry", "failed")):
        monkeypatch.setitem(ROUTES, rf"POST /deploys/(\d+)/{change}", going(state))
    for change, state in (("retry", "pending"), ("skip", "skipped")):
        monkeypatch.setitem(ROUTES, rf"POST /deploys/(\d+)/hosts/([^/]+)/{change}", of_host(state))


@pytest.fixture
def number(api):
    """A deploy that has not ended."""
    return api.a_deploy("v2", "production")["id"]


@pytest.fixture
def to_be_approved(api, number, monkeypatch):
    """A deploy that two others must agree to; its plan is observing the first time it is asked for."""
    api.deploys[number].update(state="pending_approval", plan=7)
    answer = {**api.deploys[number], "approvals": {"needed": 2, "given": [AGREED]}}
    monkeypatch.setitem(ROUTES, r"POST /deploys/(\d+)/approve", lambda api, request, number: (200, answer))
    plan = shapes.plan(7, release="v2", hosts=[])
    states = iter([{"state": "observing", "digest": None}])
    ready = {"state": "ready", "digest": "d" * 64}
    monkeypatch.setitem(ROUTES, r"GET /plans/7", lambda api, request: (200, {**plan, **next(states, ready)}))
    return number


def test_approve_shows_the_plan_and_agrees_to_it_and_tells_what_is_still_needed(windlass, api, to_be_approved):
    told = windlass("approve", to_be_approved, "--comment", "looks right")
    assert told.code == 0
    assert told.out.startswith("plan 7  shop v2 → production")
    assert "pending_approval" in told.out and "1 more approval" in told.err
    sent = api.sent("POST", f"/deploys/{to_be_approved}/approve")[0].body
    assert sent == {"comment": "looks right", "digest": "d" * 64}


def test_approve_agrees_to_the_plan_somebody_has_read_before(windlass, api, to_be_approved):
    windlass("approve", to_be_approved, "--digest", "e" * 64)
    assert api.sent("POST", f"/deploys/{to_be_approved}/approve")[0].body == {"digest": "e" * 64}


def test_an_environment_is_protected_and_freed_again(windlass, api, monkeypatch):
    answer = shapes.environment("production", 2, approvals=1, promote_from="staging")
    monkeypatch.setitem(ROUTES, "PATCH /environments/production", lambda api, request: (200, answer))
    told = windlass("environments", "set", "production", "--approvals", "1", "--promote-from", "staging")
    assert told.out == "production needs 1 approval, only what has succeeded in staging.\n"
    windlass("environments", "set", "production", "--approvals", "0", "--promote-from-anywhere")
    sent = [request.body for request in api.sent("PATCH", "/environments/production")]
    assert sent == [{"approvals": 1, "promote_from": "staging"}, {"approvals": 0, "promote_from": None}]


def test_pause_says_how_to_go_on(windlass, number):
    answer = windlass("pause", number)
    assert answer.code == 0
    assert "paused" in answer.out and f"windlass resume {number}" in answer.err


def test_resume_and_wait_tells_the_outcome(windlass, number):
    assert windlass("resume", number, "--wait").code == 0
    assert windlass("retry", number, "--wait").code == 3


def test_one_host(windlass, windlass_json, api, number):
    assert windlass("skip", number, "web1").out == "web1  skipped\n"
    retried = windlass_json("retry", number, "--host", "web1")
    assert (retried["host"], retried["state"]) == ("web1", "pending")
    assert len(api.sent("POST", f"/deploys/{number}/hosts/web1/retry")) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["retry", "1", "--host", "web1", "--wait"],
        ["resume", "1", "--timeout", "5"],
        ["pause"],
        ["skip", "1"],
        ["environments", "set", "production"],
    ],
)
def test_wrong_usage_sends_nothing(windlass, api, options):
    assert windlass(*options).code == 2
    assert api.requests == []
