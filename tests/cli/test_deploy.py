"""deploy and rollback: what is asked of the API, what is shown, and how the command ends."""

import json

import pytest

from tests.cli import scenarios


def test_a_deploy_without_waiting_says_its_number_and_how_to_follow_it(windlass, api):
    answer = windlass("deploy", "shop", "v1", "--to", "production")
    assert answer.code == 0
    assert answer.out.startswith("deploy 1  shop v1 → production  queued")
    assert "windlass logs 1 --follow" in answer.err
    assert api.sent("POST", "/deploys")[0].body == {"application": "shop", "release": "v1", "environment": "production"}


def test_latest_is_the_newest_release_that_is_ready(windlass_json, api):
    api.releases["shop"][:0] = [api.a_release("v4", "building"), api.a_release("v3", "failed")]
    assert windlass_json("deploy", "shop", "latest", "--to", "production")["release"] == "v2"


def test_latest_is_found_beyond_the_first_page(windlass_json, api):
    api.releases["shop"][:0] = [api.a_release(f"v{number}", "failed") for number in range(450, 2, -1)]
    assert windlass_json("deploy", "shop", "latest", "--to", "production")["release"] == "v2"


def test_without_a_ready_release_latest_is_an_error_that_deploys_nothing(windlass, api):
    api.releases["shop"] = [api.a_release("v1", "failed")]
    answer = windlass("deploy", "shop", "latest", "--to", "production")
    assert answer.code == 1
    assert "no release that is ready" in answer.err and "windlass releases create shop" in answer.err
    assert not api.deploys


def test_waiting_ends_with_0_when_the_deploy_succeeded(windlass):
    answer = windlass("deploy", "shop", "v2", "--to", "production", "--wait")
    assert answer.code == 0
    assert answer.out == "deploy 1  shop v2 → production  succeeded  2/2 hosts\n"
    assert "deploy 1: running" in answer.err and "deploy 1: succeeded" in answer.err


@pytest.mark.parametrize("state", ["failed", "rolled_back", "cancelled"])
def test_waiting_ends_with_3_when_the_deploy_did_not_succeed(windlass, api, state):
    api.scenario = lambda api, number: api.add_event(number, "deploy", data={"state": state})
    answer = windlass("deploy", "shop", "v2", "--to", "production", "--wait")
    assert answer.code == 3
    assert state in answer.out
    assert "error: Deploy 1" in answer.err and "windlass logs 1" in answer.err


def test_a_failed_deploy_names_host_step_and_reason(windlass, api):
    api.scenario = scenarios.fail_health
    answer = windlass("deploy", "shop", "v2", "--to", "production", "--wait")
    assert answer.code == 3
    assert "was rolled back: web2 failed at check" in answer.err
    assert "web2: failed at check: GET /health answered 500" in answer.err


def test_json_keeps_the_outcome_on_stdout_and_the_error_on_stderr(windlass, api):
    api.scenario = scenarios.fail_health
    answer = windlass("deploy", "shop", "v2", "--to", "production", "--follow", "--json")
    assert answer.code == 3
    assert json.loads(answer.out)["state"] == "rolled_back"
    error = json.loads(answer.err.splitlines()[-1])["error"]
    assert (error["code"], error["exit_code"]) == ("rollout-failed", 3)


def test_following_without_a_terminal_writes_a_line_per_event_to_stderr(windlass, api):
    api.scenario = scenarios.fail_health
    answer = windlass("deploy", "shop", "v2", "--to", "production", "--follow")
    lines = answer.err.splitlines()
    assert "web1      ship done" in lines
    assert "web2      check │ KeyError: 'PRICE'" in lines
    assert "web2      check failed  GET /health answered 500" in lines
    assert "\x1b" not in answer.err


def test_with_a_reference_a_release_is_built_and_then_deployed(windlass, api):
    answer = windlass("deploy", "shop", "--ref", "fix-prices", "--to", "production", "--wait")
    assert answer.code == 0
    assert api.sent("POST", "/applications/shop/releases")[0].body == {"ref": "fix-prices"}
    assert api.sent("POST", "/deploys")[0].body["release"] == "v3"
    assert "Locking 12 packages" in answer.err and "Locking" not in answer.out


def test_a_failed_build_deploys_nothing_and_says_why(windlass, api):
    api.build_ends = "failed"
    answer = windlass("deploy", "shop", "--ref", "main", "--to", "production", "--wait")
    assert answer.code == 1
    assert "pip: no such package" in answer.err and "windlass releases show shop v3 --log" in answer.err
    assert not api.deploys


def test_strategy_batch_and_comment_are_sent(windlass_json, api):
    windlass_json("deploy", "shop", "v1", "--to", "production", "--strategy", "rolling", "--batch", "2", "--comment", "Sale")
    windlass_json("deploy", "shop", "v1", "--to", "production", "--batch", "25%")
    first, second = (request.body for request in api.sent("POST", "/deploys"))
    assert (first["strategy"], first["comment"]) == ({"kind": "rolling", "batch": 2}, "Sale")
    assert second["strategy"] == {"batch": "25%"}


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["shop", "--to", "production"], "What is to be deployed?"),
        (["shop", "v1", "--ref", "main", "--to", "production"], "both say what to deploy"),
        (["shop", "v1"], "--to"),
        (["shop", "v1", "--to", "production", "--timeout", "5"], "--timeout needs something to wait for"),
        (["shop", "v1", "--to", "production", "--wait", "--timeout", "0"], "--timeout"),
        (["shop", "v1", "--to", "production", "--colour"], "--colour"),
    ],
)
def test_wrong_usage_ends_with_2_and_deploys_nothing(windlass, api, arguments, said):
    answer = windlass("deploy", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert not api.requests


def test_a_passed_timeout_ends_with_5_and_says_that_the_deploy_goes_on(windlass, api):
    api.scenario = scenarios.begin
    answer = windlass("deploy", "shop", "v2", "--to", "production", "--follow", "--timeout", "0.3")
    assert answer.code == 5
    assert "Deploy 1 goes on" in answer.err and "windlass logs 1 --follow" in answer.err and "windlass cancel 1" in answer.err
    assert api.deploys[1]["state"] == "running"


def test_a_timeout_counts_the_build_too(windlass, api):
    api.build_ends = "building"
    answer = windlass("deploy", "shop", "--ref", "main", "--to", "production", "--timeout", "0.3")
    assert answer.code == 5
    assert "still being built" in answer.err
    assert not api.deploys


def test_rollback_goes_back_from_the_newest_deploy_of_that_environment(windlass, api):
    api.a_deploy("v1", "staging", "succeeded")
    api.a_deploy("v2", "production", "succeeded")
    api.a_deploy("v2", "staging", "succeeded")
    answer = windlass("rollback", "shop", "--in", "production", "--wait")
    assert answer.code == 0
    assert api.sent("POST", "/deploys/2/rollback") and not api.sent("POST", "/deploys/3/rollback")
    assert answer.out == "deploy 4  shop v1 → production  succeeded  2/2 hosts\n"


def test_rollback_takes_from_as_well_as_in(windlass, api):
    api.a_deploy("v2", "production", "succeeded")
    assert windlass("rollback", "shop", "--from", "production").code == 0
    assert api.sent("POST", "/deploys/1/rollback")


def test_rollback_where_nothing_was_ever_deployed_is_an_error(windlass, api):
    answer = windlass("rollback", "shop", "--in", "production")
    assert answer.code == 1
    assert "Nothing was ever deployed of shop to production" in answer.err
