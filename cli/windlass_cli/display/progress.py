"""What is known of a rollout from its events: pure bookkeeping, for the displays to draw."""

import collections
import datetime
import time
from dataclasses import dataclass, field

from windlass_cli.api.feed import data_of, state_of

ENDED_RUNS = {"succeeded", "unchanged", "failed", "rolled_back", "skipped", "unreachable"}
BAD_RUNS = {"failed", "rolled_back", "unreachable"}
#: Lines of output kept per host, to be shown when the host fails.
TAIL = 20


@dataclass
class HostRun:
    """One host's part: its state, the step it is at, and the last of its output."""

    name: str
    state: str = "pending"
    wave: int | None = None
    step: str = ""
    step_state: str = ""
    text: str = ""
    fraction: float | None = None
    began: float | None = None
    began_at: str | None = None
    took_s: float | None = None
    tail: collections.deque = field(default_factory=lambda: collections.deque(maxlen=TAIL))

    @property
    def is_over(self):
        """Say whether this host's part has ended."""
        return self.state in ENDED_RUNS

    @property
    def is_bad(self):
        """Say whether it ended badly."""
        return self.state in BAD_RUNS


class Rollout:
    """A deploy as its events tell it. ``clock`` gives seconds and may be any that only rises."""

    def __init__(self, deploy, hosts=(), clock=time.monotonic):
        self.deploy = deploy
        self.state = deploy.get("state", "")
        self.hosts = {}
        self.began = clock()
        self._clock = clock
        for run in hosts:
            if run.get("host"):
                self.hosts[run["host"]] = HostRun(run["host"], run.get("state") or "pending", run.get("wave"))

    def apply(self, event):
        """Take one event into account and return the HostRun it is about, None when it is about no host."""
        if event.get("kind") == "deploy":
            self.state = state_of(event) or self.state
        name = event.get("host")
        if not isinstance(name, str):
            return None
        run = self.hosts.setdefault(name, HostRun(name))
        change = {"host": self._host, "step": self._step, "output": self._output, "progress": self._progress}
        change.get(event.get("kind"), lambda run, event: None)(run, event)
        return run

    def elapsed_s(self):
        """Return the seconds since this rollout was first looked at."""
        return self._clock() - self.began

    def run_s(self, run):
        """Return the seconds that ``run`` took or has taken up to now, None when it has not begun."""
        if run.is_over:
            return run.took_s
        return self._clock() - run.began if run.began is not None else None

    def counts(self):
        """Return (hosts, ended, ended badly)."""
        runs = self.hosts.values()
        return len(runs), sum(run.is_over for run in runs), sum(run.is_bad for run in runs)

    def _host(self, run, event):
        run.state = state_of(event) or run.state
        run.wave = data_of(event).get("wave", run.wave)
        # The last words of a host's last step explain a failure; after a success they say nothing.
        run.text = event.get("text") or ("" if run.is_over and not run.is_bad else run.text)
        if run.is_over:
            run.took_s = _seconds_between(run.began_at, event.get("at"))
            run.fraction = None
        elif run.state == "running":
            run.began, run.began_at, run.took_s = self._clock(), event.get("at"), None

    def _step(self, run, event):
        run.step = event.get("step") or run.step
        run.step_state = state_of(event) or "running"
        if run.step_state == "running":
            run.tail.clear()  # what an earlier step that went well had to say explains no failure
        run.text = event.get("text") or ""
        run.fraction = None

    def _output(self, run, event):
        run.tail.extend(str(event.get("text") or "").splitlines())

    def _progress(self, run, event):
        data = data_of(event)
        sent, total = data.get("sent", data.get("done")), data.get("total")
        numbers = isinstance(sent, (int, float)) and isinstance(total, (int, float))
        run.fraction = min(1.0, max(0.0, sent / total)) if numbers and total > 0 else None


def _seconds_between(start, end):
    """Return the seconds between two times of the API, None when one of them is missing or no time."""
    try:
        return (datetime.datetime.fromisoformat(end) - datetime.datetime.fromisoformat(start)).total_seconds()
    except (TypeError, ValueError):
        return None
