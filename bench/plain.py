"""The baseline: plain ssh, rsync and uv in parallel, doing the same work on the same hosts as Windlass.

The virtualenv is built once by uv and shipped once for each set of dependencies; code goes by rsync against the release
before; one streamed script (bench/plain_host.py) does the rest on each host. Two SSH connections for a host that gets new code.
"""

import concurrent.futures
import hashlib
import json
import re
import shlex
import subprocess
from pathlib import Path

from bench.meter import Meter, own_cpu_s
from tests.fleet.keeper import find_program

HOST_SCRIPT = Path(__file__).with_name("plain_host.py")
APP = "plain"
SENT = re.compile(r"Total bytes sent: ([\d,]+)")


class PlainFailure(Exception):
    """A release was not healthy on a host."""


class Plain:
    """Deploys the workload to `hosts` by hand; `folder` is its working space, `uv` the program."""

    def __init__(self, hosts, key_file, workload, folder, uv, health_timeout_s):
        self.hosts, self.key_file, self.workload = list(hosts), key_file, workload
        self.folder, self.uv, self.health_timeout_s = Path(folder), uv, health_timeout_s
        self.shipped, self.released, self.previous = set(), None, None

    def measure(self, work, *arguments):
        """Return the Cost of one piece of work."""
        with Meter(own_cpu_s) as meter:
            meter.cost.sent_bytes = work(*arguments)
        return meter.cost

    def everywhere(self, work, *arguments):
        """Do `work(host, …)` on all hosts at once; returns the results."""
        with concurrent.futures.ThreadPoolExecutor(len(self.hosts)) as pool:
            return list(pool.map(lambda host: work(host, *arguments), self.hosts))

    def connect(self):
        """Log in everywhere and do nothing; returns the bytes sent as far as they are known: none."""
        self.everywhere(lambda host: subprocess.run([*host.ssh_argv(self.key_file), "true"], check=True))
        return 0

    def deploy(self, tag):
        """Build and roll out a tag, unless it runs everywhere already; returns the bytes sent. Raises PlainFailure."""
        release = self.workload.git(
            "rev-parse", "--short=12", f"{tag}^{{commit}}", stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        if release == self.released:
            found, sent = zip(*self.everywhere(self.order, "current", release), strict=False)
            if set(found) == {release}:
                return sum(sent)
        tree = self.folder / "releases" / release
        if not tree.exists():
            self.workload.check_out(tag, tree)
        environment = self.environment(tree / "requirements.txt")
        link = tree / "env"
        if not link.is_symlink():
            link.symlink_to(f"../../envs/{environment.name}")
        sent = sum(self.everywhere(self.roll_out, release, environment))
        self.shipped.add(environment.name)
        self.previous, self.released = self.released, release
        return sent

    def roll_back(self):
        """Go back to the release that still runs in the other slot; returns the bytes sent."""
        healthy, sent = zip(*self.everywhere(self.order, "roll-back", self.previous), strict=False)
        if not all(healthy):
            raise PlainFailure("the release before is not healthy")
        self.previous, self.released = self.released, self.previous
        return sum(sent)

    def environment(self, lock):
        """Return the folder of the virtualenv for a lock, built if it is not there yet."""
        folder = self.folder / "envs" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
        if not folder.exists():
            python = self.hosts[0].python
            subprocess.run([self.uv, "venv", "--quiet", "--relocatable", "--python", python, str(folder)], check=True)
            subprocess.run(
                [
                    self.uv,
                    "pip",
                    "sync",
                    "--quiet",
                    "--require-hashes",
                    "--compile-bytecode",
                    "--link-mode",
                    "copy",
                    "--python",
                    str(folder / "bin" / "python"),
                    str(lock),
                ],
                check=True,
            )
        return folder

    def roll_out(self, host, release, environment):
        """Ship what a host lacks and start it; returns the bytes sent. Raises PlainFailure."""
        sent = 0
        if environment.name not in self.shipped:
            sent += self.rsync(host, environment, f"{APP}/envs/{environment.name}")
        base = [f"--link-dest=../{self.released}"] if self.released else []
        sent += self.rsync(host, self.folder / "releases" / release, f"{APP}/releases/{release}", *base)
        healthy, more = self.order(host, "activate", release)
        if not healthy:
            raise PlainFailure(f"{release} is not healthy on {host.name}")
        return sent + more

    def rsync(self, host, source, target, *options):
        """Copy a folder to below a host's root; returns the bytes sent."""
        *ssh, address = host.ssh_argv(self.key_file)
        argv = [
            find_program("rsync"),
            "-a",
            "--mkpath",
            "--stats",
            *options,
            "-e",
            shlex.join(ssh),
            f"{source}/",
            f"{address}:{host.root}/{target}/",
        ]
        done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
        return int(SENT.search(done.stdout)[1].replace(",", ""))

    def order(self, host, verb, release):
        """Run the script on a host; returns (its result, bytes sent)."""
        settings = host.settings
        order = json.dumps(
            {
                "do": verb,
                "app": APP,
                "root": str(host.root),
                "release": release,
                "health_timeout_s": self.health_timeout_s,
                "programs": settings["supervisor"]["programs"],
                "supervisorctl": settings["supervisor"]["command"],
                "sites": settings["nginx"]["sites"],
                "nginx": settings["nginx"]["command"],
                "listen": settings["nginx"]["listen"],
            }
        )
        script = HOST_SCRIPT.read_bytes()
        command = shlex.join([host.python, "-", order])
        done = subprocess.run([*host.ssh_argv(self.key_file), command], input=script, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout), len(script) + len(command)
