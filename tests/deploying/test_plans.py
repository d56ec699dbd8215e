"""Plans on three real hosts: they list what will change, change nothing themselves, and bind the deploys made of them."""

import hashlib
import json
import os
import sqlite3
from pathlib import Path

import pytest

from tests.deploying import applications

HOSTS = 3
SECRET = "hunter2-hunter2-hunter2"
MORE = applications.GUNICORN.replace("packaging==24.2", "packaging==25.0") + "six==1.17.0\n"


def fingerprint(host):
    """Return everything on a host that a deploy could change: path -> (mode, time of change, content)."""
    seen = {}
    for top in (host.root, host.folder / "nginx" / "sites", host.folder / "supervisor" / "programs"):
        for where, folders, names in os.walk(top):
            folders[:] = [name for name in folders if name != "logs"]
            for path in (os.path.join(where, name) for name in folders + names):
                about = os.lstat(path)
                content = hashlib.sha256(Path(path).read_bytes()).hexdigest() if os.path.isfile(path) else None
                seen[path] = (
                    about.st_mode,
                    about.st_mtime_ns,
                    about.st_ino,
                    content,
                    os.readlink(path) if os.path.islink(path) else None,
                )
    return seen


def edit_site(host, name):
    """Do what should not be done: change a host's nginx site by hand."""
    site = host.folder / "nginx" / "sites" / f"windlass-{name}.conf"
    site.write_text(site.read_text().replace("client_max_body_size 100m;", "client_max_body_size 7m;"))
    return site


def wish(name, release, **more):
    return {"application": name, "release": release, "environment": "production", **more}


def plan(stack, name, release, **more):
    made = stack.call("POST", "/plans", wish(name, release, **more))
    return stack.wait(f"/plans/{made['id']}", lambda found: found["state"] != "observing")


def variables(stack, name, **values):
    stack.call("PATCH", f"/applications/{name}/targets/production/variables", {"variables": values})


@pytest.fixture
def deployed(stack, hosts, name, repository):
    """The application at its first release on all hosts; returns its name."""
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    variables(stack, name, COLOUR="red", PASSWORD={"value": SECRET, "secret": True}, OLD="1")
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    return name


@pytest.mark.timeout(240)
def test_a_plan_tells_code_packages_configuration_and_variables_and_a_deploy_of_it_does_that(stack, hosts, name, repository, cli):
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    variables(stack, name, COLOUR="red", PASSWORD={"value": SECRET, "secret": True}, OLD="1")
    repository.commit({**applications.gunicorn("one"), "gone.txt": "old"})
    stack.deploy(stack.release(name)["version"], name)
    repository.commit({**applications.gunicorn("two", requirements=MORE), "gone.txt": None, "new.txt": "12345"})
    release = stack.release(name)["version"]
    stack.set_target(hosts, name, server_names=[f"www.{name}.example.com"])
    variables(stack, name, COLOUR="blue", PASSWORD={"value": SECRET + "-2", "secret": True}, OLD=None, NEW="1")
    before = [fingerprint(host) for host in hosts]

    made = plan(stack, name, release, strategy={"kind": "rolling", "batch": 1})

    assert [fingerprint(host) for host in hosts] == before, "a plan changes nothing"
    assert made["state"] == "ready" and made["digest"] and not made["unchanged"] and made["strategy"]["kind"] == "rolling"
    assert [host["host"] for host in made["hosts"]] == sorted(host.name for host in hosts)
    for host in made["hosts"]:
        assert (host["current_release"], host["new_release"], host["unchanged"]) == ("v1", "v2", False)
        assert host["files"]["added"] == [{"path": "new.txt", "size": 5}]
        assert [file["path"] for file in host["files"]["removed"]] == ["gone.txt"]
        assert {file["path"] for file in host["files"]["changed"]} == {"application.py", "requirements.txt"}
        assert host["packages"]["added"] == [{"name": "six", "version": "1.17.0"}] and host["packages"]["removed"] == []
        assert host["packages"]["upgraded"] == [{"name": "packaging", "from": "24.2", "to": "25.0"}]
        assert host["variables"] == {"added": ["NEW"], "changed": ["COLOUR", "PASSWORD"], "removed": ["OLD"]}
        assert host["processes"] == {"start": [{"name": "web", "slot": "b"}], "stop": []}
        assert host["bytes_to_send"] > 0
        diffs = {item["file"]: item["diff"].splitlines() for item in host["configuration"]}
        assert f"-    server_name {name}.example.com;" in diffs[f"windlass-{name}.conf"]
        assert f"+    server_name www.{name}.example.com;" in diffs[f"windlass-{name}.conf"]
        assert list(diffs) == [f"windlass-{name}.conf"], "the program is started as the one that runs"

    text = cli("plan", name, release, "--to", "production")
    for line in (
        "v1 → v2",
        "+ new.txt",
        "- gone.txt",
        "~ packaging 24.2 → 25.0",
        "~ PASSWORD",
        f"+    server_name www.{name}.example.com;",
        "start      web (slot b)",
    ):
        assert line in text.stdout, text.stdout
    assert cli("plan", name, release, "--to", "production", "--detailed-exitcode", check=False).returncode == 2

    deploy = stack.deploy(release, name, plan=made["id"])
    assert deploy["plan"] == made["id"] and deploy["strategy"]["kind"] == "rolling"
    assert {run["state"] for run in stack.host_runs(deploy).values()} == {"succeeded"}
    for host, planned in zip(hosts, made["hosts"], strict=True):
        assert f"server_name www.{name}.example.com;" in (host.folder / "nginx" / "sites" / f"windlass-{name}.conf").read_text()
        assert planned["bytes_to_send"] < stack.host_runs(deploy)[host.name]["bytes_sent"] < planned["bytes_to_send"] + 200_000
    assert_secret_nowhere(stack, made, deploy, text)


