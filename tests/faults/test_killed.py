"""SIGKILL of Windlass's own processes at every point of a rollout: nothing is lost, nothing runs twice, no request fails.

The worker's pool is of threads, so the process that does the work is the worker itself, and its parent is dev.py.
"""

import contextlib
import signal
import uuid

import pytest
import requests

from controllers.jobs.history import STEPS
from masking import MASK
from tests.deploying import applications
from tests.faults import cases, oracle

SLOW_START = "import time; time.sleep({})"


@pytest.fixture
def ends(tmp_path):
    """The file to which the `release` process of `guarded` writes a line at its very end."""
    return tmp_path / "ends"


@pytest.fixture
def guarded(stack, hosts, repository, name, first, ends):
    """Release "two" with a `release` process that leaves its mark, takes a second and says so; returns its version."""
    process = f"{oracle.leave_mark(hosts, name)}; sleep 1; echo done >> {ends}"
    repository.commit(applications.plain("two", processes={"release": process}))
    return stack.release(name)["version"]


@pytest.mark.fault("worker", "SIGKILL {moment} step {step}", "another attempt goes on from what the host is like")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_the_worker_dies_at_a_step(stack, hosts, name, second, first, step, moment):
    cases.worker_dies(stack, hosts, name, second, f"host_run.{step}.{moment}")


@pytest.mark.fault(
    "worker",
    "SIGKILL while the release process runs",
    "it ran once: adopted and waited for, or the deploy says unclear",
)
def test_the_worker_dies_while_the_release_process_runs(stack, hosts, name, guarded):
    deploy_id = stack.ask(name, guarded)
    oracle.await_true(oracle.marks(hosts, name).exists, "release process")
    stack.kill_workers()
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded", "failed", "rolled_back"))
    assert oracle.times_run(hosts, name)[deploy_id, 0] == 1
    if deploy["state"] != "succeeded":
        assert "unclear" in deploy["reason"] or "not known" in deploy["reason"], deploy


@pytest.mark.fault("worker", "SIGKILL after the release process", "the next attempt does not run it again")
def test_the_worker_dies_after_the_release_process(stack, hosts, name, guarded, ends):
    stack.points.arm("host_run.start.after")
    deploy_id = stack.ask(name, guarded)
    stack.points.await_reached("host_run.start.after")
    assert ends.read_text().split() == ["done"], "it had not come to its end when the worker died"
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert oracle.times_run(hosts, name) == {(deploy_id, 0): 1}
    assert ends.read_text().split() == ["done"]


@pytest.mark.fault("worker", "SIGKILL while the release process prints the target's secret", "masked wherever it could be read")
def test_the_worker_dies_while_a_secret_is_printed(stack, hosts, repository, name, first, tmp_path):
    """The one worker reads what was said before it died, the next one all of it, and what is said afterwards."""
    saying = f'echo "before $API_SECRET"; {oracle.leave_mark(hosts, name)}'
    waiting = f"until [ -e {tmp_path}/go-on ]; do sleep 0.1; done"
    files = applications.plain("two", processes={"release": f'{saying}; {waiting}; echo "after $API_SECRET"'})
    repository.commit(files)
    deploy_id = stack.ask(name, stack.release(name)["version"])
    stack.wait(f"/deploys/{deploy_id}/events?limit=200", lambda events: f"before {MASK}" in str(events))
    stack.kill_workers()
    (tmp_path / "go-on").touch()
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    log = stack.request("GET", f"/deploys/{deploy_id}/log").text
    assert f"before {MASK}" in log and f"after {MASK}" in log


@pytest.mark.fault("worker", "SIGKILL of three workers in a row", "the fourth attempt ends the rollout")
def test_the_worker_dies_again_and_again(stack, hosts, name, second, first):
    deploy_id = None
    for step in ("ship", "configure", "check"):
        stack.points.arm(f"host_run.{step}.before")
        deploy_id = deploy_id or stack.ask(name, second)
        stack.points.await_reached(f"host_run.{step}.before")
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


