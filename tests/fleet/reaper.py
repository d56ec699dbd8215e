"""The process that owns a test's daemons, so that none of them outlives the test, however the test ends.

Run as a program: `python -IS reaper.py CHANNEL OWNER`, with a connected socket's descriptor and the owner's process id. It
starts and stops processes on request (one JSON object a line, one answer each). When the owner says so, closes the channel
or dies, it ends every process below it, removes the folders entrusted to it and leaves. Being a subreaper (prctl(2)) it
inherits every orphan of its daemons; should it be killed itself, the kernel ends what it started (PR_SET_PDEATHSIG).
"""

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LAST_GRACE_S = 5
LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option, value):
    """Call prctl(2) with one argument; raises OSError."""
    if LIBC.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def processes():
    """Return {pid: (parent's pid, start time)} of all processes that still run, from proc_pid_stat(5)."""
    table = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:  # Gone since it was listed.
            continue
        fields = stat.rpartition(")")[2].split()
        if fields[0] not in "ZX":
            table[int(entry)] = (int(fields[1]), int(fields[19]))
    return table


def descendants(pid):
    """Return {pid: start time} of all running processes below `pid`."""
    table = processes()
    found, level = {}, {pid}
    while level:
        level = {child for child, (parent, _) in table.items() if parent in level and child not in found}
        found.update((child, table[child][1]) for child in level)
    return found


def send(pid, number):
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def remove_folder(folder):
    """Remove a folder with all in it: what is mounted there, and what was made read-only."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
        subprocess.run(["umount", "-l", mount], check=False)
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


class Reaper:
    """Starts, stops and buries processes on behalf of the owner at the other end of `channel`."""

    def __init__(self, channel, owner):
        self.channel = channel
        self.owner = os.pidfd_open(owner)
        self.started = {}  # pid -> (Popen, the signal that ends it in order)
        self.folders = []
        self.claims = []
        self.births, writer = os.pipe()
        for end in (self.births, writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self):
        """Carry out requests until the owner has enough or is gone; then end everything."""
        received = b""
        while True:
            ready = self.wait_for(self.channel, self.owner)
            self.bury()
            if self.channel in ready:
                chunk = self.channel.recv(65536)
                received += chunk
                *lines, received = received.split(b"\n")
                for line in lines:
                    self.channel.sendall(json.dumps(self.answer(json.loads(line))).encode() + b"\n")
            if self.owner in ready or (self.channel in ready and not chunk):
                return self.end_everything()

    def wait_for(self, *files, timeout_s=None):
        """Wait until one of `files` is readable or a child has died; returns those readable."""
        ready = select.select([self.births, *files], [], [], timeout_s)[0]
        if self.births in ready:
            os.read(self.births, 4096)
        return ready

    def answer(self, request):
        """Carry out one request; returns its answer, {"error": text} when it failed."""
        verb = {"start": self.start, "stop": self.stop, "claim": self.claim, "entrust": self.entrust}[request.pop("do")]
        try:
            return verb(**request)
        except (OSError, subprocess.SubprocessError) as error:
            return {"error": str(error)}

    def start(self, argv, output, env, cwd, user, stop_signal):
        """Start a process in a session of its own, its output appended to the file `output`."""
        identity = {"user": user, "group": user, "extra_groups": []} if user else {}
        # Should this process be killed, its children get a chance to end their own children: those have no other parent.
        on_death = signal.SIGTERM if stop_signal == signal.SIGKILL else stop_signal
        with open(output, "ab") as log:
            process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, on_death),
                **identity,
            )
        self.started[process.pid] = (process, stop_signal)
        return {"pid": process.pid}

    def stop(self, pid, number, grace_s, tree):
        """Signal a process and wait until it is gone, killed after `grace_s`; with `tree`, all below it go too."""
        below = descendants(pid) if tree else {}
        if pid in self.started:
            send(pid, number)
            self.wait_until_gone([pid], grace_s)
            send(pid, signal.SIGKILL)
        now = processes()
        for child, born in below.items():
            if child in now and now[child][1] == born:
                send(child, signal.SIGKILL)
        self.wait_until_gone([pid, *below], LAST_GRACE_S)
        return {}

    def wait_until_gone(self, pids, timeout_s):
        """Wait until none of `pids` runs, at most `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.bury()
            running = processes()
            left = deadline - time.monotonic()
            if left <= 0 or not any(pid in running for pid in pids):
                return
            self.wait_for(timeout_s=min(left, 0.05))

    def bury(self):
        """Take note of every child that has died."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            process, _ = self.started.pop(pid, (None, None))
            if process:
                process.returncode = os.waitstatus_to_exitcode(status)

    def claim(self, name):
        """Claim a name machine-wide for as long as this process lives, by an abstract socket (unix(7))."""
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind("\0" + name)
        except OSError:
            claim.close()
            return {"claimed": False}
        self.claims.append(claim)
        return {"claimed": True}

    def entrust(self, folder):
        """Take charge of removing a folder at the end."""
        self.folders.append(folder)
        return {}

    def end_everything(self):
        """End what was started in the order it asks for, then everything below this process, then the folders."""
        orderly = [pid for pid, (_, number) in self.started.items() if number != signal.SIGKILL]
        for pid in orderly:
            send(pid, self.started[pid][1])
        self.wait_until_gone(orderly, LAST_GRACE_S)
        for _ in range(3):  # Whatever forks while it is being killed is an orphan, and ours, the next time round.
            left = descendants(os.getpid())
            for pid in left:
                send(pid, signal.SIGKILL)
            self.wait_until_gone(left, LAST_GRACE_S)
        for folder in self.folders:
            remove_folder(folder)


def main():
    """Serve the owner given on the command line."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # The owner's death or its word ends this process, nothing else.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    Reaper(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).serve()


if __name__ == "__main__":
    main()
