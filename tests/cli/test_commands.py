"""The other commands: lists, hosts, releases, applications, status, logs, cancel, completion."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests import shapes
from tests.cli import scenarios


def test_status_shows_desired_beside_observed_and_tells_the_drift(windlass, api):
    failed = shapes.brief(shapes.deploy(17, "failed"))
    drift = {"drift": True, "drift_detail": "web2: v1; it should be v2."}
    api.status = [
        shapes.status(desired="v2", observed=None, state="failed", health="unhealthy", deploy=failed, **drift),
        shapes.status(environment="staging", desired="v2", observed="v2", deploy=shapes.brief(shapes.deploy(16))),
    ]
    answer = windlass("status")
    assert answer.out.splitlines() == [
        "APPLICATION  ENVIRONMENT  DESIRED  OBSERVED  HEALTH     DRIFT  DEPLOY",
        "shop         production   v2       -         unhealthy  yes    17 failed",
        "shop         staging      v2       v2        healthy    -      16 succeeded",
    ]
    assert "web2: v1; it should be v2." in answer.err
    assert "staging" not in windlass("status", "--environment", "production").out


def test_a_lock_is_shown_when_there_is_one(windlass, api):
    api.status = [shapes.status(lock=shapes.lock("ada", "sale"))]
    assert "LOCK" in windlass("status").out and "ada" in windlass("status").out


def test_a_wide_table_in_a_pipe_is_neither_wrapped_nor_cut(windlass, api):
    name = "a-very-long-application-name-" * 10
    api.applications[name] = shapes.application(name, source={"package": "x" * 300}, team="t")
    assert any(line.startswith(name) and line.endswith("t") for line in windlass("applications", "list").out.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["applications", "list"], ["hosts", "list"], ["deploys", "list"], ["releases", "list", "shop"]],
)
def test_an_empty_list_is_said_on_stderr_and_empty_on_stdout(windlass, windlass_json, api, arguments):
    api.applications, api.releases = {}, {"shop": []}
    answer = windlass(*arguments)
    assert (answer.code, answer.out) == (0, "") and answer.err
    assert windlass_json(*arguments) == {"items": []}


def test_json_may_stand_before_or_after_the_command(windlass):
    assert windlass("--json", "applications", "list").out == windlass("applications", "list", "--json").out
    assert json.loads(windlass("applications", "--json", "list").out)["items"][0]["name"] == "shop"


def test_json_in_a_pipe_is_one_line(windlass):
    assert windlass("applications", "show", "shop", "--json").out.count("\n") == 1


def test_an_error_in_json_is_one_object_on_stderr(windlass):
    answer = windlass("applications", "show", "nothing", "--json")
    assert (answer.code, answer.out) == (1, "")
    error = json.loads(answer.err)["error"]
    assert (error["code"], error["status"], error["request_id"], error["exit_code"]) == ("not-found", 404, "req-1", 1)


def test_an_application_is_created_from_a_repository_or_a_package(windlass_json, api):
    windlass_json(
        "applications",
        "create",
        "wiki",
        "--repository",
        "https://git.example.org/wiki.git",
        "--branch",
        "main",
        "--team",
        "docs",
    )
    windlass_json(
        "applications",
        "create",
        "bin",
        "--package",
        "httpbin",
        "--integration",
        "pypi",
        "--process",
        "web=gunicorn -b unix:$SOCKET httpbin:app",
    )
    assert api.sent("POST", "/applications")[0].body == {
        "name": "wiki",
        "source": {"repository": "https://git.example.org/wiki.git", "branch": "main"},
        "team": "docs",
    }
    assert api.applications["bin"]["source"] == {"package": "httpbin", "integration": "pypi"}
    assert api.applications["bin"]["processes"] == {"web": "gunicorn -b unix:$SOCKET httpbin:app"}


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--repository", "r", "--package", "p"],
        ["--package", "p", "--branch", "b"],
        ["--package", "p", "--process", "web"],
        ["--package", "p", "--process", "=x"],
    ],
)
def test_an_application_without_one_clear_source_is_wrong_usage(windlass, api, options):
    assert windlass("applications", "create", "wiki", *options).code == 2
    assert not api.requests


@pytest.mark.parametrize(
    "arguments, path",
    [(["applications", "delete", "shop"], "/applications/shop"), (["hosts", "remove", "web1"], "/hosts/web1")],
)
def test_what_cannot_be_undone_needs_yes_when_nobody_can_be_asked(windlass, api, arguments, path):
    api.hosts["web1"] = shapes.host("web1")
    answer = windlass(*arguments)
    assert answer.code == 2
    assert "--yes" in answer.err and not api.sent("DELETE", path)
    assert windlass(*arguments, "--yes").code == 0
    assert len(api.sent("DELETE", path)) == 1


def test_deleting_what_does_not_exist_is_an_error_before_any_question(windlass, api):
    answer = windlass("applications", "delete", "nothing")
    assert answer.code == 1
    assert "There is no application nothing." in answer.err


def test_a_host_is_added_with_what_was_given_and_nothing_else(windlass, api, tmp_path):
    (tmp_path / "settings.json").write_text('{"nginx": null}')
    answer = windlass(
        "hosts",
        "add",
        "web1",
        "--address",
        "10.0.0.1",
        "--port",
        "2222",
        "--user",
        "ada",
        "--zone",
        "dmz",
        "--tag",
        "web",
        "--tag",
        "eu",
        "--root",
        "/opt/w",
        "--host-key",
        "ssh-ed25519 AAAA",
        "--settings",
        f"@{tmp_path / 'settings.json'}",
    )
    assert answer.code == 0
    assert api.sent("POST", "/hosts")[0].body == {
        "name": "web1",
        "address": "10.0.0.1",
        "port": 2222,
        "user": "ada",
        "zone": "dmz",
        "tags": ["web", "eu"],
        "root": "/opt/w",
        "host_key": "ssh-ed25519 AAAA",
        "settings": {"nginx": None},
    }
    windlass("hosts", "add", "web2", "--user", "ada")
    assert api.sent("POST", "/hosts")[1].body == {"name": "web2", "user": "ada"}


def test_after_adding_a_host_the_key_to_install_is_shown(windlass):
    answer = windlass("hosts", "add", "web1", "--user", "ada", "--zone", "dmz")
    assert "ssh-ed25519 KEY windlass-dmz\n" in answer.err and "windlass hosts trust web1" in answer.err
    assert "KEY" not in answer.out
    assert "KEY" not in windlass("hosts", "add", "here", "--transport", "local").err


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        ("@/no/such/file", "cannot be read"),
        ("@/proc/self/exe", "cannot be read"),
    ],
)
def test_settings_that_cannot_be_used_are_told_before_anything_is_sent(windlass, api, text, said):
    answer = windlass("hosts", "add", "web1", "--settings", text)
    assert answer.code == 1
    assert said in answer.err and not api.requests


def test_check_shows_the_facts_and_fails_when_there_is_a_problem(windlass, api):
    api.hosts["web1"] = shapes.host("web1")
    answer = windlass("hosts", "check", "web1")
    assert answer.code == 0
    assert re.search(r"Python +3\.11\.2", answer.out)
    api.hosts["web1"]["problems"] = [
        {"code": "nginx-missing", "message": "nginx is not installed", "remedy": "apt-get install nginx"}
    ]
    answer = windlass("hosts", "check", "web1")
    assert answer.code == 1
    assert "nginx is not installed" in answer.err and "apt-get install nginx" in answer.err


def test_a_host_key_is_only_pinned_by_its_fingerprint(windlass, api):
    api.hosts["web1"] = shapes.new_host("web1")
    answer = windlass("hosts", "trust", "web1")
    assert answer.code == 2
    assert "--fingerprint SHA256:abc" in answer.err and api.hosts["web1"]["host_key"] is None
    assert windlass("hosts", "trust", "web1", "--fingerprint", "SHA256:other").code == 1
    assert api.hosts["web1"]["host_key"] is None
    assert windlass("hosts", "trust", "web1", "--fingerprint", "SHA256:abc").code == 0
    assert api.hosts["web1"]["host_key"] == "ssh-ed25519 AAAA"


def test_another_key_than_the_pinned_one_is_warned_of(windlass, api):
    api.hosts["web1"] = shapes.host("web1", host_key="ssh-ed25519 OLD")
    answer = windlass("hosts", "trust", "web1")
    assert "Another key is pinned for web1" in answer.err
    assert api.hosts["web1"]["host_key"] == "ssh-ed25519 OLD"


def test_the_question_about_a_key_pins_what_was_shown(terminal, api):
    api.hosts["web1"] = shapes.new_host("web1")
    window = terminal(["hosts", "trust", "web1"]).until("SHA256:abc").until("[y/N]")
    assert window.type("y\r").end()[0] == 0
    assert api.sent("POST", "/hosts/web1/trust")[-1].body == {"fingerprint": "SHA256:abc"}


def test_maintenance_needs_a_reason_and_ends_with_off(windlass, api):
    api.hosts["web1"] = shapes.host("web1")
    assert windlass("hosts", "maintenance", "web1").code == 2
    assert windlass("hosts", "maintenance", "web1", "--off", "--reason", "x").code == 2
    assert not api.requests
    assert "new disk" in windlass("hosts", "maintenance", "web1", "--reason", "new disk").out
    assert api.hosts["web1"]["state"] == "maintenance"
    windlass("hosts", "maintenance", "web1", "--off")
    assert api.hosts["web1"]["state"] == "ready"


def test_what_to_build_is_the_servers_choice_unless_it_is_said(windlass, api):
    answer = windlass("releases", "create", "shop")
    assert answer.code == 0
    assert "building" in answer.out and "windlass releases show shop v3" in answer.err
    windlass("releases", "create", "shop", "--package-version", "0.10.2", "--upgrade-dependencies")
    first, second = (request.body for request in api.sent("POST", "/applications/shop/releases"))
    assert (first, second) == ({}, {"package_version": "0.10.2", "upgrade_dependencies": True})


def test_two_answers_to_what_to_build_are_wrong_usage(windlass, api):
    assert windlass("releases", "create", "shop", "--ref", "main", "--package-version", "1").code == 2
    assert windlass("releases", "create", "shop", "--timeout", "5").code == 2
    assert not api.requests


def test_waiting_for_a_build_shows_its_output_on_stderr(windlass):
    answer = windlass("releases", "create", "shop", "--ref", "fix", "--wait")
    assert answer.code == 0
    assert "Cloning" in answer.err and "Cloning" not in answer.out
    assert "ready" in answer.out


def test_a_failed_build_fails_the_waiting_and_keeps_the_release_in_json(windlass, api):
    api.build_ends = "failed"
    answer = windlass("releases", "create", "shop", "--wait", "--json")
    assert answer.code == 1
    assert json.loads(answer.out)["state"] == "failed"
    assert json.loads(answer.err.splitlines()[-1])["error"]["code"] == "build-failed"
    assert "Cloning\n" in windlass("releases", "show", "shop", "v3", "--log").out


def test_a_reference_that_cannot_be_built_is_told_field_by_field(windlass):
    answer = windlass("releases", "create", "shop", "--ref", "no-such-branch")
    assert answer.code == 1
    assert "ref: no-such-branch is not in the repository" in answer.err


def test_a_build_is_cancelled_and_waited_for(windlass, api):
    api.releases["shop"] = [api.a_release(version, "building") for version in ("v3", "v4")]
    answer = windlass("releases", "cancel", "shop", "v3")
    assert answer.code == 0 and "building" in answer.out and "windlass releases show shop v3" in answer.err
    answer = windlass("releases", "cancel", "shop", "v4", "--wait")
    assert answer.code == 0 and "cancelled by admin" in answer.out and "failed" in answer.out
    answer = windlass("releases", "cancel", "shop", "v4")
    assert answer.code == 1 and "is failed" in answer.err
    assert windlass("releases", "cancel", "shop", "v4", "--timeout", "5").code == 2


def test_compare_shows_what_differs_and_what_nobody_knows_any_more(windlass, api):
    api.changes = {
        "commits": [
            {
                "commit": "0123456789abcdef",
                "subject": "Sell \x1b[2Jmore",
                "author": "Ada",
                "at": shapes.at(),
                "message": "",
            }
        ],
        "files": None,
        "dependencies": {
            "added": [{"name": "rich", "version": "15.0"}],
            "changed": [{"name": "flask", "from": "3.0", "to": "3.1"}],
            "removed": [],
        },
        "python": {"from": "3.11", "to": "3.12"},
    }
    assert windlass("releases", "compare", "shop", "v1", "latest").out.splitlines() == [
        "Commits",
        "  0123456789  Sell more  Ada",
        "Files: not known to the server any more",
        "Dependencies",
        "  added    rich 15.0",
        "  changed  flask 3.0 → 3.1",
        "Python 3.11 → 3.12",
    ]
    api.changes = {}
    assert windlass("releases", "compare", "shop", "v1", "latest").out == "Nothing differs.\n"


def test_releases_show_latest(windlass_json):
    assert windlass_json("releases", "show", "shop", "latest")["version"] == "v2"


def test_deploys_are_listed_newest_first_and_filtered(windlass_json, windlass, api):
    for environment in ("staging", "production", "staging"):
        api.a_deploy("v1", environment)
    assert [row["id"] for row in windlass_json("deploys", "list")["items"]] == [3, 2, 1]
    assert [row["id"] for row in windlass_json("deploys", "list", "--environment", "staging", "--limit", "1")["items"]] == [3]
    assert windlass_json("deploys", "list", "--state", "failed")["items"] == []


def test_a_deploy_is_shown_with_its_hosts(windlass, windlass_json, api):
    api.a_deploy("v2")
    scenarios.fail_health(api, 1)
    out = windlass("deploys", "show", "1").out
    assert re.search(r"web2 +2 +failed +check +0 B +GET /health answered 500", out)
    assert [run["host"] for run in windlass_json("deploys", "show", "1")["hosts"]] == ["web1", "web2"]


def test_a_deploy_can_be_waited_for_later(windlass, api):
    api.a_deploy("v2")
    scenarios.fail_health(api, 1)
    assert windlass("deploys", "show", "1", "--wait").code == 3


def test_the_log_is_the_apis_own_text(windlass, api):
    api.a_deploy("v2")
    scenarios.succeed(api, 1)
    answer = windlass("logs", "1")
    assert answer.out.splitlines()[0] == "2026-01-01T10:00:00.000Z deploy running"
    assert "2026-01-01T10:00:05.000Z [web1 start] web: listening\n" in answer.out


def test_the_log_in_json_is_one_event_a_line(windlass, api):
    api.a_deploy("v2")
    for index in range(450):
        api.add_event(1, "output", host="web1", text=f"line {index}")
    assert [json.loads(line)["number"] for line in windlass("logs", "1", "--json").out.splitlines()] == list(range(1, 451))


@pytest.mark.parametrize("number", ["0", "-1", "seventeen", "1.5"])
def test_a_deploy_is_named_by_its_number(windlass, api, number):
    assert windlass("logs", number).code == 2
    assert not api.requests


def test_cancel_asks_the_api_and_cannot_cancel_what_has_ended(windlass, api):
    api.a_deploy("v2")
    assert windlass("cancel", "1").code == 0
    assert api.deploys[1]["state"] == "cancelled"
    answer = windlass("cancel", "1")
    assert answer.code == 1
    assert "has ended already" in answer.err


def test_a_reader_that_goes_away_is_no_traceback(command, surroundings, api):
    api.a_deploy("v2")
    for index in range(3000):
        api.add_event(1, "output", host="web1", text=f"line {index} " + "x" * 80)
    pipe = f"{sys.executable} -m windlass_cli logs 1 | head -n 1"
    done = subprocess.run(["sh", "-c", pipe], env=surroundings, capture_output=True, text=True, timeout=60)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("shell, mark", [("bash", "complete -o"), ("zsh", "#compdef windlass"), ("fish", "complete --no-files")])
def test_the_completion_script_is_written(windlass, shell, mark):
    answer = windlass("completion", shell)
    assert answer.code == 0
    assert mark in answer.out and "_WINDLASS_COMPLETE" in answer.out


def complete(command, words):
    answer = command([], _WINDLASS_COMPLETE="bash_complete", COMP_WORDS=" ".join(words), COMP_CWORD=str(len(words) - 1))
    return {line.partition(",")[2] for line in answer.out.splitlines() if line}, answer


def test_completion_knows_commands_and_the_names_the_api_lists(command):
    assert {"deploy", "deploys"} == complete(command, ["windlass", "dep"])[0]
    assert complete(command, ["windlass", "deploy", "sh"])[0] == {"shop"}
    assert complete(command, ["windlass", "deploy", "shop", "v"])[0] == {"v1", "v2"}
    assert complete(command, ["windlass", "deploy", "shop", "v1", "--to", "s"])[0] == {"staging"}


def test_completion_without_a_server_offers_nothing_and_says_nothing(command, api):
    api.close()
    found, answer = complete(command, ["windlass", "deploy", "sh"])
    assert (found, answer.err) == (set(), "")


def test_the_completion_works_in_a_real_bash(surroundings, tmp_path):
    """Sourced as a person would, with a ``windlass`` on the PATH."""
    script = tmp_path / "windlass"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m windlass_cli "$@"\n')
    script.chmod(0o755)
    typed = (
        "source <(windlass completion bash); COMP_WORDS=(windlass roll); COMP_CWORD=1; "
        "_windlass_completion windlass roll windlass; "
        'echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", typed],
        env={**surroundings, "PATH": f"{tmp_path}{os.pathsep}{surroundings['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "rollback", done.stderr
