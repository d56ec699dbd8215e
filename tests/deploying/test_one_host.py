"""What one host goes through: warm rollback, the release process, workers, ports, variables, retention, concurrent asks."""

import contextlib
import http.client
import json
import socket

import pytest
import requests

from tests.deploying import applications
from tests.deploying.conftest import hammer

WORKER = """\
import os, pathlib, signal, sys, time
mark = pathlib.Path(os.environ["MARK"] + "-" + os.environ["WINDLASS_RELEASE"])
mark.touch()
signal.signal(signal.SIGTERM, lambda *_: (mark.unlink(), sys.exit(0)))
while True:
    time.sleep(0.1)
"""
# A server may set its socket's mode after it has begun to listen; nginx's worker processes run as another user.
NARROWS_ITS_SOCKET = """
answer = Handler.do_GET
def narrow_once(self):
    os.chmod(os.environ["SOCKET"], 0o700)
    Handler.do_GET = answer
    answer(self)
Handler.do_GET = narrow_once
"""


@pytest.fixture
def target(stack, hosts, name, repository):
    return stack.set_target(hosts, name, server_names=[f"{name}.example.com"])


def served(host, name, path="/"):
    return requests.get(host.url + path, headers={"Host": f"{name}.example.com"}, timeout=60)


def ship(stack, repository, files, name, **options):
    repository.commit(files)
    return stack.deploy(stack.release(name)["version"], name, **options)


def test_a_warm_rollback_starts_nothing(stack, hosts, target, repository, name):
    ship(stack, repository, applications.plain("one"), name)
    second = ship(stack, repository, applications.plain("two"), name)
    with hammer(hosts[0], name) as asking:
        asking.await_version("two")
        back = stack.rollback(second)
        asking.await_version("one")
    assert asking.failures == []
    run = stack.host_runs(back)[hosts[0].name]
    steps = {step["name"]: step["state"] for step in run["steps"]}
    assert steps["ship"] == steps["environment"] == steps["start"] == "skipped", steps
    assert steps["switch"] == "done"
    again = stack.rollback(back)
    assert again["release"] == second["release"], "rolling back a rollback goes forward again"


def test_the_steps_of_a_first_deploy_are_all_done_and_sent_bytes(stack, hosts, target, repository, name):
    first = ship(stack, repository, applications.plain("one"), name)
    run = stack.host_runs(first)[hosts[0].name]
    assert [step["name"] for step in run["steps"]] == [
        "connect",
        "preflight",
        "ship",
        "environment",
        "configure",
        "start",
        "check",
        "switch",
        "drain",
        "clean",
    ]
    assert {step["state"] for step in run["steps"]} <= {"done", "skipped"}
    assert run["bytes_sent"] > 0
    assert all(step["started_at"] <= step["ended_at"] for step in run["steps"])


def test_a_socket_that_is_closed_to_others_during_the_check_is_opened_before_the_switch(stack, hosts, target, repository, name):
    ship(stack, repository, applications.plain("one"), name)
    with hammer(hosts[0], name) as asking:
        asking.await_version("one")
        ship(stack, repository, applications.plain("two", before=NARROWS_ITS_SOCKET), name)
        asking.await_version("two")
    assert asking.failures == []


def test_the_port_binding_switches_by_nginx_without_a_failed_request(stack, hosts, target, repository, name):
    ship(stack, repository, applications.plain("one", binding="PORT"), name)
    with hammer(hosts[0], name) as asking:
        asking.await_version("one")
        ship(stack, repository, applications.plain("two", binding="PORT"), name)
        asking.await_version("two")
    assert asking.failures == []


def test_the_release_process_runs_once_and_its_failure_stops_the_deploy(stack, hosts, target, repository, name):
    mark = hosts[0].folder / f"{name}.ran"
    command = f"echo migrated >> {mark}; echo it ran"
    deploy = ship(stack, repository, applications.plain("one", processes={"release": command}), name)
    assert mark.read_text() == "migrated\n"
    assert "it ran" in stack.request("GET", f"/deploys/{deploy['id']}/log").text
    failed = ship(
        stack,
        repository,
        applications.plain("two", processes={"release": "echo no database; exit 3"}),
        name,
        state="rolled_back",
    )
    assert "no database" in stack.request("GET", f"/deploys/{failed['id']}/log").text
    assert served(hosts[0], name).text == "one"