def assert_secret_nowhere(stack, made, deploy, text):
    """No value of a secret, nor a plain hash of one, is in what anybody is shown or in the rows of plans."""
    rows = sqlite3.connect(stack.data / "windlass.db")
    stored = "".join(str(row) for row in rows.execute("SELECT changes, texts, error FROM plan_host"))
    rows.close()
    shown = (
        json.dumps(stack.call("GET", f"/plans/{made['id']}"))
        + stack.request("GET", f"/deploys/{deploy['id']}/log").text
        + text.stdout
        + text.stderr
    )
    for value in (SECRET, SECRET + "-2"):
        for trace in (value, hashlib.sha256(value.encode()).hexdigest()):
            assert trace not in stored and trace not in shown


def test_a_plan_of_what_runs_already_is_unchanged_and_its_exit_code_is_0(stack, deployed, cli):
    made = plan(stack, deployed, "v1")
    assert made["unchanged"]
    for host in made["hosts"]:
        assert host["unchanged"] and host["bytes_to_send"] == 0 and host["configuration"] == []
        assert host["processes"] == {"start": [], "stop": []} and host["variables"] == {
            "added": [],
            "changed": [],
            "removed": [],
        }
    done = cli("plan", deployed, "v1", "--to", "production", "--detailed-exitcode")
    assert "unchanged" in done.stdout
    assert plan(stack, deployed, "v1")["digest"] == made["digest"], "the same plan has the same digest"
    assert {run["state"] for run in stack.host_runs(stack.deploy("v1", deployed, plan=made["id"])).values()} == {"unchanged"}


def test_a_host_edited_by_hand_stops_the_plan_there_and_says_what_moved(stack, hosts, deployed, repository):
    repository.commit(applications.plain("two"))
    release = stack.release(deployed)["version"]
    made = plan(stack, deployed, release, strategy={"kind": "rolling", "batch": 1, "on_failure": "continue", "max_failures": 1})
    site = edit_site(hosts[1], deployed)
    edited = {path: about for path, about in fingerprint(hosts[1]).items() if "/state" not in path}

    deploy = stack.deploy(release, deployed, plan=made["id"])

    runs = stack.host_runs(deploy)
    assert [runs[host.name]["state"] for host in hosts] == ["succeeded", "failed", "succeeded"]
    assert [runs[host.name]["code"] for host in hosts] == [None, "plan-stale", None]
    assert "nginx's site was edited" in runs[hosts[1].name]["message"]
    history = stack.call("GET", f"/deploys/{deploy['id']}/events?limit=1000")["items"]
    (data,) = [event["data"] for event in history if event["kind"] == "host" and event["data"]["state"] == "failed"]
    assert data["code"] == "plan-stale"
    assert data["moved"] == [{"what": "nginx", "message": "nginx's site was edited"}]
    assert {path: about for path, about in fingerprint(hosts[1]).items() if "/state" not in path} == edited, (
        "nothing there was touched"
    )
    assert "client_max_body_size 7m;" in site.read_text()
    log = stack.request("GET", f"/deploys/{deploy['id']}/log").text
    assert "-    client_max_body_size 100m;" in log and "+    client_max_body_size 7m;" in log

    again = plan(stack, deployed, release)
    by_host = {host["host"]: host for host in again["hosts"]}
    assert [by_host[host.name]["unchanged"] for host in hosts] == [True, False, True]
    assert "+    client_max_body_size 100m;" in by_host[hosts[1].name]["configuration"][-1]["diff"]
    stack.deploy(release, deployed, plan=again["id"])
    assert "client_max_body_size 100m;" in site.read_text()


