"""Guards on real hosts: a canary that waits for people, and a release that turns unhealthy while it is watched."""

import os
import subprocess
import sys

import pytest
import requests

from tests.deploying import applications
from tests.deploying.test_plans import edit_site
from tests.stack import ROOT

HOSTS = 3
# Nobody but the first administrator has a way to be added so far, so the second person is written where Windlass keeps people.
SECOND_PERSON = """
import sys, config; config.load()
from controllers.access import sessions
from models import Token, User
from models.db import clock, connect_to
connect_to(config.settings.database.url).connect()
user = User.create(name=sys.argv[1], created_at=clock())
Token.create(user=user, name="laptop", secret_hash=sessions.digest(sys.argv[2]), created_at=clock())
"""


def versions(hosts, name):
    """Return what each host's nginx serves of an application now."""
    return [requests.get(host.url, headers={"Host": f"{name}.example.com"}, timeout=60).text for host in hosts]


@pytest.fixture
def deployed(stack, hosts, repository, name):
    """The application's first release on every host."""
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one"))
    stack.release(name)
    stack.deploy(name=name)
    assert versions(hosts, name) == ["one"] * 3


def begin(stack, name, environment="production", **strategy):
    """Begin a deploy of the newest release; returns it as it is then."""
    fields = {"application": name, "release": "latest", "environment": environment, "strategy": strategy}
    return stack.call("POST", "/deploys", fields)


@pytest.fixture
def colleague(stack, name):
    """Approves deploys, given their numbers, as a second person; returns the answer."""
    token = os.urandom(16).hex()
    variables = {**stack.environment, "WINDLASS_DATA": str(stack.data)}
    subprocess.run([sys.executable, "-c", SECOND_PERSON, name, token], env=variables, cwd=ROOT, check=True, timeout=60)
    headers = {"Authorization": f"Bearer {token}"}
    return lambda number: stack.request("POST", f"/deploys/{number}/approve", headers=headers, json={})


@pytest.mark.timeout(240)
def test_what_was_approved_is_done_and_nothing_else(stack, hosts, repository, name, colleague):
    guarded = f"{name}-guarded"
    stack.call("POST", "/environments", {"name": guarded, "approvals": 1})
    stack.set_target(hosts[:1], name, guarded, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one"))
    stack.release(name)

    def ask():
        deploy = begin(stack, name, guarded)
        assert deploy["state"] == "pending_approval"
        return deploy, stack.wait(f"/plans/{deploy['plan']}", lambda plan: plan["state"] == "ready")

    deploy, plan = ask()
    assert colleague(deploy["id"]).json()["approvals"]["given"][0]["digest"] == plan["digest"]
    stack.await_end(deploy["id"], "succeeded")

    repository.commit(applications.plain("two"))
    stack.release(name)
    deploy, plan = ask()
    edit_site(hosts[0], name)
    assert colleague(deploy["id"]).status_code == 200
    stack.await_end(deploy["id"], "failed")
    run = stack.host_runs(deploy)[hosts[0].name]
    assert "plan-stale" in run["message"] and "nginx" in run["message"]
    assert versions(hosts[:1], name) == ["one"]
    again, anew = ask()
    assert anew["digest"] != plan["digest"] and again["approvals"]["given"] == []
    assert colleague(again["id"]).status_code == 200
    stack.await_end(again["id"], "succeeded")
    assert versions(hosts[:1], name) == ["two"]


@pytest.mark.timeout(240)
def test_a_canary_waits_until_somebody_resumes_and_a_host_can_be_left_out(stack, hosts, repository, name, cli, deployed):
    repository.commit(applications.plain("two"))
    stack.release(name)
    deploy = begin(stack, name, kind="canary", pause_s="resume")
    paused = stack.wait(f"/deploys/{deploy['id']}", lambda found: found["state"] == "paused")
    assert paused["reason"] == "waits to be resumed before wave 2 of 2"
    assert versions(hosts, name) == ["two", "one", "one"]
    cli("skip", str(deploy["id"]), hosts[2].name)
    cli("resume", str(deploy["id"]), "--wait", "--timeout", "120")
    ended = stack.await_end(deploy["id"], "succeeded")
    assert ended["reason"] == f"left out: {hosts[2].name}"
    assert versions(hosts, name) == ["two", "two", "one"]


@pytest.mark.timeout(240)
def test_a_release_that_turns_unhealthy_under_watch_is_taken_back(stack, hosts, repository, name, deployed):
    broken = stack.folder / f"{name}-is-broken"
    repository.commit(applications.plain("two", status=f"500 if os.path.exists({str(broken)!r}) else 200"))
    stack.release(name)
    deploy = begin(stack, name, kind="rolling", batch=2, bake_s=600)
    stack.wait(
        f"/deploys/{deploy['id']}/events?limit=1000",
        lambda found: sum("under watch from now on" in (event.get("text") or "") for event in found["items"]) == 2,
    )
    assert versions(hosts, name) == ["two", "two", "one"]
    broken.touch()
    ended = stack.await_end(deploy["id"], "rolled_back")
    assert "bake" in ended["reason"] and "status 500" in ended["reason"]
    assert versions(hosts, name) == ["one"] * 3
    assert {run["state"] for run in stack.host_runs(deploy).values()} == {"rolled_back", "skipped"}


@pytest.mark.timeout(240)
def test_a_release_that_stays_healthy_under_watch_succeeds(stack, hosts, repository, name, deployed):
    repository.commit(applications.plain("two"))
    stack.release(name)
    deploy = begin(stack, name, kind="canary", batch=2, bake_s=2)
    stack.await_end(deploy["id"], "succeeded")
    assert versions(hosts, name) == ["two"] * 3
