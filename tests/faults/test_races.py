"""Requests at the same moment, from people and from the clock: one wins, and nobody is left in doubt."""

import contextlib
import hashlib
import itertools
import sqlite3
import threading
import time

import pytest
import requests

from controllers.jobs.history import STEPS
from tests.deploying import applications
from tests.faults import oracle

SECOND_S = 2


def at_once(*calls):
    """Make calls at the same moment, each from a thread of its own; returns their results in order."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(number, call):
        barrier.wait()
        results[number] = call()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def posting(stack, path, body=None):
    """Return a call that posts, by a connection of its own; its result is (status, body)."""

    def post():
        answer = requests.post(
            f"{stack.url}/api/v1{path}", json=body, headers={"Authorization": f"Bearer {stack.token}"}, timeout=60
        )
        return answer.status_code, answer.json()

    return post


def wish(name, release):
    return {"application": name, "release": release, "environment": "production"}


@pytest.fixture
def succeeded(stack, name, second, first):
    """Release "two" runs, and was seen to; returns its deploy."""
    deploy = stack.deploy(second, name)
    first.await_version("two")
    return deploy


@pytest.mark.fault("races", "Deploy against rollback at the same moment, {rush} each", "one kind wins, the other gets 409")
@pytest.mark.parametrize("rush", [1, 8])
def test_deploy_against_rollback(stack, hosts, repository, name, succeeded, first, rush):
    repository.commit(applications.plain("three"))
    third = stack.release(name)["version"]
    deploy = posting(stack, "/deploys", wish(name, third))
    rollback = posting(stack, f"/deploys/{succeeded['id']}/rollback")
    results = at_once(*[deploy, rollback] * rush)
    deploys, rollbacks = results[0::2], results[1::2]
    assert {body["code"] for status, body in deploys if status != 201} <= {"rollback-running"}, results
    assert {body["code"] for status, body in rollbacks if status != 201} <= {"deploy-running"}, results
    won = [[body for status, body in kind if status == 201] for kind in (deploys, rollbacks)]
    assert (len(won[0]), len(won[1])) in ((rush, 0), (0, 1)), "all deploys queue, or one rollback wins"
    for body in (*won[0], *won[1]):
        oracle.await_rest(stack, body["id"], ("succeeded",))
    oracle.check(stack, hosts, name, (won[0] or won[1])[-1]["id"])


@pytest.mark.fault("races", "Eight rollbacks of one deploy at the same moment", "one is made, seven get 409")
def test_eight_rollbacks(stack, hosts, name, succeeded, first):
    results = at_once(*[posting(stack, f"/deploys/{succeeded['id']}/rollback")] * 8)
    assert sorted(status for status, _ in results) == [201, *[409] * 7], results
    (made,) = [body for status, body in results if status == 201]
    oracle.await_rest(stack, made["id"], ("succeeded",))
    first.await_version("one")
    oracle.check(stack, hosts, name, made["id"], states=("succeeded",))


@pytest.mark.fault("races", "Eight deploys of one target at the same moment", "they queue and run one after the other")
def test_eight_deploys(stack, hosts, name, second, first):
    results = at_once(*[posting(stack, "/deploys", wish(name, second))] * 8)
    assert [status for status, _ in results] == [201] * 8, results
    ended = [oracle.await_rest(stack, body["id"], ("succeeded",)) for _, body in results]
    ended.sort(key=lambda deploy: deploy["started_at"])
    for one, next_one in itertools.pairwise(ended):
        assert one["ended_at"] <= next_one["started_at"], "two deploys of a target ran at the same time"
    oracle.check(stack, hosts, name, ended[-1]["id"])


@pytest.mark.fault("cancel", "Cancel in step {step}", "cancelled; each host is back, or on the new release and named")
@pytest.mark.parametrize("step", STEPS)
def test_cancel_at_a_step(stack, hosts, name, second, first, step):
    points = stack.points
    points.arm(f"host_run.{step}.before", "wait")
    deploy_id = stack.ask(name, second)
    points.await_reached(f"host_run.{step}.before")
    points.arm("host_run.stop.cancelled", "wait")
    stack.call("POST", f"/deploys/{deploy_id}/cancel")
    points.await_reached("host_run.stop.cancelled")
    points.let_go("host_run.stop.cancelled")
    points.let_go(f"host_run.{step}.before")
    deploy = oracle.await_rest(stack, deploy_id, ("cancelled",))
    run = stack.host_runs(deploy)[hosts[0].name]
    served = hosts[0].get(server_name=f"{name}.example.com")
    assert (run["state"], served) in (("rolled_back", (200, "one")), ("succeeded", (200, "two")))
    assert (hosts[0].name in deploy["reason"]) == (run["state"] == "succeeded"), deploy["reason"]
    oracle.check(stack, hosts, name, deploy_id, states=("cancelled",))


@pytest.mark.fault("cancel", "Cancel while the deploy waits in the queue", "cancelled before it touched a host")
def test_cancel_in_the_queue(stack, hosts, repository, name, second, first):
    stack.points.arm("host_run.check.before", "wait")
    running = stack.ask(name, second)
    stack.points.await_reached("host_run.check.before")
    waiting = stack.ask(name, "v1")
    stack.call("POST", f"/deploys/{waiting}/cancel")
    ended = oracle.await_rest(stack, waiting, ("cancelled",))
    assert stack.host_runs(ended)[hosts[0].name]["state"] == "skipped"
    stack.points.let_go("host_run.check.before")
    oracle.check(stack, hosts, name, running, states=("succeeded",))


def token_of_another(stack, user):
    """Write another user with a token into the database; returns the token."""
    token = f"the-token-of-{user}"
    with contextlib.closing(sqlite3.connect(f"{stack.data}/windlass.db", timeout=20)) as database, database:
        user_id = database.execute("INSERT INTO user (name, is_administrator, created_at) VALUES (?, 0, 0)", (user,)).lastrowid
        database.execute(
            "INSERT INTO token (user_id, name, secret_hash, created_at) VALUES (?, 'laptop', ?, 0)",
            (user_id, hashlib.sha256(token.encode()).hexdigest()),
        )
    return token


@pytest.mark.fault("locks", "A person's lock whose end has passed", "others are refused until then, and deploy afterwards")
def test_a_lock_that_has_expired(stack, hosts, name, second, first):
    token = token_of_another(stack, f"{name}-bob")
    lock = f"/applications/{name}/targets/production/lock"
    stack.call("PUT", lock, {"reason": "migration", "for_s": SECOND_S})

    def ask():
        return requests.post(
            f"{stack.url}/api/v1/deploys",
            json=wish(name, second),
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )

    refused = ask()
    assert (refused.status_code, refused.json()["code"]) == (409, "locked"), refused.text
    deadline = time.monotonic() + 60
    while (answer := ask()).status_code == 409 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer.status_code == 201, answer.text
    assert stack.request("GET", lock).status_code == 404
    oracle.check(stack, hosts, name, answer.json()["id"], states=("succeeded",))
