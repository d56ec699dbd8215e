"""Cases that are the same on every database and broker."""

import threading

from tests.faults import oracle

PASSES = 12


def two_reconcilers_at_once(stack, hosts, name, release):
    """Two workers get the messages for twelve passes of one deploy each; every host run is claimed once."""
    deploy_id = stack.ask(name, release)
    threads = [threading.Thread(target=stack.enqueue, args=("windlass.reconcile", [deploy_id] * PASSES)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert {run["attempt"] for run in stack.host_runs(deploy).values()} == {1}
    states = [event["data"]["state"] for event in oracle.history(stack, deploy_id) if event["kind"] == "deploy"]
    assert states == ["queued", "running", "succeeded"]


def worker_dies(stack, hosts, name, release, point):
    """The worker is killed where it comes by a point; another attempt of the run goes on."""
    stack.points.arm(point)
    deploy_id = stack.ask(name, release)
    stack.points.await_reached(point)
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert max(run["attempt"] for run in stack.host_runs(deploy).values()) >= 2
