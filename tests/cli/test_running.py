"""run, commands and audit: what is sent, what is shown where, and the exit codes."""

import json

import pytest

from tests.cli.resources import ROUTES, known, only, page

HOSTS = ("web1", "web-number-2")


@pytest.fixture(autouse=True)
def answers(monkeypatch, api):
    """How commands go in the stand-in: {host: (output, state, exit code, message)}; changed by tests."""
    told = dict.fromkeys(HOSTS, ("one\ntwo\n", "succeeded", 0, None))

    def create(api, request):
        body = only(request.body, "argv", "hosts", "application", "environment", "time_limit_s")
        number = len(api.commands) + 1
        runs = [{"host": host, "state": "pending", "exit_code": None, "message": None} for host in told]
        command = {
            "id": number,
            "application": None,
            "environment": None,
            "time_limit_s": 60,
            "requested_by": "ada",
            "cancel_requested_by": None,
            "created_at": "2026-01-01T10:00:00.000Z",
            "ended_at": None,
            **body,
            "state": "running",
            "progress": {"total": len(runs), "done": 0, "failed": 0},
            "hosts": runs,
        }
        answer = json.loads(json.dumps(command))
        api.commands[number], api.command_events[number] = command, list(history(command))
        return 201, answer

    def history(command):
        events = [{"kind": "command", "data": {"state": "running"}}]
        for run in command["hosts"]:
            text, state, exit_code, message = told[run["host"]]
            events.append({"kind": "host", "host": run["host"], "data": {"state": "running"}})
            events.append({"kind": "output", "host": run["host"], "text": text})
            events.append({"kind": "host", "host": run["host"], "data": {"state": state}, "text": message})
            run.update(state=state, exit_code=exit_code, message=message)
        states = {run["state"] for run in command["hosts"]}
        command["state"] = "running" if "running" in states else "succeeded" if states == {"succeeded"} else "failed"
        events.append({"kind": "command", "data": {"state": command["state"]}})
        for number, event in enumerate(events, 1):
            yield {"number": number, "at": "2026-01-01T10:00:00.000Z", **event}

    def show(api, request, number):
        return 200, known(api.commands, int(number), "command")

    def cancel(api, request, number):
        command = known(api.commands, int(number), "command")
        command["state"] = "cancelled"
        return 200, command

    def list_all(api, request):
        return page(list(reversed(api.commands.values())), request)

    def list_events(api, request, number):
        after = int(request.query.get("after") or 0)
        return 200, {"items": api.command_events[int(number)][after:], "next": None}

    monkeypatch.setitem(ROUTES, "POST /commands", create)
    monkeypatch.setitem(ROUTES, "GET /commands", list_all)
    monkeypatch.setitem(ROUTES, r"GET /commands/(\d+)", show)
    monkeypatch.setitem(ROUTES, r"GET /commands/(\d+)/events", list_events)
    monkeypatch.setitem(ROUTES, r"POST /commands/(\d+)/cancel", cancel)
    return told


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


def test_a_host_that_fails_makes_it_fail_with_its_reason(windlass, answers):
    answers["web1"] = ("oh\x1b[2Jno\n", "failed", 4, "ended with status 4")
    answer = windlass("run", "--host", "web1", "--", "false")
    assert answer.code == 3 and "\x1b" not in answer.out and answer.out.startswith("web1          oh")
    assert "Command 1 did not succeed on every host." in answer.err
    assert "web1: failed: ended with status 4" in answer.err and "web-number-2: " not in answer.err


def test_as_json_it_tells_all_output_at_the_end(windlass, answers):
    shown = json.loads(windlass("run", "--json", "--host", "web1", "--", "df").out)
    assert [(run["host"], run["output"], run["exit_code"]) for run in shown["hosts"]] == [
        ("web1", "one\ntwo\n", 0),
        ("web-number-2", "one\ntwo\n", 0),
    ]
    answers["web1"] = ("", "unclear", None, "nobody knows")
    answer = windlass("run", "--json", "--host", "web1", "--", "df")
    assert answer.code == 3 and json.loads(answer.out)["state"] == "failed"
    assert json.loads(answer.err.splitlines()[-1])["error"]["code"] == "command-failed"


def test_one_that_goes_on_can_be_left_and_cancelled(windlass, answers):
    answers["web1"] = ("begun\n", "running", None, None)
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
    entry = {
        "at": "2026-01-01T10:00:00.000Z",
        "actor": "ada",
        "action": "host.delete",
        "subject": "web1",
        "address": "10.0.0.1",
        "data": {},
    }
    verdict = {"ok": True, "message": "All 7 entries are as they were written.", "newest_seal": "abc"}
    monkeypatch.setitem(ROUTES, "GET /audit", lambda api, request: page([entry], request))
    monkeypatch.setitem(ROUTES, "GET /audit/verify", lambda api, request: (200, verdict))
    assert "host.delete" in windlass("audit", "--by", "ada", "--action", "host").out
    assert api.sent("GET", "/audit")[0].query == {"by": "ada", "action": "host", "limit": "50"}
    assert "The newest seal is abc." in windlass("audit", "--verify").out
    verdict.update(ok=False, message="Entry 3 is missing.")
    answer = windlass("audit", "--verify")
    assert answer.code == 1 and "Entry 3 is missing." in answer.err
