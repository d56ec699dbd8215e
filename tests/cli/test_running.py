"""run, commands and audit: what is sent, what is shown where, and the exit codes."""

import copy
import json

import pytest

from tests import shapes
from tests.cli.resources import ROUTES, known, only, page

HOSTS = ("web1", "web-number-2")


@pytest.fixture(autouse=True)
def outcomes(monkeypatch, api):
    """How commands go in the stand-in: {host: (output, state, exit code, message)}; changed by tests."""
    expected = dict.fromkeys(HOSTS, ("one\ntwo\n", "succeeded", 0, None))
    monkeypatch.setitem(ROUTES, "POST /commands", lambda api, request: create(api, request, expected))
    monkeypatch.setitem(ROUTES, "GET /commands", list_commands)
    monkeypatch.setitem(ROUTES, r"GET /commands/(\d+)", show)
    monkeypatch.setitem(ROUTES, r"GET /commands/(\d+)/events", list_events)
    monkeypatch.setitem(ROUTES, r"POST /commands/(\d+)/cancel", cancel)
    return expected


def create(api, request, expected):
    """Start a command, and let it run to its expected end at once."""
    body = only(request.body, "argv", "hosts", "application", "environment", "time_limit_s")
    pending = {"state": "pending", "exit_code": None, "message": None, "started_at": None, "ended_at": None}
    command = shapes.command(len(api.commands) + 1, "running", **body)
    command["hosts"] = [{"host": host, **pending} for host in expected]
    begun = copy.deepcopy(command)
    api.commands[command["id"]] = command
    api.command_events[command["id"]] = numbered(carry_out(command, expected))
    return 201, begun


def carry_out(command, expected):
    """Let every host end as expected and yield what happens."""
    yield {"kind": "command", "data": {"state": "running"}}
    for run in command["hosts"]:
        host = run["host"]
        text, state, exit_code, message = expected[host]
        yield {"kind": "host", "host": host, "data": {"state": "running"}}
        yield {"kind": "output", "host": host, "text": text}
        yield {"kind": "host", "host": host, "data": {"state": state}, "text": message}
        run.update(state=state, exit_code=exit_code, message=message)
    states = {run["state"] for run in command["hosts"]}
    command["state"] = "running" if "running" in states else "succeeded" if states == {"succeeded"} else "failed"
    yield {"kind": "command", "data": {"state": command["state"]}}


def numbered(events):
    """Return events as they stand in a history."""
    return [{"number": number, "at": shapes.at(), **event} for number, event in enumerate(events, 1)]


def show(api, request, number):
    """Answer with one command."""
    return 200, known(api.commands, int(number), "command")


def cancel(api, request, number):
    """Cancel a command."""
    command = known(api.commands, int(number), "command")
    command["state"] = "cancelled"
    return 200, command


def list_commands(api, request):
    """Answer with all commands, the newest first."""
    return page([shapes.without_hosts(command) for command in reversed(api.commands.values())], request)


def list_events(api, request, number):
    """Answer with a command's history."""
    after = int(request.query.get("after") or 0)
    return 200, {"items": api.command_events[int(number)][after:], "next": None}


def test_an_application_is_the_first_word_and_the_command_comes_after_the_dashes(windlass, api):
    answer = windlass("run", "shop", "--to", "production", "--time-limit", "5m", "--", "ls", "-l", "--", "a b")
    assert answer.code == 0, answer.err
    assert api.sent("POST", "/commands")[0].body == {
        "argv": ["ls", "-l", "--", "a b"],
        "application": "shop",
        "environment": "production",
        "time_limit_s": 300,
    }
    assert answer.out.splitlines() == [
        "web1          one",
        "web1          two",
        "web-number-2  one",
        "web-number-2  two",
    ]
    assert "Command 1: ls -l -- 'a b'" in answer.err and "web1          succeeded" in answer.err


