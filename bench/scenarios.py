"""The scenarios of bench/deploy, run side by side and printed as a table."""

import argparse
import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import paramiko

from bench import report
from bench.meter import Meter, own_cpu_s
from bench.plain import Plain, PlainFailure
from bench.windlass import ROOT, Windlass
from bench.workload import Workload
from tests.fleet import Fleet, FleetError
from tests.fleet.keeper import find_program, is_listening

HEALTH_TIMEOUT_S = 5
SCENARIOS = ("first", "dependency", "code only", "no-op", "rollback", "failing")


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="bench/deploy", description="Measure deploys to loopback hosts beside plain ssh + rsync + uv."
    )
    made.add_argument("--hosts", type=int, default=5, help="how many hosts (default: 5)")
    made.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="how often the scenarios that can be repeated run; the median counts (default: 3)",
    )
    made.add_argument("--json", type=Path, help="also write all figures to this file")
    made.add_argument("--baseline-only", action="store_true", help="leave Windlass out")
    return made


class Bench:
    """Everything that runs for one benchmark: hosts, repository, the two that deploy."""

    def __init__(self, options, open_resources):
        self.options = options
        self.folder = Path(open_resources.enter_context(tempfile.TemporaryDirectory(prefix="wl-bench-", dir="/tmp")))
        self.fleet = open_resources.enter_context(Fleet(size=options.hosts))
        self.key_file = self.folder / "key"
        subprocess.run(
            [find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(self.key_file)],
            check=True,
        )
        for host in self.fleet:
            host.authorize(self.key_file.with_suffix(".pub").read_text())
        self.workload = Workload(self.folder / "repository", options.rounds)
        self.workload.make()
        self.plain = Plain(
            self.fleet,
            self.key_file,
            self.workload,
            self.folder / "plain",
            ROOT / "env" / "bin" / "uv",
            HEALTH_TIMEOUT_S,
        )
        self.windlass = None
        self.costs = {}

    def start_windlass(self):
        """Start the real Windlass and tell it of hosts and application."""
        self.windlass = Windlass(self.fleet.keeper, self.folder / "data", self.key_file, self.workload.folder, dict(os.environ))
        self.windlass.register(self.fleet, HEALTH_TIMEOUT_S)

    def run(self):
        """Run all scenarios; their costs are in `costs` then."""
        self.warm_up()
        self.both("first", "first")
        self.both("dependency", "dependency")
        for number in range(1, self.options.rounds + 1):
            self.both("code only", f"code-{number}")
            self.both("no-op", f"code-{number}")
            self.note("rollback", "plain", self.plain.measure(self.plain.roll_back))
            if self.windlass:
                self.note("rollback", "windlass", self.windlass.measure(self.windlass.roll_back, self.windlass.newest()))
            self.fail(f"broken-{number}")

    def warm_up(self):
        """Let uv fetch what is to be installed, so that no scenario measures the network."""
        for name in ("requirements.txt", "requirements.other.txt"):
            self.plain.environment(ROOT / "bench" / "shop" / name).rename(self.folder / f"warm-{name}")

    def both(self, scenario, tag):
        """Deploy a tag by hand and by Windlass."""
        self.note(scenario, "plain", self.plain.measure(self.plain.deploy, tag))
        if self.windlass:
            self.note(scenario, "windlass", self.windlass.measure(self.windlass.deploy, tag))

    def fail(self, tag):
        """Deploy a tag that never becomes healthy; the release before has to be in place afterwards."""

        def by_hand():
            with contextlib.suppress(PlainFailure):
                self.plain.deploy(tag)
            return 0

        self.note("failing", "plain", self.plain.measure(by_hand))
        if self.windlass:
            self.note("failing", "windlass", self.windlass.measure(self.windlass.deploy, tag, "failed|rolled_back"))

    def note(self, scenario, who, cost):
        """Keep one cost and show that something goes on."""
        self.costs.setdefault(scenario, {}).setdefault(who, []).append(cost)
        print(f"  {scenario:<12}{who:<10}{cost.wall_s:8.2f} s", file=sys.stderr, flush=True)

    def start_up_s(self):
        """Return how long the application takes to answer when it is started on all hosts at once, with no deploy around it."""
        release = self.folder / "plain" / "releases" / self.plain.released
        with Meter(own_cpu_s) as meter:
            sockets = [self.folder / f"{host.name}.sock" for host in self.fleet]
            started = [
                self.fleet.keeper.start(
                    [
                        release / "env" / "bin" / "python",
                        "-m",
                        "gunicorn",
                        "--workers",
                        "1",
                        "--no-control-socket",
                        "--bind",
                        f"unix:{path}",
                        "app:app",
                    ],
                    self.folder / "start.log",
                    cwd=release,
                )
                for path in sockets
            ]
            with concurrent.futures.ThreadPoolExecutor(len(sockets)) as pool:
                list(pool.map(await_answer, sockets))
        for process in started:
            process.stop()
        return meter.cost.wall_s

    def connect_s(self):
        """Return how long the SSH library that Windlass uses takes to log in to all hosts at once."""
        key = paramiko.PKey.from_path(self.key_file)

        def log_in(host):
            with contextlib.closing(paramiko.Transport((host.address, host.port))) as transport:
                transport.connect(username=host.user, pkey=key)

        with Meter(own_cpu_s) as meter, concurrent.futures.ThreadPoolExecutor(len(self.fleet)) as pool:
            list(pool.map(log_in, self.fleet))
        return meter.cost.wall_s


def await_answer(path):
    """Wait until the application behind a socket has answered a request."""
    from bench.plain_host import answers

    deadline = time.monotonic() + 60
    while not (path.exists() and is_listening(str(path)) and answers(str(path), "/healthz")):
        if time.monotonic() > deadline:
            raise FleetError("the application does not start; is the machine very busy?")
        time.sleep(0.01)


def main(arguments):
    """Run the benchmark; returns the exit code: 1 when an aim was missed."""
    options = parser().parse_args(arguments)
    with contextlib.ExitStack() as open_resources:
        try:
            bench = Bench(options, open_resources)
            if not options.baseline_only:
                bench.start_windlass()
            bench.run()
        except FleetError as error:
            print(f"bench/deploy: {error}", file=sys.stderr)
            return 1
        figures = report.Figures(
            bench.costs,
            options.hosts,
            bench.start_up_s(),
            bench.connect_s(),
            bench.plain.measure(bench.plain.connect).wall_s,
        )
    print(figures.table())
    if options.json:
        options.json.write_text(json.dumps(figures.as_dict(), indent=2) + "\n")
    return 0 if all(aim.is_met for aim in figures.aims()) else 1