def test_variables_reach_the_process_and_secrets_stay_hidden(stack, hosts, target, repository, name):
    stack.call(
        "PUT",
        f"/applications/{name}/targets/production/variables",
        {
            "variables": {
                "GREETING": 'it\'s "quoted" $HOME %d\nnext',
                "PASSWORD": {"value": "hunter2-hunter2", "secret": True},
            }
        },
    )
    before = 'print("password is", os.environ["PASSWORD"], flush=True); VERSION = os.environ["GREETING"]'
    deploy = ship(stack, repository, applications.plain("one", before=before, processes={"release": "echo $PASSWORD"}), name)
    assert served(hosts[0], name).text == 'it\'s "quoted" $HOME %d\nnext'
    log = stack.request("GET", f"/deploys/{deploy['id']}/log").text
    assert "hunter2" not in log and "•••" in log
    changed = stack.request(
        "PATCH", f"/applications/{name}/targets/production/variables", json={"variables": {"GREETING": "new"}}
    )
    assert changed.status_code == 200 and "hunter2" not in changed.text
    assert stack.host_runs(stack.deploy("latest", name))[hosts[0].name]["state"] == "succeeded", "a changed variable is a change"
    assert served(hosts[0], name).text == "new"


def test_an_application_that_dies_at_start_fails_with_its_own_words(stack, hosts, target, repository, name):
    ship(stack, repository, applications.plain("one"), name)
    failed = ship(
        stack,
        repository,
        applications.plain("two", before='sys.exit("no such database: shop")'),
        name,
        state="rolled_back",
    )
    assert "no such database: shop" in failed["reason"]
    assert hosts[0].name in failed["reason"] and "check" in failed["reason"]
    assert served(hosts[0], name).text == "one"
    assert stack.host_runs(ship(stack, repository, applications.plain("three"), name))[hosts[0].name]["state"] == "succeeded"
    assert served(hosts[0], name).text == "three"


def test_worker_processes_run_beside_the_web_and_old_ones_stop(stack, hosts, target, repository, name):
    def running():
        return sorted(path.name for path in (hosts[0].root / name / "shared").glob("worker-*"))

    stack.call(
        "PUT",
        f"/applications/{name}/targets/production/variables",
        {"variables": {"MARK": str(hosts[0].root / name / "shared" / "worker")}},
    )
    files = {**applications.plain("one", processes={"worker": "python worker.py"}), "worker.py": WORKER}
    ship(stack, repository, files, name)
    assert len(running()) == 1
    ship(
        stack,
        repository,
        {**applications.plain("two", processes={"worker": "python worker.py"}), "worker.py": WORKER},
        name,
    )
    assert len(running()) == 1, "only the new release's worker may consume"


def test_only_successful_releases_are_kept(stack, hosts, target, repository, name):
    for number in range(8):
        if number in (3, 5):  # They answer 500, so that nobody need wait long for better.
            health = {"path": "/", "timeout_s": 4, "expect_status": 200}
            stack.set_target(hosts, name, server_names=[f"{name}.example.com"], health=health)
        elif number in (4, 6):
            stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
        ship(
            stack,
            repository,
            applications.plain(f"v{number}", status=500 if number in (3, 5) else 200),
            name,
            state="rolled_back" if number in (3, 5) else "succeeded",
        )
    releases = {path.name for path in (hosts[0].root / name / "releases").iterdir()}
    made = {release["version"]: release for release in stack.call("GET", f"/applications/{name}/releases")["items"]}
    expected = {made[f"v{number}"]["digest"] for number in (2, 3, 5, 7, 8)}
    assert releases == expected, "five successful ones (the second, third, fifth, seventh and eighth), none that failed"


def test_a_second_deploy_waits_its_turn(stack, hosts, target, repository, name):
    repository.commit(applications.plain("one", before="import time; time.sleep(1.5)"))
    version = stack.release(name)["version"]
    fields = {"application": name, "release": version, "environment": "production"}
    first, second = stack.call("POST", "/deploys", fields), stack.call("POST", "/deploys", fields)
    assert stack.call("GET", f"/deploys/{second['id']}")["state"] == "queued"
    stack.await_end(first["id"], "succeeded")
    ended = stack.await_end(second["id"], "succeeded")
    assert stack.host_runs(ended)[hosts[0].name]["state"] == "unchanged"


