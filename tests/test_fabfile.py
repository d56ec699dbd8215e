"""The fab tasks, run by the real ``fab`` against a stand-in of the API: the client's words, exit codes, HTTP only."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests import shapes
from tests.cli import scenarios, standin

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture
def api():
    """The stand-in of the API."""
    server = standin.StandIn()
    yield server
    server.close()


@pytest.fixture
def fab(api, tmp_path):
    """Run ``fab`` in the project's folder, with nobody at a terminal."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "WINDLASS_URL": api.url,
        "WINDLASS_TOKEN": standin.TOKEN,
    }

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "fabric", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_the_tasks_are_listed_with_what_they_do(fab):
    listed = fab("--list").stdout
    assert all(name in listed for name in ("deploy", "rollback", "status"))
    assert "Roll a release out to an environment" in listed


def test_deploy_rolls_the_newest_release_out_and_follows_it(fab, api):
    done = fab("deploy", "--application=shop", "--environment=production")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "deploy 1  shop v2 → production  succeeded  2/2 hosts\n"
    assert "web1      ship done" in done.stderr
    assert api.sent("POST", "/deploys")[0].body == {"application": "shop", "release": "v2", "environment": "production"}


def test_deploy_takes_a_release_or_a_reference_and_not_both(fab, api):
    assert fab("deploy", "--application=shop", "--environment=production", "--release=v1").returncode == 0
    assert fab("deploy", "--application=shop", "--environment=production", "--ref=fix").returncode == 0
    assert [request.body["release"] for request in api.sent("POST", "/deploys")] == ["v1", "v3"]
    both = fab("deploy", "--application=shop", "--environment=production", "--release=v1", "--ref=fix")
    assert both.returncode == 2
    assert len(api.deploys) == 2


def test_without_waiting_the_task_ends_at_once(fab, api):
    api.scenario = scenarios.begin
    done = fab("deploy", "--application=shop", "--environment=production", "--no-wait")
    assert (done.returncode, api.deploys[1]["state"]) == (0, "running")


def test_a_rollout_that_fails_ends_the_task_with_3(fab, api):
    api.scenario = scenarios.fail_health
    done = fab("deploy", "--application=shop", "--environment=production")
    assert done.returncode == 3
    assert "web2: failed at check" in done.stderr and "Traceback" not in done.stderr


def test_a_passed_timeout_ends_the_task_with_5(fab, api):
    api.scenario = scenarios.begin
    assert fab("deploy", "--application=shop", "--environment=production", "--timeout=0.5").returncode == 5


def test_who_may_not_gets_4(fab, api):
    api.fail("POST", "/deploys", status=403, kind="application/problem+json", body=b'{"status": 403, "detail": "Not yours."}')
    done = fab("deploy", "--application=shop", "--environment=production")
    assert done.returncode == 4
    assert "Not yours." in done.stderr


@pytest.mark.parametrize("task", ["deploy", "rollback"])
def test_a_missing_value_ends_with_2_and_changes_nothing(fab, api, task):
    done = fab(task, "--application=shop")
    assert done.returncode == 2
    assert "--environment=NAME" in done.stderr
    assert not api.requests


def test_a_value_that_looks_like_an_option_stays_a_value(fab, api):
    done = fab("deploy", "--application=shop", "--environment=production", "--release=--json")
    assert done.returncode == 1
    assert "There is no release --json." in done.stderr


def test_rollback_goes_back_from_the_newest_deploy(fab, api):
    api.a_deploy("v2", "production", "succeeded")
    done = fab("rollback", "--application=shop", "--environment=production")
    assert done.returncode == 0, done.stderr
    assert api.sent("POST", "/deploys/1/rollback")


def test_status_writes_what_the_client_writes(fab, api):
    api.status = [shapes.status()]
    assert "shop" in fab("status").stdout
    assert json.loads(fab("status", "--json", "--environment=production").stdout)["items"] == api.status


def test_the_fabfile_imports_nothing_of_the_server():
    tree = ast.parse((ROOT / "fabfile.py").read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module])
    }
    assert imported == {"pathlib", "sys", "fabric", "invoke", "windlass_cli"}
