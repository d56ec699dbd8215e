"""Baking: a host that has switched is watched for some time, from its own zone; one that turns unhealthy counts as failed.

The reconciler enqueues a look when one is due and judges by what was written down; a look changes nothing on the host.
"""

import contextlib
import time

from controllers import transports
from controllers.desired.spec import UP
from controllers.jobs import leases, transitions
from controllers.jobs.attempt import Attempt
from controllers.jobs.history import Recorder
from controllers.jobs.kinds import Kind, declare
from controllers.rollout import reconcile
from models import HostRun, HostWatch
from models.db import clock, database
from remote.session import AgentError, ConnectionLost
from remote.ssh import Unreachable

CONFIRM_AFTER_S = 1.0  # One bad answer may be chance; two in a row are not.
MOST_MISSED = 3
LOOK_LIMIT_S = 30


class BakeAttempt(Attempt):
    """One look at the host of a run that has succeeded, while its deploy goes on."""

    model, what = HostRun, "host run"

    def __init__(self, run):
        super().__init__(run)
        self.has_looked = False

    @classmethod
    def may_begin(cls):
        """It has succeeded."""
        return HostRun.state == "succeeded"

    @classmethod
    def claim(cls, row_id):
        """Take the run's lease; a look counts as no attempt of the run."""
        return leases.claim(HostRun, row_id, cls.may_begin(), enqueued_at=None)

    def work(self):
        """Look, and write down what was found."""
        if self.row.deploy.state == "running":
            watch = watch_of(self.row)
            note(self.row, watch, *find_out(self.row, watch))
        self.has_looked = True
        leases.release(self.row)

    def broke(self, message):
        """Windlass made a mistake; the log has it, and the sweep leads to the next look."""
        leases.release(self.row)

    def database_away(self, error):
        """A look changes nothing on the host, so the next one serves as well."""
        leases.release(self.row)


def look(host_run_id):
    """Look once at the host of a run under watch, and have its deploy go on; safe to call at any time."""
    run = BakeAttempt.claim(host_run_id)
    if run is None:
        return
    attempt = BakeAttempt(run)
    attempt.run()
    if attempt.has_looked:  # Else the same look would be enqueued again at once.
        reconcile.reconcile(run.deploy_id)


def find_out(run, watch):
    """Return (what the host is like, when the look at it began); {"missed": why} when it could not be looked at."""
    began_at = clock()
    try:
        with contextlib.closing(transports.open_host(run.host)) as session:
            seen = examine(session, run, watch)
            if seen.get("fault"):
                time.sleep(CONFIRM_AFTER_S)
                seen = examine(session, run, watch)
    except (Unreachable, ConnectionLost, AgentError) as error:
        seen = {"missed": str(error)}
    return seen, began_at


def examine(session, run, watch):
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
    fault = fault_of(run, watch, application, processes, pids, answer["probe"])
    return {"pids": pids, "fault": fault} if fault else {"pids": pids}


def fault_of(run, watch, application, processes, pids, probe):
    """Return what is wrong with a host under watch, as people read it, or None.

    `pids` are those of its processes now; `probe` is what its health check gave: {"healthy", "said"}.
    """
    if application["current"] != run.deploy.release.digest:
        return "it no longer runs the release of this deploy"
    down = [f"{name} is {process['state']}" for name, process in sorted(processes.items()) if process["state"] not in UP]
    if down or not processes:
        return f"not all processes are up: {', '.join(down) or 'there are none'}"
    if not probe["healthy"]:
        return f"the health check fails: {probe['said']}"
    before = watch.pids or pids
    restarted = sorted(name for name, pid in pids.items() if before.get(name, pid) != pid)
    return f"restarted by itself: {', '.join(restarted)}" if restarted else None


def watch_of(run):
    """Return what earlier looks found at the host of a run; an unsaved row where there was none."""
    return HostWatch.get_or_none(HostWatch.host_run == run) or HostWatch(host_run=run)


def note(run, watch, seen, began_at):
    """Write down what a look found; a fault, or too many looks in a row that found nobody, ends the watch."""
    missed = watch.missed + 1 if "missed" in seen else 0
    if seen.get("fault"):
        fail(run, seen["fault"])
    elif missed >= MOST_MISSED:
        fail(run, f"it could not be looked at {missed} times in a row: {seen['missed']}")
    else:
        is_first = watch.id is None and not missed
        watch.tried_at, watch.missed, watch.pids = began_at, missed, watch.pids or seen.get("pids")
        watch.looked_at = watch.looked_at if missed else began_at
        with database.atomic():
            if leases.extend(run):
                watch.save()
        if is_first:
            record = Recorder(run)
            record.output("bake", "healthy; under watch from now on")
            record.flush()


def fail(run, fault):
    """Count the host as failed; what becomes of it, and of the others, is up to the strategy."""
    turned = "It was healthy when it was switched, and turned unhealthy under watch."
    message = f"{run.host.name}: bake: {fault.rstrip('.')}. {turned}"
    transitions.move_host_run(run, "failed", guard=leases.is_held(run), message=message, was_switched=True)


KIND = declare(Kind("windlass.bake_host", run=look))