def test_without_an_application_it_goes_to_hosts_by_name(windlass, api):
    assert windlass("run", "--host", "web1", "--host", "web-number-2", "--", "df").code == 0
    assert api.sent("POST", "/commands")[0].body == {"argv": ["df"], "hosts": list(HOSTS)}
    windlass("run", "shop", "--to", "production", "--host", "web1", "--", "df")
    assert api.sent("POST", "/commands")[1].body["hosts"] == ["web1"]


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["run", "--", "df"], "Where?"),
        (["run", "shop", "--to", "production"], "What is to be run?"),
        (["run"], "Missing argument"),
        (["run", "--host", "web1", "df", "-h", "-x"], "No such option"),
        (["run", "--host", "web1", "--time-limit", "5", "--", "df"], "no length of time"),
        (["commands", "show", "1", "--timeout", "3"], "--timeout needs --follow"),
    ],
)
def test_what_says_too_little_sends_nothing(windlass, api, arguments, told):
    windlass("run", "--host", "web1", "--", "true")
    answer = windlass(*arguments)
    assert answer.code == 2 and told in answer.err
    assert len(api.sent("POST", "/commands")) == 1


def test_a_host_that_fails_makes_it_fail_with_its_reason(windlass, outcomes):
    outcomes["web1"] = ("oh\x1b[2Jno\n", "failed", 4, "ended with status 4")
    answer = windlass("run", "--host", "web1", "--", "false")
    assert answer.code == 3 and "\x1b" not in answer.out and answer.out.startswith("web1          oh")
    assert "Command 1 did not succeed on every host." in answer.err
    assert "web1: failed: ended with status 4" in answer.err and "web-number-2: " not in answer.err


def test_as_json_it_tells_all_output_at_the_end(windlass, outcomes):
    shown = json.loads(windlass("run", "--json", "--host", "web1", "--", "df").out)
    assert [(run["host"], run["output"], run["exit_code"]) for run in shown["hosts"]] == [
        ("web1", "one\ntwo\n", 0),
        ("web-number-2", "one\ntwo\n", 0),
    ]
    outcomes["web1"] = ("", "unclear", None, "nobody knows")
    answer = windlass("run", "--json", "--host", "web1", "--", "df")
    assert answer.code == 3 and json.loads(answer.out)["state"] == "failed"
    assert json.loads(answer.err.splitlines()[-1])["error"]["code"] == "command-failed"


def test_one_that_goes_on_can_be_left_and_cancelled(windlass, outcomes):
    outcomes["web1"] = ("begun\n", "running", None, None)
    answer = windlass("run", "--host", "web1", "--timeout", "0.3", "--", "sleep", "600")
    assert answer.code == 5 and "windlass commands cancel 1" in answer.err and "begun" in answer.out
    assert "running" in windlass("commands", "show", "1").out
    assert "cancelled" in windlass("commands", "cancel", "1").out


def test_commands_are_listed_and_shown(windlass, windlass_json, api):
    windlass("run", "shop", "--to", "production", "--", "python", "manage.py", "check")
    row = windlass("commands", "list", "--application", "shop", "--state", "succeeded").out.splitlines()[1]
    assert row.split()[:4] == ["1", "python", "manage.py", "check"] and "shop/production" in row
    assert api.sent("GET", "/commands")[0].query == {"application": "shop", "state": "succeeded", "limit": "20"}
    assert "web-number-2  succeeded  0" in windlass("commands", "show", "1").out
    assert windlass_json("commands", "show", "1")["argv"] == ["python", "manage.py", "check"]
    assert windlass("commands", "show", "1", "--follow").out.count("one") == 2


def test_the_audit_trail_is_shown_and_verified(windlass, api, monkeypatch):
    entry = shapes.audited(actor="ada", action="host.delete", subject="web1")
    verdict = {**shapes.verdict(7), "newest_seal": "abc"}
    monkeypatch.setitem(ROUTES, "GET /audit", lambda api, request: page([entry], request))
    monkeypatch.setitem(ROUTES, "GET /audit/verify", lambda api, request: (200, verdict))
    assert "host.delete" in windlass("audit", "--by", "ada", "--action", "host").out
    assert api.sent("GET", "/audit")[0].query == {"by": "ada", "action": "host", "limit": "50"}
    assert "The newest seal is abc." in windlass("audit", "--verify").out
    verdict.update(ok=False, message="Entry 3 is missing.")
    answer = windlass("audit", "--verify")
    assert answer.code == 1 and "Entry 3 is missing." in answer.err
