"""The soak: real hosts, a real Windlass, rollouts that overlap, random kills; then the verdict and the figures."""

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import verdict
from bench.hazards import Killer, Prober
from bench.lane import CHECK_PY, Lane, Peace
from tests.deploying import applications
from tests.faults.stack import FaultStack
from tests.fleet import Fleet, FleetError
from tests.fleet.hammer import Hammer
from tests.fleet.keeper import Keeper
from tests.fleet.services import postgresql, rabbitmq_service, redis_service
from tests.stack import Repository

RELEASES = ("one", "two", "three")
HOSTS_OF_A_TARGET = 3
MOST_APPLICATIONS = 10
REPORT_EVERY_S = 30
MOST_TIMES_AS_LONG = 2  # On a busy machine the kills go on until all is asked for, up to so many times the minutes.


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="bench/soak", description="Deploy while Windlass's processes are killed.")
    made.add_argument("--deploys", type=int, default=200, help="rollouts to ask for (default: 200)")
    made.add_argument("--hosts", type=int, default=10, help="how many hosts (default: 10)")
    made.add_argument(
        "--minutes", type=float, default=10, help="time of the kills, and longer until all is asked for (default: 10)"
    )
    made.add_argument("--every", type=float, default=4, help="seconds between two kills on average (default: 4)")
    made.add_argument(
        "--backend",
        choices=("embedded", "redis", "rabbitmq"),
        default="embedded",
        help="SQLite and no server (default), or PostgreSQL with one of these brokers, which is killed as well",
    )
    made.add_argument("--lease-s", type=int, default=15, help="the setting worker.lease_s (default: its own default, 15)")
    made.add_argument("--rate", type=float, default=1, help="requests a second, host, application and variant (default: 1)")
    made.add_argument("--seed", type=int, default=1, help="of everything that is random (default: 1)")
    made.add_argument("--json", type=Path, help="also write all figures to this file")
    return made


class Soak:
    """Everything that runs for one soak; `folder` has Windlass's data and logs."""

    def __init__(self, options, folder, open_resources):
        self.options, self.folder, self.open = options, folder, open_resources
        self.fleet = self.open.enter_context(Fleet(size=options.hosts))
        broker, environment = self.back_ends()
        environment["WINDLASS_WORKER_LEASE_S"] = str(options.lease_s)
        environment["WINDLASS_WORKER_SWEEP_S"] = "2"
        self.stack = FaultStack(self.open.enter_context(Keeper()), folder, environment).start()
        for host in self.fleet:
            self.stack.add_host(host)
        self.peace = Peace()
        self.killing_s, self.asked_while_killing = 0.0, 0
        self.lanes = [self.lane(number) for number in range(self.number_of_lanes())]
        self.killer = Killer(self.stack, options.every, options.seed, broker)
        self.prober = Prober(self.stack.url)

    def number_of_lanes(self):
        """Return how many applications there are."""
        return min(MOST_APPLICATIONS, self.options.hosts, self.options.deploys)

    def back_ends(self):
        """Start what the chosen back ends need; returns (the broker that is to be killed or None, the settings)."""
        if self.options.backend == "embedded":
            return None, {}
        url = self.open.enter_context(postgresql())
        service = redis_service if self.options.backend == "redis" else rabbitmq_service
        broker = self.open.enter_context(service())
        settings = {"WINDLASS_DATABASE_URL": url, "WINDLASS_BROKER_URL": broker.url}
        if self.options.backend == "redis":
            settings["WINDLASS_REDIS_URL"] = broker.url
        return broker, settings

    def lane(self, number):
        """Make an application with its releases on some of the hosts, let it run there, and return its lane."""
        name, count = f"app{number}", self.number_of_lanes()
        hosts = [self.fleet[(number + step) % len(self.fleet)] for step in range(min(HOSTS_OF_A_TARGET, len(self.fleet)))]
        repository = Repository(self.stack.repositories / name)
        self.stack.add_application(repository, name)
        self.stack.set_target(hosts, name, health={"path": "/", "timeout_s": 60, "expect_status": 200})
        versions = []
        for release in RELEASES:
            files = applications.plain(f"{name} {release}", processes={"release": "python mark.py"})
            repository.commit({**files, "mark.py": CHECK_PY.format(marks=str(self.marks))})
            versions.append(self.stack.release(name)["version"])
        self.stack.deploy(versions[0], name)
        share = self.options.deploys // count + (number < self.options.deploys % count)
        return Lane(self.stack, name, hosts, versions, share, self.options.minutes * 60, self.options.seed, self.peace)

    @property
    def marks(self):
        """The file in which each `release` process leaves a line."""
        return self.folder / "marks"

    def run(self):
        """Ask, kill, and wait for the end; returns the Verdict."""
        with contextlib.ExitStack() as asking:
            hammers = [
                asking.enter_context(Hammer(host.url, host_header=f"{lane.app}.example.com", rate=self.options.rate))
                for lane in self.lanes
                for host in lane.hosts
            ]
            begun = time.monotonic()
            for thread in (*self.lanes, self.killer, self.prober):
                thread.start()
            self.await_lanes(begun)
            took_s = time.monotonic() - begun
            self.prober.stop()
            self.stack.await_ready()
            found = verdict.Verdict(self, took_s)
        found.count_requests(hammers)
        return found

    def await_lanes(self, begun):
        """Wait for all lanes, reporting now and then how far they are; what is left when the kills are over ends undisturbed."""
        reported_at = begun
        while not self.peace.since or any(lane.is_alive() for lane in self.lanes):
            time.sleep(0.2)
            if not self.peace.since and self.is_enough(begun):
                self.killing_s, self.asked_while_killing = time.monotonic() - begun, self.counted("asked")
                self.killer.stop()
                self.peace.begin()
            if time.monotonic() - reported_at >= REPORT_EVERY_S:
                reported_at = time.monotonic()
                self.report(reported_at - begun)

    def is_enough(self, begun):
        """Say whether the kills are to end: the time is over, and all has been asked for."""
        most_s = self.options.minutes * 60
        lasted_s = time.monotonic() - begun
        has_asked = all(lane.has_asked() for lane in self.lanes)
        return lasted_s >= most_s and (has_asked or lasted_s >= most_s * MOST_TIMES_AS_LONG)

    def report(self, after_s):
        """Report how far all lanes are."""
        print(
            f"{after_s:5.0f} s: {self.counted('asked')} asked for, {self.counted('deploys')} seen to end, "
            f"{len(self.killer.kills)} kills, {self.counted('broken')} broken",
            file=sys.stderr,
            flush=True,
        )

    def counted(self, what):
        """Return how many there are of a thing in all lanes: `asked`, `deploys` (that have ended) or `broken`."""
        return sum(len(getattr(lane, what)) for lane in self.lanes)


def main(arguments):
    """Run the soak; returns the exit code: 1 when anything is broken."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Ended in order, it takes everything it started with it.
    folder = Path(tempfile.mkdtemp(prefix="wl-soak-", dir="/tmp"))
    found = None
    try:
        with contextlib.ExitStack() as open_resources:
            found = Soak(options, folder, open_resources).run()
    except FleetError as error:
        print(f"bench/soak: {error}", file=sys.stderr)
        return 1
    finally:
        if found and not found.broken:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"database and logs: {folder}", file=sys.stderr)
    print(found.text())
    if options.json:
        options.json.write_text(json.dumps(found.as_dict(), indent=2) + "\n")
    return 1 if found.broken else 0
