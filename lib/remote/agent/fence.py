"""Refuse stale workers by their epoch, lock an application on a host, and keep the journal of what was done."""

import fcntl
import json
import os
import signal
import time

from remote.agent.failures import FULL, Failure
from remote.agent.machine.commands import start_time
from remote.agent.machine.files import read_bytes, read_json, write_all, write_file


class Fence:
    """Who may change an application on this host: the newest epoch announced, and a lock that dies with its holder."""

    def __init__(self, place, epoch, deploy):
        self.place, self.epoch, self.deploy = place, epoch, deploy
        self.lock = None

    def path(self):
        """Return the path of the newest epoch announced."""
        return self.place.state + "/epoch"

    def announced(self):
        """Return the newest announcement: {"epoch", "deploy"}."""
        return read_json(self.path()) or {"epoch": 0, "deploy": None}

    def is_overtaken(self):
        """Say whether somebody newer has come."""
        return self.announced()["epoch"] > self.epoch

    def announce(self):
        """Make our epoch known, so that an older holder stops; raise Failure "fenced" when we are the older one."""
        guard = os.open(self.place.state + "/epoch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            newest = self.announced()
            is_foreign = newest["epoch"] == self.epoch and newest["deploy"] != self.deploy
            if newest["epoch"] > self.epoch or is_foreign:
                raise Failure(
                    "fenced",
                    "Epoch {} of deploy {} is not newer than epoch {} of deploy {} seen on this host.".format(
                        self.epoch, self.deploy, newest["epoch"], newest["deploy"]
                    ),
                    "A newer run is in charge; there is nothing to do.",
                    epoch=newest["epoch"],
                )
            self.write(json.dumps({"epoch": self.epoch, "deploy": self.deploy}).ljust(96))
        finally:
            os.close(guard)

    def write(self, text):
        """Write the epoch; on a full disk into the old file, which needs no new block."""
        try:
            write_file(self.path(), text, 0o600)
        except OSError as error:
            if error.errno not in FULL or len(read_bytes(self.path()) or b"") != len(text):
                raise
            handle = os.open(self.path(), os.O_WRONLY)
            try:
                os.pwrite(handle, text.encode(), 0)
                os.fsync(handle)
            finally:
                os.close(handle)

    def acquire(self, wait_s, control):
        """Take the lock, waiting up to `wait_s` seconds for an older holder to stop; one that does not stop is killed.

        Killing is sound because every change is made so that a kill at any point does no harm, and needed because a holder
        that is frozen (SIGSTOP, a hung disk) would otherwise keep the host for ever.
        """
        lock = os.open(self.place.state + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline, evicted = time.monotonic() + wait_s, False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = self.holder(lock)
                    if evicted or not self.evict(holder):
                        raise Failure(
                            "locked",
                            "Another run holds this application on this host: process {}, deploy {}.".format(
                                holder.get("pid"), holder.get("deploy")
                            ),
                            "Wait until it has ended, or end that process on the host.",
                            pid=holder.get("pid"),
                        ) from None
                    deadline, evicted = time.monotonic() + 5, True
            if self.is_overtaken():
                raise Failure("fenced", "A newer run has taken over while this one waited.", "Nothing to do.")
            control.pause(0.02)
        self.lock = lock
        self.sign()

    def holder(self, lock):
        """Return what the lock's holder wrote about itself."""
        try:
            return json.loads(os.pread(lock, 512, 0))
        except ValueError:
            return {}

    def evict(self, holder):
        """Kill an older holder; say whether that was done."""
        pid = holder.get("pid")
        if not pid or holder.get("epoch", self.epoch) >= self.epoch or start_time(pid) != holder.get("started"):
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            return False
        return True

    def sign(self):
        """Write into the lock who holds it."""
        about = {"pid": os.getpid(), "started": start_time(os.getpid()), "epoch": self.epoch, "deploy": self.deploy}
        os.pwrite(self.lock, json.dumps(about).ljust(256).encode(), 0)


class Journal:
    """A line for each step of each run, for people; the truth is what is found on the host."""

    LIMIT = 1 << 20

    def __init__(self, place, fence):
        self.path, self.fence = place.state + "/journal.jsonl", fence

    def note(self, step, state, message=None):
        """Append a line. A full disk does not stop a deploy here: nothing depends on these lines."""
        line = (
            json.dumps(
                {
                    "at": int(time.time() * 1000),
                    "deploy": self.fence.deploy,
                    "epoch": self.fence.epoch,
                    "step": step,
                    "state": state,
                    "message": message,
                }
            )
            + "\n"
        )
        try:
            if os.path.exists(self.path) and os.path.getsize(self.path) > self.LIMIT:
                os.rename(self.path, self.path + ".1")
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                write_all(handle, line.encode())
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno not in FULL:
                raise
