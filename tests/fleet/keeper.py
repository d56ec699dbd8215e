"""Start, await and stop the processes of a test; the reaper (reaper.py) sees to it that none is left behind.

with Keeper() as keeper:
    process = keeper.start(["redis-server", …], output="/tmp/wl-x/redis.log")
    await_process(process, lambda: is_listening(address))
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

REAPER = Path(__file__).with_name("reaper.py")
BARE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The programs that tests look for, and the Debian packages that bring them. tests/etc/test_fresh_machine.py proves that
# `etc/provision.sh test` installs each one on a machine that has nothing.
PROGRAMS = {
    "apt-get": "apt",
    "chromium": "chromium",
    "createdb": "postgresql",
    "epmd": "rabbitmq-server",
    "git": "git",
    "initdb": "postgresql",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nginx": "nginx",
    "pg_isready": "postgresql",
    "postgres": "postgresql",
    "puppet": "puppet-agent",
    "python3": "python3",
    "rabbitmq-server": "rabbitmq-server",
    "redis-server": "redis-server",
    "rsync": "rsync",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "sudo": "sudo",
    "supervisord": "supervisor",
    "systemd-analyze": "systemd",
    "unshare": "util-linux",
    "visudo": "sudo",
}
POSTGRESQL = "/usr/lib/postgresql/*/bin"
RABBITMQ = "/usr/lib/rabbitmq/bin"


class FleetError(Exception):
    """A part of the fleet did not do what it was asked; the message says which and why."""


class NotAvailable(FleetError):
    """Something a test needs is not on this machine: a program, a right. Tests skip then, with the reason `needs: …`."""


def find_program(name, *places):
    """Return the absolute path of one of PROGRAMS, looked for in `places` (patterns allowed) and then in the usual folders.

    Raises NotAvailable, which tests turn into a skip.
    """
    package = PROGRAMS[name]
    for place in places:
        found = sorted(Path("/").glob(f"{place.lstrip('/')}/{name}"), reverse=True)
        if found:
            return str(found[0])
    for folder in [*os.environ.get("PATH", "").split(":"), *BARE_PATH.split(":")]:
        if os.access(f"{folder}/{name}", os.X_OK):
            return f"{folder}/{name}"
    raise NotAvailable(f"{name} of the package {package} (etc/provision.sh test)")


def bare_environment():
    """Return the environment of a service on a bare machine: nothing of the developer's."""
    return {"PATH": BARE_PATH, "LANG": "C.UTF-8", "HOME": os.path.expanduser("~")}


class Keeper:
    """The owner's end of a reaper; a context manager, usable from several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._process = self._channel = self._answers = None

    def __enter__(self):
        ours, theirs = socket.socketpair()
        with theirs:
            argv = [sys.executable, "-IS", str(REAPER), str(theirs.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(
                argv,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._channel, self._answers = ours, ours.makefile("rb")
        return self

    def __exit__(self, *_):
        self._answers.close()
        self._channel.close()
        self._process.wait()

    @property
    def pid(self):
        """The reaper's process id."""
        return self._process.pid

    def start(self, argv, output, env=None, cwd=None, user=None, stop_signal=signal.SIGKILL):
        """Start a process from an argv list.

        `output` is the file its output is appended to, `env` its whole environment (default: a bare one), `user` a user name
        to become (root only), `stop_signal` what ends it in order. Returns a Process; raises FleetError when it cannot start.
        """
        answer = self.ask(
            "start",
            argv=[str(part) for part in argv],
            output=str(output),
            cwd=cwd and str(cwd),
            user=user,
            env=bare_environment() if env is None else env,
            stop_signal=int(stop_signal),
        )
        return Process(self, answer["pid"], stop_signal, Path(output), argv)

    def claim(self, name):
        """Claim a name for as long as this keeper lives; returns whether nobody on this machine had it."""
        return self.ask("claim", name=name)["claimed"]

    def entrust(self, folder):
        """Have a folder removed at the end, whatever happens."""
        self.ask("entrust", folder=str(folder))

    def ask(self, verb, **fields):
        """Send one request to the reaper and return its answer; raises FleetError when it failed."""
        with self._lock:
            self._channel.sendall(json.dumps({"do": verb, **fields}).encode() + b"\n")
            line = self._answers.readline()
        if not line:
            raise FleetError("the process that keeps the fleet's daemons is gone")
        answer = json.loads(line)
        if "error" in answer:
            raise FleetError(f"{verb} {fields.get('argv', '')}: {answer['error']}")
        return answer


class Process:
    """One started process."""

    def __init__(self, keeper, pid, stop_signal, output, argv):
        self.keeper, self.pid, self.stop_signal, self.output, self.argv = keeper, pid, stop_signal, output, argv

    @property
    def is_running(self):
        """Whether it has not ended."""
        return is_running(self.pid)

    def stop(self, number=None, grace_s=10, tree=True):
        """End it with a signal (default: its own), killed after `grace_s` seconds; `tree`: with everything below it."""
        self.keeper.ask("stop", pid=self.pid, number=int(number or self.stop_signal), grace_s=grace_s, tree=tree)

    def log(self, lines=15):
        """Return the last lines of its output."""
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def is_running(pid):
    """Whether a process exists and is no zombie."""
    try:
        return Path("/proc", str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def await_process(process, is_ready, timeout_s=20):
    """Wait until `is_ready()`; raises FleetError with the end of the output if the process dies or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        if not process.is_running:
            raise FleetError(f"{process.argv[0]} ended at once:\n{process.log()}")
        if time.monotonic() > deadline:
            raise FleetError(f"{process.argv[0]} was not ready after {timeout_s} s:\n{process.log()}")
        time.sleep(0.01)  # Nobody tells when a foreign daemon listens; connecting is the only way to know.


def is_listening(address):
    """Whether something accepts connections at `address`: a path of a unix socket or a (host, port) pair."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


def free_port(address="127.0.0.1"):
    """Return a TCP port that nobody listens on at `address` just now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]
