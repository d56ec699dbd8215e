"""Circuit breakers: leave a foreign system alone that is away or has refused our credentials, and never ask it too much at once.

A circuit opens after a few failures in a row, for a while that grows; then one success closes it. Refused credentials open
it at once and until they are changed or tested: systems lock accounts that keep trying. The state is kept with the
integration, so that all processes and people see it; the failures are counted in each process.
"""

import contextlib
import threading
import time
from collections import defaultdict

from config import settings
from controllers.foreign.errors import CIRCUIT_OPEN, REFUSED_CREDENTIALS, TIMED_OUT, UNAVAILABLE, UNCLEAR, ForeignError
from utils.datekit import rfc3339

FAILURES = 5
# Kinds of errors that a circuit counts.
COUNTED = frozenset({UNAVAILABLE, TIMED_OUT, REFUSED_CREDENTIALS, UNCLEAR})
PAUSES_MS = (15_000, 30_000, 60_000, 120_000, 300_000)


def clock():
    """Return this machine's time in milliseconds since 1970: no database is asked before a foreign system is."""
    return time.time_ns() // 1_000_000


class Counts:
    """What a process counts of one integration."""

    def __init__(self):
        self.failures = 0
        self.pauses = 0
        self.slots = threading.BoundedSemaphore(settings.foreign.concurrency)


_counts = defaultdict(Counts)
_guard = threading.Lock()


def counts_of(name):
    """Return the Counts of an integration."""
    with _guard:
        return _counts[name]


def forget():
    """Forget all counts; for tests."""
    with _guard:
        _counts.clear()


class Circuit:
    """The circuit of one integration, as a driver sees it while it works. One without a name is always closed."""

    def __init__(self, access):
        self.access = access
        self.state = access.circuit
        self.overlooked = access.circuit if access.is_trial else None
        self.counts = counts_of(access.name) if access.name else Counts()

    def check(self):
        """Raise ForeignError while the system is to be left alone."""
        state = self.state
        if not state or state is self.overlooked:
            return
        if state["kind"] == REFUSED_CREDENTIALS:
            raise ForeignError(
                f"{state['reason']} It was not asked again: change the credentials of the integration "
                f"'{self.access.name}', or test it if they are right now.",
                REFUSED_CREDENTIALS,
                self.access,
            )
        left_ms = state["until"] - clock()
        if left_ms > 0:
            raise ForeignError(
                f"The integration '{self.access.name}' is left alone until {rfc3339(state['until'])} because it failed "
                f"{FAILURES} times in a row. The last time: {state['reason']}",
                CIRCUIT_OPEN,
                self.access,
                retry_after_s=-(-left_ms // 1000),
            )

    @contextlib.contextmanager
    def slot(self, timeout_s):
        """Hold one of the few requests that may be under way at once. Raises ForeignError when none gets free in time."""
        if not self.counts.slots.acquire(timeout=timeout_s):
            raise ForeignError(
                f"The integration '{self.access.name}' answers too slowly: {settings.foreign.concurrency} requests to it "
                "are under way (setting foreign.concurrency).",
                UNAVAILABLE,
                self.access,
            )
        try:
            yield
        finally:
            self.counts.slots.release()

    @contextlib.contextmanager
    def watching(self):
        """Have what is done in a `with` block asked only of a system that is not left alone, and note how it ended."""
        self.check()
        try:
            yield
        except ForeignError as error:
            if error.kind in COUNTED and not self.is_our_haste(error):
                self.failed(error)
            raise
        self.succeeded()

    def is_our_haste(self, error):
        """Say whether a system was only slower than somebody was ready to wait, which is no failure of its own."""
        return error.kind == TIMED_OUT and error.vendor_status is None and self.access.until is not None

    def succeeded(self):
        """Note that the system answered."""
        self.counts.failures = self.counts.pauses = 0
        if self.state:
            self.keep(None)

    def failed(self, error):
        """Note an error: one that says that the system is away, or that the credentials are refused."""
        if error.kind == REFUSED_CREDENTIALS:
            self.keep({"kind": error.kind, "reason": error.detail, "until": None})
            return
        self.counts.failures += 1
        if self.counts.failures >= FAILURES or self.state:
            pause_ms = PAUSES_MS[min(self.counts.pauses, len(PAUSES_MS) - 1)]
            self.counts.pauses += 1
            self.keep({"kind": error.kind, "reason": error.detail, "until": clock() + pause_ms})

    def keep(self, state):
        """Set the state, here and where other processes see it."""
        self.state = state
        if self.access.keep_circuit:
            self.access.keep_circuit(state)


def describe(state):
    """Return a stored state in the API's shape: closed, open, or half-open when the next request may try."""
    if not state:
        return {"state": "closed", "until": None, "reason": None}
    is_waiting = state["until"] is None or state["until"] > clock()
    return {
        "state": "open" if is_waiting else "half-open",
        "until": rfc3339(state["until"]),
        "reason": state["reason"],
    }