# The API.


def ask_and_lose_the_answer(stack, name, release, key):
    """Ask for a deploy of which no answer comes back."""
    body = {"application": name, "release": release, "environment": "production"}
    with contextlib.suppress(requests.ConnectionError):
        answer = stack.request("POST", "/deploys", json=body, headers={"Idempotency-Key": key})
        pytest.fail(f"an answer came: {answer.status_code} {answer.text}")


@pytest.mark.fault(
    "api",
    "SIGKILL after the commit, {moment} the message",
    "the deploy is carried out; the repeated request gets the same one",
)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_api_dies_between_commit_and_answer(stack, hosts, name, second, first, moment):
    stack.points.arm(f"deploy.created.{moment}-enqueue")
    key = str(uuid.uuid4())
    ask_and_lose_the_answer(stack, name, second, key)
    stack.await_ready()
    newest = stack.call("GET", f"/deploys?application={name}")["items"][0]
    assert newest["release"] == second
    body = {"application": name, "release": second, "environment": "production"}
    again = stack.request("POST", "/deploys", json=body, headers={"Idempotency-Key": key})
    assert (again.status_code, again.json()["id"]) == (201, newest["id"]), again.text
    oracle.check(stack, hosts, name, newest["id"], states=("succeeded",))


@pytest.mark.fault("api", "SIGKILL in the middle of a rollout", "the rollout goes on without it")
def test_the_api_dies_in_the_middle(stack, hosts, name, second, first):
    stack.points.arm("host_run.check.before", "wait")
    deploy_id = stack.ask(name, second)
    stack.points.await_reached("host_run.check.before")
    stack.kill_web()
    stack.points.let_go("host_run.check.before")
    stack.await_ready()
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 1


@pytest.mark.fault("everything", "SIGKILL of all processes, started again", "the rollout goes on at the next start")
def test_everything_dies_and_is_started_again(stack, hosts, repository, name, first):
    repository.commit(applications.plain("two", before=SLOW_START.format(2)))
    deploy_id = stack.ask(name, stack.release(name)["version"])
    stack.step_of(deploy_id, "check")
    stack.process.stop(signal.SIGKILL)
    stack.start()
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


# What stands between a wish and the hosts.


@pytest.mark.fault("build", "SIGKILL of the worker: {point}", "the release is built again from the start")
@pytest.mark.parametrize("point", ["before", "checked-out", "after"])
def test_the_worker_dies_while_it_builds(stack, hosts, repository, name, first, point):
    stack.points.arm(f"build.{point}")
    repository.commit(applications.plain("two"))
    built = stack.release(name)
    stack.points.await_reached(f"build.{point}")
    log = stack.call("GET", f"/applications/{name}/releases/{built['version']}/events")["items"]
    assert any("attempt 2" in (event.get("text") or "") for event in log)
    deploy_id = stack.ask(name, built["version"])
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault(
    "reconciler", "SIGKILL of the worker while it reconciles: {point}", "the next pass decides the same from the rows"
)
@pytest.mark.parametrize("point", ["before-commit", "after-commit", "after"])
def test_the_worker_dies_while_it_reconciles(stack, hosts, name, second, first, point):
    stack.points.arm(f"reconcile.{point}")
    deploy_id = stack.ask(name, second)
    stack.points.await_reached(f"reconcile.{point}")
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("sweep", "SIGKILL of the worker while it sweeps: {point}", "the next worker sweeps; no process is left over")
@pytest.mark.parametrize("point", ["before", "between", "after"])
def test_the_worker_dies_in_a_sweep(stack, hosts, name, second, first, point):
    stack.points.arm("host_run.ship.before", "wait")
    deploy_id = stack.ask(name, second)
    stack.points.await_reached("host_run.ship.before")
    stack.points.arm(f"sweep.{point}")
    stack.points.await_reached(f"sweep.{point}")
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert len(stack.workers()) == 1, "a clock of the dead worker went on"
