"""What a host of a large fleet costs: the same canary rollout to few and to many simulated hosts, on one Windlass."""

import argparse
import contextlib
import functools
import json
import resource
import struct
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from bench.meter import Meter, process_cpu_s, tree_cpu_s
from tests.deploying import applications
from tests.fleet import FleetError
from tests.fleet.keeper import Keeper, await_process, find_program
from tests.stack import ENDED, ROOT, Repository, Stack

AIM = 1.1
BAKE_S = 5
CANARY = {"kind": "canary", "batch": "4%", "bake_s": BAKE_S}
WAVES = {"kind": "rolling", "batch": "20%"}
PATIENCE_S = 3600
NUMBER = struct.Struct("=Q")  # as counting/sitecustomize.py writes it
COLUMNS = (
    ("wall_ms", "wall ms"),
    ("cpu_ms", "CPU ms"),
    ("worker_ms", "worker's ms"),
    ("queries", "queries"),
    ("rows", "rows"),
    ("bytes_sent", "bytes sent"),
)
PAGES = ("/deploys?limit=50", "/hosts?limit=200", "/status", "/deploys/{deploy}", "/deploys/{deploy}/hosts?limit=200")


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="bench/fleet", description="Compare the cost per host of small and large rollouts.")
    made.add_argument("--few", type=int, default=50, help="hosts of the small rollout (default: 50)")
    made.add_argument("--many", type=int, default=500, help="hosts of the large rollout (default: 500)")
    made.add_argument("--json", type=Path, help="also write all figures to this file")
    return made


@dataclass
class Rollout:
    """What one rollout took, per host: milliseconds, rows of the database, bytes sent.

    `cpu_ms` is that of everything, `worker_ms` that of the worker's own process, which also sent the `queries`.
    """

    hosts: int
    what: str
    took_s: float
    wall_ms: float
    cpu_ms: float
    worker_ms: float
    queries: float
    rows: float
    bytes_sent: float
    worker_peak_mb: float