def test_cancelling_leaves_the_old_release_serving(stack, hosts, target, repository, name):
    ship(stack, repository, applications.plain("one"), name)
    repository.commit(applications.plain("two", before="import time; time.sleep(60)"))
    made = stack.call(
        "POST",
        "/deploys",
        {"application": name, "release": stack.release(name)["version"], "environment": "production"},
    )
    stack.wait(
        f"/deploys/{made['id']}/hosts",
        lambda runs: any(step["name"] == "check" and step["state"] == "running" for step in runs["items"][0]["steps"]),
    )
    stack.call("POST", f"/deploys/{made['id']}/cancel")
    ended = stack.await_end(made["id"], "cancelled")
    assert "no host was switched" in ended["reason"]
    assert served(hosts[0], name).text == "one"
    assert ship(stack, repository, applications.plain("three"), name)["state"] == "succeeded"


def test_rolling_back_with_nothing_before_is_refused(stack, hosts, target, repository, name):
    first = ship(stack, repository, applications.plain("one"), name)
    refused = stack.request("POST", f"/deploys/{first['id']}/rollback")
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing-to-roll-back-to")


def test_status_shows_what_is_observed(stack, hosts, target, repository, name):
    deploy = ship(stack, repository, applications.plain("one"), name)
    (item,) = stack.call("GET", f"/status?application={name}")["items"]
    assert (item["desired"], item["observed"], item["health"]) == (deploy["release"], deploy["release"], "healthy")
    assert item["url"].startswith(hosts[0].url)


def test_the_stream_resumes_where_it_broke_off(stack, hosts, target, repository, name):
    deploy = ship(stack, repository, applications.plain("one"), name)
    whole = stream_numbers(stack, deploy, None)
    assert whole == list(range(1, len(whole) + 1))
    assert stream_numbers(stack, deploy, whole[4]) == whole[5:]


def stream_numbers(stack, deploy, last):
    headers = {"Last-Event-ID": str(last)} if last else {}
    with stack.http.get(f"{stack.url}/api/v1/deploys/{deploy['id']}/stream", headers=headers, stream=True, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        return [int(line[3:]) for line in answer.iter_lines(decode_unicode=True) if line.startswith("id:")]


def test_a_host_that_another_windlass_deployed_to_before_is_taken_over(stack, hosts, target, repository, name):
    """A Windlass that was set up anew counts its epochs from one again; the host has seen higher ones."""
    ship(stack, repository, applications.plain("one"), name)
    seen = hosts[0].root / name / "state" / "epoch"
    seen.write_text(json.dumps({"epoch": 1000, "deploy": 4711}))
    ship(stack, repository, applications.plain("two"), name)
    assert served(hosts[0], name).text == "two"
    assert json.loads(seen.read_text())["epoch"] > 1000


def test_an_application_on_a_host_without_a_web_server_answers_on_its_switched_socket(stack, hosts, name, repository):
    host, root = hosts[0], hosts[0].folder / "without-nginx"
    root.mkdir()
    settings = {**host.settings, "nginx": None}
    stack.add_host(host, name="bare", root=str(root), settings=settings)
    stack.call("PUT", f"/applications/{name}/targets/production", {"hosts": ["bare"]})
    ship(stack, repository, applications.plain("one"), name)
    assert asked_directly(root, name) == (200, "one")
    assert not list((host.folder / "nginx" / "sites").glob(f"*{name}*"))
    second = ship(stack, repository, applications.plain("two"), name)
    assert asked_directly(root, name) == (200, "two")
    stack.rollback(second)
    assert asked_directly(root, name) == (200, "one")


def asked_directly(root, name):
    """Ask what listens on the switched socket for its page; returns (status, body)."""
    with contextlib.closing(http.client.HTTPConnection("localhost", timeout=60)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(root / name / "run" / "current.sock"))
        connection.request("GET", "/")
        response = connection.getresponse()
        return response.status, response.read().decode()
