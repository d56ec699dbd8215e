"""What the parts of a build share: where output goes, how much time is left, and whether somebody asked for its end."""

import contextlib
import fcntl
import os
import threading
import time

from config import data_path
from controllers.errors import BuildFailed

NAP_S = 0.05


class Interrupted(Exception):
    """The build is to end without an outcome: another worker has it, or this one is leaving."""


class Work:
    """One build in progress. output(text) takes a line for people; `stop` is set to end it; tick() is called while waiting."""

    def __init__(self, output, time_limit_s, stop=None, tick=None):
        self.output = output
        self.stop = stop or threading.Event()
        self.tick = tick or (lambda: None)
        self.time_limit_s = time_limit_s
        self.ends_at = time.monotonic() + time_limit_s

    def remaining_s(self):
        """Return the seconds left; raises BuildFailed when there are none."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise BuildFailed(f"The build took longer than {self.time_limit_s:.0f} s (setting build.timeout_s).")
        return left

    def check(self):
        """Raise Interrupted or BuildFailed when the work is not to go on; called while waiting for something."""
        self.tick()
        if self.stop.is_set():
            raise Interrupted()
        self.remaining_s()

    @contextlib.contextmanager
    def holding(self, *path, waiting):
        """Hold the lock of a file below the data folder, which other processes may have; yields its descriptor.

        `waiting` is the line for people when somebody else has it. Raises what `check` does.
        """
        descriptor = os.open(data_path(*path), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            is_announced = False
            while not is_locked(descriptor):
                if not is_announced:
                    self.output(waiting)
                    is_announced = True
                self.check()
                time.sleep(NAP_S)
            yield descriptor
        finally:
            os.close(descriptor)


def is_locked(descriptor):
    """Try to lock an open file; returns whether it is locked by us now."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
