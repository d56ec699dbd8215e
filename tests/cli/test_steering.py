"""pause, resume, retry and skip: what is sent, and what the exit code tells."""

import pytest

from tests.cli.resources import ROUTES, known


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
        return lambda api, request, number, host: (200, {"host": host, "state": state})

    for change, state in (("pause", "paused"), ("resume", "succeeded"), ("retry", "failed")):
        monkeypatch.setitem(ROUTES, rf"POST /deploys/(\d+)/{change}", going(state))
    for change, state in (("retry", "pending"), ("skip", "skipped")):
        monkeypatch.setitem(ROUTES, rf"POST /deploys/(\d+)/hosts/([^/]+)/{change}", of_host(state))


@pytest.fixture
def number(api):
    """A deploy that has not ended."""
    return api.a_deploy("v2", "production")["id"]


def test_pause_says_how_to_go_on(windlass, number):
    answer = windlass("pause", number)
    assert answer.code == 0
    assert "paused" in answer.out and f"windlass resume {number}" in answer.err


def test_resume_and_wait_tells_the_outcome(windlass, number):
    assert windlass("resume", number, "--wait").code == 0
    assert windlass("retry", number, "--wait").code == 3


def test_one_host(windlass, windlass_json, api, number):
    assert windlass("skip", number, "web1").out == "web1  skipped\n"
    assert windlass_json("retry", number, "--host", "web1") == {"host": "web1", "state": "pending"}
    assert len(api.sent("POST", f"/deploys/{number}/hosts/web1/retry")) == 1


@pytest.mark.parametrize("options", [["retry", "1", "--host", "web1", "--wait"], ["resume", "1", "--timeout", "5"], ["pause"], ["skip", "1"]])
def test_wrong_usage_sends_nothing(windlass, api, options):
    assert windlass(*options).code == 2
    assert api.requests == []
