"""A Windlass whose processes can be ended, stopped and held at chosen points, with short leases, so that faults pass soon."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from devkit import serve
from tests.fleet.keeper import Keeper
from tests.fleet.reaper import send
from tests.stack import ROOT, Stack

QUICK = {"WINDLASS_WORKER_LEASE_S": "3", "WINDLASS_WORKER_SWEEP_S": "1"}
POINT_TIMEOUT_S = 60


def of_tree(argv, tree):
    """Return a command of Windlass's with the interpreter of another folder of the program, which finds that folder's lib/."""
    return [str(Path(tree) / Path(argv[0]).relative_to(ROOT)), *argv[1:]]


class Failpoints:
    """The folder in which failpoints are armed (lib/failpoints.py)."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def arm(self, point, action="kill"):
        """Let whoever comes by the point next do `action`: kill, stop, wait, enospc or eio."""
        self.reached(point).unlink(missing_ok=True)
        draft = self.folder / f"{point}.draft"
        draft.write_text(action)
        draft.rename(self.folder / point)

    def reached(self, point):
        """Return the file that is there once the point was reached."""
        return self.folder / f"{point}.reached"

    def await_reached(self, point, timeout_s=POINT_TIMEOUT_S):
        """Wait until somebody has come by the point."""
        deadline = time.monotonic() + timeout_s
        while not self.reached(point).exists():
            assert time.monotonic() < deadline, f"nobody came by {point} within {timeout_s} s"
            time.sleep(0.01)

    def let_go(self, point):
        """Let a process that waits at the point go on; disarm the point if nobody has come by."""
        (self.folder / point).unlink(missing_ok=True)
        self.reached(point).unlink(missing_ok=True)

    def disarm(self):
        """Disarm all points and let everybody go on."""
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)


class FaultStack(Stack):
    """A Windlass with failpoints. `secret` is the value of a secret variable that every target has."""

    def __init__(self, keeper, folder, environment=None):
        self.points = Failpoints(Path(folder) / "failpoints")
        self.secret = "geheim-" + os.urandom(12).hex()
        super().__init__(keeper, folder, {**QUICK, "WINDLASS_FAILPOINTS": str(self.points.folder), **(environment or {})})

    def set_target(self, hosts, name="shop", environment="production", **fields):
        """Say where an application goes, with its server name and a secret variable."""
        made = super().set_target(hosts, name, environment, **{"server_names": [f"{name}.example.com"], **fields})
        variables = {"API_SECRET": {"value": self.secret, "secret": True}}
        self.call("PUT", f"/applications/{name}/targets/{environment}/variables", {"variables": variables})
        return made

    def ask(self, name, release="latest", environment="production", **fields):
        """Ask for a deploy and do not wait for it; returns its id."""
        body = {"application": name, "release": release, "environment": environment, **fields}
        return self.call("POST", "/deploys", body)["id"]

    def step_of(self, deploy_id, step, state="running"):
        """Wait until a host of the deploy is in a step."""

        def is_there(runs):
            steps = [entry for run in runs["items"] for entry in run["steps"]]
            return any(entry["name"] == step and entry["state"] == state for entry in steps)

        self.wait(f"/deploys/{deploy_id}/hosts", is_there)

    def start_worker(self, tree=ROOT, **environment):
        """Start one more worker, which nobody starts again; from the program's folder `tree`, `environment` added to its own."""
        variables = {
            **self.environment,
            "WINDLASS_DATA": str(self.data),
            "WINDLASS_WEB_PORT": str(self.port),
            **environment,
        }
        return self.keeper.start(
            of_tree(serve.worker_command(), tree),
            self.folder / "worker.log",
            env=variables,
            cwd=tree,
            stop_signal=signal.SIGTERM,
        )

    def enqueue(self, task, ids, queue="windlass"):
        """Put a message for each id on the queue, signed as Windlass signs them, from a process of its own."""
        code = (
            "import json, sys, config; config.load(); import broker; celery = broker.make_celery()\n"
            "task, queue, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])\n"
            "for number in ids: celery.send_task(task, (number,), queue=queue)"
        )
        variables = {**self.environment, "WINDLASS_DATA": str(self.data)}
        argv = [sys.executable, "-c", code, task, queue, json.dumps(ids)]
        subprocess.run(argv, env=variables, cwd=ROOT, check=True, timeout=60)

    # Its processes.

    def processes(self, *words):
        """Return the ids of this stack's processes whose command line holds all words."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (path.parent / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if all(word in line for word in words) and f"WINDLASS_DATA={self.data}".encode() in environment:
                found.append(int(path.parent.name))
        return found

    def workers(self):
        """Return the ids of the worker processes. Their pool is of threads, so each is what does the work."""
        return self.processes("celery", "worker")

    def known_workers(self):
        """Return the process ids of the workers that have given a sign of life, ever."""
        return [int(worker["name"].rpartition(":")[2]) for worker in self.call("GET", "/workers?limit=200")["items"]]

    def signal(self, number, *words):
        """Send a signal to all processes with these words in their command line, of which there must be one."""
        pids = self.processes(*words)
        assert pids, words
        for pid in pids:
            send(pid, number)
        return pids

    def kill_workers(self):
        """SIGKILL every worker; dev.py starts its own again."""
        return self.signal(signal.SIGKILL, "celery", "worker")

    def kill_web(self):
        """SIGKILL the web server with all its processes; dev.py starts it again."""
        return self.signal(signal.SIGKILL, "gunicorn")


class PartedStack(FaultStack):
    """A Windlass whose web server and workers are started one by one, and never again by themselves."""

    def start(self):
        """Start the web server and one worker; returns when a deploy would be carried out."""
        self.repositories.mkdir(parents=True, exist_ok=True)
        self.start_web()
        self.worker = self.start_worker()
        return self.await_ready()

    def start_web(self, tree=ROOT):
        """Start the web server from the program's folder `tree`."""
        variables = {**self.environment, "WINDLASS_DATA": str(self.data), "WINDLASS_WEB_PORT": str(self.port)}
        self.process = self.keeper.start(of_tree(serve.web_command(), tree), self.folder / "dev.log", env=variables, cwd=tree)


@contextlib.contextmanager
def running_fault_stack(folder, environment=None, kind=FaultStack):
    """Run a Windlass with failpoints in `folder` for the length of a block; `environment` overrides settings."""
    with Keeper() as keeper:
        yield kind(keeper, folder, environment).start()