class FleetStack(Stack):
    """A Windlass whose hosts are folders of this machine with the transport `local`."""

    def make_hosts(self, count):
        """Start the stand-in for their supervisords and register `count` hosts; returns their names."""
        folder = self.folder / "hosts"
        for number in range(count):
            for name in ("programs", "srv"):
                (folder / str(number) / name).mkdir(parents=True)
            conf = folder / str(number) / "supervisord.conf"
            conf.write_text(f"[supervisorctl]\nserverurl=unix://{folder}/{number}/supervisor.sock\n")
        argv = [sys.executable, ROOT / "bench" / "many_supervisors.py", folder, count]
        self.supervisors = self.keeper.start(argv, self.folder / "supervisors.log")
        await_process(self.supervisors, (folder / "ready").exists, timeout_s=60)
        return [self.add_simulated(folder / str(number), f"host-{number:04}") for number in range(count)]

    def add_simulated(self, folder, name):
        """Register one host; returns its name."""
        settings = {
            "python": find_program("python3"),
            "nginx": None,
            "supervisor": {
                "programs": str(folder / "programs"),
                "command": ["supervisorctl", "-c", str(folder / "supervisord.conf")],
            },
        }
        self.call("POST", "/hosts", {"name": name, "transport": "local", "root": str(folder / "srv"), "settings": settings})
        return name

    @functools.cached_property
    def worker(self):
        """The worker's process id."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if b"celery" in path.read_bytes() and f"WINDLASS_DATA={self.data}" in (path.parent / "environ").read_text():
                    return int(path.parent.name)
        raise FleetError("the worker is not to be found")

    def worker_peak_mb(self):
        """Return the most memory that the worker's process has held so far, from proc_pid_status(5)."""
        status = Path("/proc", str(self.worker), "status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def worker_queries(self):
        """Return how many statements the worker has sent to the database so far."""
        return NUMBER.unpack((self.folder / "queries" / str(self.worker)).read_bytes())[0]


def count_rows(data):
    """Return how many rows all tables of a Windlass's database have."""
    from models import db

    db.connect_to(f"sqlite:///{data}/windlass.db")
    with db.connection():
        return sum(model.select().count() for model in db.BaseModel.__subclasses__() if model.table_exists())


class Bench:
    """A Windlass with the simulated hosts, and two applications: one on few of them, one on all."""

    def __init__(self, options, open_resources):
        self.options = options
        folder = open_resources.enter_context(tempfile.TemporaryDirectory(prefix="wl-fleet-", dir="/tmp"))
        keeper = open_resources.enter_context(Keeper())
        queries = Path(folder, "queries")
        queries.mkdir()
        settings = {
            "WINDLASS_DRIFT_INTERVAL_S": "0",  # Looks for drift would be counted as the rollouts' cost.
            "PYTHONPATH": str(ROOT / "bench" / "counting"),
            "BENCH_QUERIES": str(queries),
        }
        self.stack = FleetStack(keeper, folder, settings).start()
        self.hosts = self.stack.make_hosts(options.many)
        self.versions = {}
        for name, hosts in (("few", self.hosts[: options.few]), ("many", self.hosts)):
            self.add_application(name, hosts)

    def add_application(self, name, hosts):
        """Make an application with two releases."""
        repository = Repository(self.stack.repositories / name)
        self.stack.add_application(repository, name)
        target = {"hosts": hosts, "health": {"path": "/", "timeout_s": 120, "expect_status": 200}}
        self.stack.call("PUT", f"/applications/{name}/targets/production", target)
        self.versions[name] = []
        for release in ("one", "two"):
            repository.commit(applications.plain(release))
            self.versions[name].append(self.stack.release(name)["version"])

    def run(self):
        """Return the rollouts of both applications, in the order they ran."""
        done = []
        for name, hosts in (("few", self.options.few), ("many", self.options.many)):
            for what, release, strategy in (("waves", 0, WAVES), ("canary", 1, CANARY)):
                done.append(self.roll_out(name, what, self.versions[name][release], strategy, hosts))
                print(line(done[-1]), file=sys.stderr, flush=True)
        return done

    def roll_out(self, name, what, release, strategy, hosts):
        """Measure one rollout; the time under watch is taken off."""
        rows, queries = count_rows(self.stack.data), self.stack.worker_queries()
        worker_cpu_s = process_cpu_s(self.stack.worker)
        with Meter(lambda: tree_cpu_s(self.stack.process.pid)) as meter:
            body = {"application": name, "release": release, "environment": "production", "strategy": strategy}
            self.deploy = self.stack.call("POST", "/deploys", body)["id"]
            self.stack.wait(f"/deploys/{self.deploy}", lambda deploy: deploy["state"] in ENDED, PATIENCE_S)
        worker_cpu_s, queries = process_cpu_s(self.stack.worker) - worker_cpu_s, self.stack.worker_queries() - queries
        deploy = self.stack.call("GET", f"/deploys/{self.deploy}")
        if deploy["state"] != "succeeded":
            raise FleetError(f"deploy {self.deploy} {deploy['state']}: {deploy['reason']}")
        sent = sum(run["bytes_sent"] for run in self.stack.host_runs(deploy).values())
        return Rollout(
            hosts=hosts,
            what=what,
            took_s=meter.cost.wall_s,
            wall_ms=(meter.cost.wall_s - (2 * BAKE_S if what == "canary" else 0)) * 1000 / hosts,
            cpu_ms=meter.cost.cpu_s * 1000 / hosts,
            worker_ms=worker_cpu_s * 1000 / hosts,
            queries=queries / hosts,
            rows=(count_rows(self.stack.data) - rows) / hosts,
            bytes_sent=sent / hosts,
            worker_peak_mb=self.stack.worker_peak_mb(),
        )

    def pages(self):
        """Return {path: (milliseconds, bytes)} of what a dashboard asks for about the newest rollout."""
        found = {}
        for path in PAGES:
            begun = time.monotonic()
            answer = self.stack.request("GET", path.format(deploy=self.deploy))
            found[path] = ((time.monotonic() - begun) * 1000, len(answer.content))
        found["/deploys/{deploy}/stream"] = self.stream()
        return found

    def stream(self):
        """Return (milliseconds, bytes) of the whole history as server-sent events."""
        begun, size = time.monotonic(), 0
        url = f"{self.stack.url}/api/v1/deploys/{self.deploy}/stream"
        with requests.get(url, headers=dict(self.stack.http.headers), stream=True, timeout=60) as answer:
            for chunk in answer.iter_content(1 << 16):
                size += len(chunk)
        return (time.monotonic() - begun) * 1000, size


def ratios(rollouts):
    """Return {(what, field): cost per host of the many over that of the few}."""
    few, many = ({one.what: one for one in rollouts if one.hosts == hosts} for hosts in sorted({r.hosts for r in rollouts}))
    return {
        (what, field): getattr(many[what], field) / getattr(few[what], field)
        for what in ("canary", "waves")
        for field, _ in COLUMNS
        if getattr(few[what], field)
    }


def line(one):
    """Return one rollout's line of the table."""
    figures = "".join(f"{getattr(one, field):16.1f}" for field, _ in COLUMNS)
    return f"{one.what:9}{one.hosts:6}{one.took_s:9.1f}{figures}{one.worker_peak_mb:18.0f}"


def table(rollouts, pages):
    """Return the figures for people."""
    lines = [
        f"{'rollout':9}{'hosts':>6}{'took s':>9}" + "".join(f"{name + '/host':>16}" for _, name in COLUMNS) + "  worker's peak MB"
    ]
    lines += [line(one) for one in rollouts]
    lines.append("")
    for (what, field), ratio in ratios(rollouts).items():
        lines.append(f"{what}, {dict(COLUMNS)[field]} per host, many against few: {ratio:.2f}×")
    lines.append("")
    lines += [f"{path:28}{took_ms:8.0f} ms{size:12,} bytes" for path, (took_ms, size) in pages.items()]
    return "\n".join(lines)


def missed(rollouts):
    """Return what is not flat: [(what, field, ratio)] beyond the aim."""
    return [(what, field, ratio) for (what, field), ratio in ratios(rollouts).items() if ratio > AIM]


def main(arguments):
    """Run the benchmark; returns the exit code: 1 when a host costs more in a large fleet than the aim allows."""
    options = parser().parse_args(arguments)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    with contextlib.ExitStack() as open_resources:
        try:
            bench = Bench(options, open_resources)
            rollouts = bench.run()
            pages = bench.pages()
        except FleetError as error:
            print(f"bench/fleet: {error}", file=sys.stderr)
            return 1
    print(table(rollouts, pages))
    for what, field, ratio in missed(rollouts):
        print(f"MISSED {what}, {dict(COLUMNS)[field]} per host: {ratio:.2f}× (aim: at most {AIM}×)")
    if options.json:
        figures = {"rollouts": [asdict(one) for one in rollouts], "pages": pages}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if missed(rollouts) else 0
