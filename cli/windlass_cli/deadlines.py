"""How long somebody is willing to wait."""

import math
import time

from windlass_cli.errors import WaitTimedOut


class Deadline:
    """A moment ``seconds`` from now, or never when ``seconds`` is None.

    One deadline is handed through everything that a command waits for, so that building and rolling out share it.
    """

    def __init__(self, seconds=None, clock=time.monotonic):
        self.seconds = seconds
        self._clock = clock
        self._end = math.inf if seconds is None else clock() + seconds

    def left(self, most):
        """Return the seconds left, ``most`` at the most; raise WaitTimedOut when there are none."""
        left = self._end - self._clock()
        if left <= 0:
            raise WaitTimedOut(f"Not over within {self.seconds:g} s (--timeout).")
        return min(left, most)

    def sleep(self, seconds):
        """Sleep for ``seconds``, less when the deadline comes first; then the next use raises WaitTimedOut."""
        time.sleep(self.left(seconds))
        self.left(seconds)
