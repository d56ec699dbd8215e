"""Baking: a host that has switched is watched for some time, from its own zone; one that turns unhealthy counts as failed.

The reconciler enqueues a look when one is due and judges by what was written down; a look changes nothing on the host.
"""

import contextlib
import time

from controllers import transports
from controllers.desired.spec import UP
from controllers.jobs import leases, transitions
from controllers.jobs.history import Recorder
from controllers.rollout import reconcile
from models import HostRun
from models.db import clock
from remote.session import AgentError, ConnectionLost
from remote.ssh import Unreachable

CONFIRM_AFTER_S = 1.0  # One bad answer may be chance; two in a row are not.
MOST_MISSED = 3
LOOK_LIMIT_S = 30


def look(host_run_id):
    """Look once at the host of a run that has succeeded, if its deploy goes on; safe to call at any time."""
    run = leases.claim(HostRun, host_run_id, HostRun.state == "succeeded", enqueued_at=None)
    if run is None:
        return
    try:
        if run.deploy.state == "running":
            note(run, *find_out(run))
    finally:
        leases.release(run)
    reconcile.reconcile(run.deploy_id)


def find_out(run):
    """Return (what the host is like, when the look at it began); {"missed": why} when it could not be looked at."""
    began_at = clock()
    try:
        with contextlib.closing(transports.open_host(run.host)) as session:
            seen = examine(session, run)
            if seen.get("fault"):
                time.sleep(CONFIRM_AFTER_S)
                seen = examine(session, run)
    except (Unreachable, ConnectionLost, AgentError) as error:
        seen = {"missed": str(error)}
    return seen, began_at


def examine(session, run):
    """Return {"pids"} of a host's processes, with "fault" when it is not as the deploy left it."""
    answer = session.request(
        "observe",
        timeout_s=LOOK_LIMIT_S,
        root=run.host.root,
        app=run.deploy.application.name,
        settings=run.host.settings,
        probe=True,
    )
    application = answer["application"]
    slot = application["slots"].get(application["active"]) if application["active"] else None
    processes = slot["processes"] if slot else {}
    pids = {name: process["pid"] for name, process in processes.items()}
    fault = fault_of(run, application, processes, pids, answer["probe"])
    return {"pids": pids, "fault": fault} if fault else {"pids": pids}


def fault_of(run, application, processes, pids, probe):
    """Return what is wrong with a host under watch, as people read it, or None.

    `pids` are those of its processes now; `probe` is what its health check gave: {"healthy", "said"}.
    """
    if application["current"] != run.deploy.release.digest:
        return "it no longer runs the release of this deploy"
    down = [
        f"{name} is {process['state']}" for name, process in sorted(processes.items()) if process["state"] not in UP
    ]
    if down or not processes:
        return f"not all processes are up: {', '.join(down) or 'there are none'}"
    if not probe["healthy"]:
        return f"the health check fails: {probe['said']}"
    before = (run.watched or {}).get("pids") or pids
    restarted = sorted(name for name, pid in pids.items() if before.get(name, pid) != pid)
    return f"restarted by itself: {', '.join(restarted)}" if restarted else None


def note(run, seen, began_at):
    """Write down what a look found; a fault, or too many looks in a row that found nobody, ends the watch."""
    before = run.watched or {}
    missed = before.get("missed", 0) + 1 if "missed" in seen else 0
    if seen.get("fault"):
        fail(run, seen["fault"])
    elif missed >= MOST_MISSED:
        fail(run, f"it could not be looked at {missed} times in a row: {seen['missed']}")
    else:
        found = {"tried_at": began_at, "watched": {"missed": missed, "pids": before.get("pids") or seen.get("pids")}}
        if not missed:
            found["looked_at"] = began_at
        HostRun.update(found).where(leases.is_held(run)).execute()
        if not before and not missed:
            record = Recorder(run)
            record.output("bake", "healthy; under watch from now on")
            record.flush()


def fail(run, fault):
    """Count the host as failed; what becomes of it, and of the others, is up to the strategy."""
    said = "It was healthy when it was switched, and turned unhealthy under watch."
    message = f"{run.host.name}: bake: {fault.rstrip('.')}. {said}"
    transitions.move_host_run(run, "failed", guard=leases.is_held(run), message=message, was_switched=True)
