"""Maintenance of a target on real hosts: nginx answers 503 with a page until it is lifted, whatever is deployed meanwhile."""

import http.client

import pytest

from tests.deploying import applications

HOSTS = 2


@pytest.fixture(params=["SOCKET", "PORT"])
def deployed(request, stack, hosts, name, repository):
    """The application at its first release; returns its name."""
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"], strategy={"on_failure": "rollback"})
    repository.commit(applications.plain("one", binding=request.param))
    stack.deploy(stack.release(name)["version"], name)
    repository.binding = request.param
    return name


def path(name):
    return f"/applications/{name}/targets/production/maintenance"


def settled(stack, name, state):
    """Wait until all hosts have followed; returns the maintenance."""
    return stack.wait(path(name), lambda found: {host["state"] for host in found["hosts"]} == {state})


def page(host, name):
    """Return (status, Retry-After, text) as a user sees it."""
    connection = http.client.HTTPConnection(host.address, host.nginx_port, timeout=60)
    connection.request("GET", "/anything", headers={"Host": f"{name}.example.com"})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.getheader("Retry-After"), text


def answers(hosts, name):
    return {page(host, name)[::2] for host in hosts}


@pytest.mark.timeout(240)
def test_users_see_the_page_until_it_is_lifted_through_deploys_and_rollbacks(stack, hosts, deployed, repository, cli):
    body = {"reason": "database", "message": 'Back at 5; costs $host & "more" <b>', "retry_after_s": 120}
    made = stack.call("PUT", path(deployed), body)
    assert (made["enabled"], made["reason"], {host["state"] for host in made["hosts"]}) == (
        True,
        "database",
        {"pending"},
    )
    settled(stack, deployed, "closed")
    for host in hosts:
        status, retry_after, text = page(host, deployed)
        assert (status, retry_after) == (503, "120")
        assert "costs &#36;host &amp; &quot;more&quot; &lt;b&gt;" in text, "nothing in it means anything to nginx or HTML"
        assert stack.call("POST", f"/hosts/{host.name}/observe")["placements"][-1]["drift"] == []
    item = stack.call("GET", f"/status?application={deployed}")["items"][0]
    assert item["maintenance"]["reason"] == "database" and not item["drift"] and item["health"] == "healthy"

    again = stack.deploy("v1", deployed)
    assert {run["state"] for run in stack.host_runs(again).values()} == {"unchanged"}
    repository.commit(applications.plain("two", binding=repository.binding))
    release = stack.release(deployed)["version"]
    plan = stack.call("POST", "/plans", {"application": deployed, "release": release, "environment": "production"})
    assert plan["maintenance"]["reason"] == "database"
    assert not [item for host in plan["hosts"] for item in host["configuration"] if item["file"].endswith(f"{deployed}.conf")]
    assert "in maintenance" in cli("plan", deployed, release, "--to", "production").stdout
    deploy = stack.deploy(release, deployed, plan=plan["id"])
    assert any("is in maintenance since" in warning for warning in deploy["warnings"])
    assert {status for status, _ in answers(hosts, deployed)} == {503}
    repository.commit(applications.plain("bad", status=500, binding=repository.binding))
    stack.deploy(stack.release(deployed)["version"], deployed, state="rolled_back")
    assert {status for status, _ in answers(hosts, deployed)} == {503}, "health is asked of the slot itself"

    lifted = stack.call("DELETE", path(deployed))
    assert not lifted["enabled"]
    settled(stack, deployed, "open")
    assert answers(hosts, deployed) == {(200, "two")}
    assert {run["state"] for run in stack.host_runs(stack.deploy("v2", deployed)).values()} == {"unchanged"}
    assert stack.request("DELETE", path(deployed)).status_code == 404


@pytest.mark.timeout(240)
def test_a_rollout_that_goes_back_during_maintenance_leaves_the_page_and_one_after_it_does_not_bring_it_back(
    stack, hosts, deployed, repository
):
    stack.call("PUT", path(deployed), {})
    settled(stack, deployed, "closed")
    repository.commit(applications.plain("two", binding=repository.binding))
    deploy = stack.deploy(stack.release(deployed)["version"], deployed)
    stack.call("DELETE", path(deployed))
    settled(stack, deployed, "open")
    stack.rollback(deploy)
    assert answers(hosts, deployed) == {(200, "one")}


def test_a_host_that_cannot_be_reached_is_named_and_follows_when_it_is_back(stack, hosts, name, repository, cli):
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    hosts[1].stop_sshd()
    try:
        done = cli("maintenance", "on", name, "production", "--message", "Back soon", "--timeout", "1", check=False)
        assert done.returncode == 5, done.stderr
        found = stack.wait(path(name), lambda found: "failed" in [host["state"] for host in found["hosts"]])
        failed = next(host for host in found["hosts"] if host["state"] == "failed")
        assert failed["host"] == hosts[1].name and failed["message"]
    finally:
        hosts[1].start_sshd()
    settled(stack, name, "closed")
    assert "closed" in cli("maintenance", "show", name, "production").stdout
    assert {status for status, _ in answers(hosts, name)} == {503}
    cli("maintenance", "off", name, "production")
    assert answers(hosts, name) == {(200, "one")}


def test_what_nothing_could_answer_for_is_refused(stack, hosts, name, repository):
    stack.set_target(hosts, name)
    worker = {"worker.py": "import time\nwhile True: time.sleep(60)\n", "Procfile": "worker: python worker.py\n"}
    repository.commit(worker)
    stack.deploy(stack.release(name)["version"], name)
    refused = stack.request("PUT", path(name), json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "no-web-process")
    assert not stack.call("GET", path(name))["enabled"]
