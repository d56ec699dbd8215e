"""SIGKILL of Windlass's own processes in the middle of a rollout: nothing is lost, nothing runs twice, no request fails."""

import os
import signal
from pathlib import Path

import pytest

from tests.deploying import applications
from tests.deploying.conftest import hammer

SLOW_START = "import time; time.sleep({})"
RELEASE_ONCE = "echo once >> {}; sleep 2; echo done >> {}"


def processes_of(stack, *words):
    """Return the pids of this stack's processes whose command line holds all words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (path.parent / "environ").read_bytes()
        except OSError:
            continue
        if all(word in line for word in words) and f"WINDLASS_DATA={stack.data}".encode() in environment:
            found.append(int(path.parent.name))
    return found


def kill(stack, *words):
    pids = processes_of(stack, *words)
    assert pids, words
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def kill_worker(stack):
    kill(stack, "celery", "worker")


def kill_web(stack):
    kill(stack, "gunicorn")


def step_of(stack, deploy_id, step, state="running"):
    """Wait until the deploy's first host is in a step."""
    stack.wait(
        f"/deploys/{deploy_id}/hosts",
        lambda runs: any(entry["name"] == step and entry["state"] == state for entry in runs["items"][0]["steps"]),
    )


def ask(stack, repository, files, name):
    repository.commit(files)
    return stack.call(
        "POST",
        "/deploys",
        {"application": name, "release": stack.release(name)["version"], "environment": "production"},
    )["id"]


def check_oracle(stack, host, name, deploy_id):
    """What must hold after any crash: the history has no gap, and the next deploy and rollback need no cleaning up."""
    events, after = [], 0
    while page := stack.call("GET", f"/deploys/{deploy_id}/events?after={after}")["items"]:
        events += page
        after = page[-1]["number"]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    root = host.root / name
    current = os.readlink(root / "current")
    assert (root / current).is_dir()
    assert not list(root.rglob("*partial*"))


@pytest.fixture
def first(stack, hosts, repository, name):
    """Release "one" is up, and asked for until the end of the test; no request may fail."""
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    with hammer(hosts[0], name) as asking:
        asking.await_version("one")
        yield asking
    assert asking.failures == []


def test_the_worker_dies_while_the_new_release_starts(stack, hosts, repository, name, first):
    deploy_id = ask(stack, repository, applications.plain("two", before=SLOW_START.format(2)), name)
    step_of(stack, deploy_id, "check")
    kill_worker(stack)
    ended = stack.await_end(deploy_id, "succeeded")
    first.await_version("two")
    assert stack.host_runs(ended)[hosts[0].name]["attempt"] == 2
    check_oracle(stack, hosts[0], name, deploy_id)
    stack.rollback(ended)
    first.await_version("one")


def test_the_worker_dies_while_the_release_process_runs(stack, hosts, repository, name, first):
    mark = hosts[0].folder / f"{name}.ran"
    files = applications.plain("two", processes={"release": RELEASE_ONCE.format(mark, mark)})
    deploy_id = ask(stack, repository, files, name)
    stack.wait(f"/deploys/{deploy_id}", lambda _: mark.exists())
    kill_worker(stack)
    ended = stack.wait(f"/deploys/{deploy_id}", lambda deploy: deploy["ended_at"])
    assert mark.read_text().count("once") == 1, "what is not idempotent never runs twice"
    if ended["state"] != "succeeded":
        assert "unclear" in ended["reason"] or "not known" in ended["reason"], ended
    check_oracle(stack, hosts[0], name, deploy_id)


def test_the_web_process_dies_and_comes_back(stack, hosts, repository, name, first):
    deploy_id = ask(stack, repository, applications.plain("two", before=SLOW_START.format(1)), name)
    kill_web(stack)
    stack.await_ready()
    stack.await_end(deploy_id, "succeeded")
    first.await_version("two")
    check_oracle(stack, hosts[0], name, deploy_id)


def test_everything_dies_and_is_started_again(stack, hosts, repository, name, first):
    deploy_id = ask(stack, repository, applications.plain("two", before=SLOW_START.format(3)), name)
    step_of(stack, deploy_id, "check")
    stack.process.stop(signal.SIGKILL)
    stack.start()
    stack.await_end(deploy_id, "succeeded")
    first.await_version("two")
    check_oracle(stack, hosts[0], name, deploy_id)


def test_a_worker_that_is_told_to_end_hands_over_without_using_up_an_attempt(stack, hosts, repository, name, first):
    deploy_id = ask(stack, repository, applications.plain("two", before=SLOW_START.format(3)), name)
    step_of(stack, deploy_id, "check")
    for pid in processes_of(stack, "celery", "worker"):
        os.kill(pid, signal.SIGTERM)
    stack.await_end(deploy_id, "succeeded")
    first.await_version("two")
    check_oracle(stack, hosts[0], name, deploy_id)
