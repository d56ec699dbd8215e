"""Three hosts: a plan of new code, a dependency and a site; an edit by hand stops the deploy there, and drift shows it.

This Windlass looks for drift every second, so nobody has to ask for a look.
"""

import json

import pytest

from tests.deploying import applications
from tests.deploying.test_plans import MORE, edit_site, plan
from tests.stack import running_stack

HOSTS = 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A running Windlass that looks for drift all the time."""
    with running_stack(tmp_path_factory.mktemp("stack"), {"WINDLASS_DRIFT_INTERVAL_S": "1"}) as running:
        yield running


def status(stack, name, is_done):
    """Wait until /status tells what is awaited of an application; returns its item."""
    found = stack.wait(f"/status?application={name}", lambda page: is_done(page["items"][0]))
    return found["items"][0]


def drift_of(item):
    """Return {host: [(kind, diff)]} of the hosts that have drifted."""
    return {host["host"]: [(thing["kind"], thing["diff"]) for thing in host["drift"]] for host in item["hosts"] if host["drift"]}


@pytest.mark.timeout(300)
def test_plan_as_json_and_text_then_stale_on_the_edited_host_then_drift_then_repair(stack, hosts, name, repository, cli):
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    repository.commit(applications.gunicorn("one"))
    stack.deploy(stack.release(name)["version"], name)
    repository.commit(applications.gunicorn("two", requirements=MORE))
    stack.release(name)
    stack.set_target(hosts, name, server_names=[f"www.{name}.example.com"])

    strategy = {"kind": "rolling", "batch": 1, "on_failure": "continue", "max_failures": 1}
    made = plan(stack, name, "v2", strategy=strategy)
    assert made["state"] == "ready" and len(made["hosts"]) == 3
    for host in made["hosts"]:
        assert {file["path"] for file in host["files"]["changed"]} == {"application.py", "requirements.txt"}
        assert host["packages"]["upgraded"] == [{"name": "packaging", "from": "24.2", "to": "25.0"}]
        site = next(item["diff"] for item in host["configuration"] if item["file"] == f"windlass-{name}.conf")
        assert f"-    server_name {name}.example.com;" in site and f"+    server_name www.{name}.example.com;" in site
    text = cli("plan", name, "v2", "--to", "production").stdout
    for line in ("v1 → v2", "~ packaging 24.2 → 25.0", f"+    server_name www.{name}.example.com;"):
        assert line in text
    assert {host.name for host in hosts} <= set(text.replace(",", " ").split())
    as_json = json.loads(cli("plan", name, "v2", "--to", "production", "--json").stdout)
    assert [host["host"] for host in as_json["hosts"]] == [host["host"] for host in made["hosts"]]

    site = edit_site(hosts[1], name)
    item = status(stack, name, lambda found: found["drift_count"])
    assert list(drift_of(item)) == [hosts[1].name] and item["drift"]
    deploy = stack.deploy("v2", name, plan=made["id"])
    runs = stack.host_runs(deploy)
    assert [runs[host.name]["state"] for host in hosts] == ["succeeded", "failed", "succeeded"]
    assert runs[hosts[1].name]["code"] == "plan-stale" and "plan-stale" in runs[hosts[1].name]["message"]

    item = status(stack, name, lambda found: found["drift_count"])
    (kind, diff), *others = drift_of(item)[hosts[1].name]
    assert (kind, others) == ("nginx", []) and "+    client_max_body_size 7m;" in diff.splitlines()
    assert list(drift_of(item)) == [hosts[1].name]
    assert item["drift_detail"] == (f"{hosts[1].name}: v1; it should be v2. {hosts[1].name}: nginx's site was edited.")
    text = cli("hosts", "show", hosts[1].name).stdout
    assert "nginx's site was edited" in text and "+    client_max_body_size 7m;" in text
    assert "windlass deploy" in cli("status").stderr

    assert {run["state"] for run in stack.host_runs(stack.deploy("v2", name)).values()} == {"succeeded", "unchanged"}
    assert "client_max_body_size 100m;" in site.read_text()
    item = status(stack, name, lambda found: not found["drift"])
    assert drift_of(item) == {} and item["drift_count"] == 0


@pytest.mark.timeout(120)
def test_a_host_out_of_service_is_not_called_drifted_and_one_that_is_away_is_said_to_be(stack, hosts, name, repository):
    stack.set_target(hosts[:1], name, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    edit_site(hosts[0], name)
    status(stack, name, lambda found: found["drift"])
    stack.call("POST", f"/hosts/{hosts[0].name}/maintenance", {"reason": "new disk"})
    item = status(stack, name, lambda found: True)
    assert (item["drift"], item["drift_count"], item["hosts"][0]["drift"]) == (False, 0, [])
    refused = stack.request("POST", f"/hosts/{hosts[0].name}/observe", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "in-maintenance")
    stack.call("POST", f"/hosts/{hosts[0].name}/maintenance", {"enabled": False})
    assert status(stack, name, lambda found: found["drift"])["drift_count"] == 1

    hosts[0].stop_sshd()
    try:
        item = status(stack, name, lambda found: found["unreachable"] and found["stale"])
        assert item["unreachable"] == [hosts[0].name]
    finally:
        hosts[0].start_sshd()
    status(stack, name, lambda found: not found["unreachable"] and not found["stale"])