def test_another_deploy_in_between_makes_a_plan_stale_everywhere(stack, hosts, deployed, repository, cli):
    repository.commit(applications.plain("two"))
    release = stack.release(deployed)["version"]
    made = plan(stack, deployed, release)
    repository.commit(applications.plain("three"))
    stack.deploy(stack.release(deployed)["version"], deployed)
    done = cli("deploy", deployed, release, "--to", "production", "--plan", str(made["id"]), "--wait", check=False)
    assert done.returncode == 3, done.stderr
    assert "plan-stale" in done.stderr and "it runs v3, not v1" in done.stderr


def test_a_deploy_without_a_plan_keeps_one_of_what_it_did(stack, hosts, deployed, repository):
    repository.commit(applications.plain("two", binding="PORT"))
    deploy = stack.deploy(stack.release(deployed)["version"], deployed)
    plan = stack.call("GET", f"/plans/{deploy['plan']}")
    assert plan["state"] == "ready" and plan["made_by_deploy"] == deploy["id"]
    for host in plan["hosts"]:
        assert (host["current_release"], host["new_release"]) == ("v1", "v2")
        assert {file["path"] for file in host["files"]["changed"]} == {"server.py", "Procfile"}
    refused = stack.request("POST", "/deploys", json=wish(deployed, "v2", plan=plan["id"]))
    assert refused.status_code == 422 and "make one of your own" in refused.text


def test_a_plan_of_the_first_deploy_binds_although_ports_are_chosen_later(stack, hosts, name, repository):
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one", binding="PORT"))
    release = stack.release(name)["version"]
    before = [fingerprint(host) for host in hosts]
    made = plan(stack, name, release)
    assert [fingerprint(host) for host in hosts] == before
    assert all(
        host["current_release"] is None and "<port of slot a>" in host["configuration"][-1]["diff"] for host in made["hosts"]
    )
    stack.deploy(release, name, plan=made["id"])


def test_a_plan_is_refused_for_anything_but_what_it_is_for(stack, hosts, deployed, repository):
    repository.commit(applications.plain("two"))
    release = stack.release(deployed)["version"]
    made = plan(stack, deployed, release)
    for body, status in (
        (wish(deployed, "v1", plan=made["id"]), 422),
        (wish(deployed, release, plan=999_999), 422),
        (wish(deployed, release, plan=made["id"], strategy={"kind": "canary", "batch": 1}), 422),
    ):
        refused = stack.request("POST", "/deploys", json=body)
        assert refused.status_code == status, refused.text
        assert refused.json()["errors"][0]["field"] in ("plan", "strategy")
    variables(stack, deployed, COLOUR="green")
    refused = stack.request("POST", "/deploys", json=wish(deployed, release, plan=made["id"]))
    assert (refused.status_code, refused.json()["code"]) == (409, "plan-stale")


def test_a_dead_host_in_maintenance_hinders_no_plan_and_is_not_touched_by_a_deploy_of_it(stack, hosts, deployed, repository, cli):
    repository.commit(applications.plain("two"))
    release = stack.release(deployed)["version"]
    dead, strategy = hosts[2], {"on_failure": "continue", "max_failures": 1}
    in_maintenance = f"/hosts/{dead.name}/maintenance"
    stack.call("POST", in_maintenance, {"reason": "new disk"})
    dead.stop_sshd()
    try:
        made = plan(stack, deployed, release, strategy=strategy)
        text = cli("plan", deployed, release, "--to", "production").stdout
        deploy = stack.deploy(release, deployed, plan=made["id"])
    finally:
        dead.start_sshd()
    assert (made["state"], made["skipped"]) == ("ready", [{"host": dead.name, "reason": "in maintenance: new disk"}])
    assert f"{dead.name} is left out: in maintenance: new disk" in text
    runs = stack.host_runs(deploy)
    assert [runs[host.name]["state"] for host in hosts] == ["succeeded", "succeeded", "skipped"]

    made = plan(stack, deployed, "v1", strategy=strategy)
    stack.call("POST", in_maintenance, {"enabled": False})
    back = stack.host_runs(stack.deploy("v1", deployed, plan=made["id"]))
    assert [back[host.name]["state"] for host in hosts] == ["succeeded", "succeeded", "failed"]
    assert back[dead.name]["code"] == "plan-stale" and "does not know this host" in back[dead.name]["message"]


def test_a_host_that_cannot_be_reached_is_named_and_the_plan_cannot_be_deployed(stack, hosts, deployed, cli):
    hosts[2].stop_sshd()
    try:
        made = plan(stack, deployed, "v1")
        done = cli("plan", deployed, "v1", "--to", "production", check=False)
    finally:
        hosts[2].start_sshd()
    assert made["state"] == "failed" and made["digest"] is None
    assert [error["host"] for error in made["errors"]] == [hosts[2].name] and made["errors"][0]["remedy"]
    assert len(made["hosts"]) == 2
    assert done.returncode == 1 and hosts[2].name in done.stderr
    refused = stack.request("POST", "/deploys", json=wish(deployed, "v1", plan=made["id"]))
    assert (refused.status_code, refused.json()["code"]) == (409, "plan-not-ready")
