"""Write down what happens on one host: steps before and after, output in batches, secrets masked.

`Recorder` does so for a host run; `History` is the part of it that a command's run shares.

Events are kept for a moment and written together, by a thread of its own: a host sends some thirty within a tenth of a
second, and a transaction for each would cost more than what they report.
"""

import logging
import threading
import time

import failpoints
from controllers import events
from masking import Masker
from models import Step
from models.db import clock, connection, database

STEPS = ("connect", "preflight", "ship", "environment", "configure", "start", "check", "switch", "drain", "clean")
GATHER_S = 0.1
RETRY_S = 1.0
FLUSH_ITEMS = 500

log = logging.getLogger(__name__)


class History:
    """What one attempt to work on a host adds to a topic, between `with` and its end. `secrets` are values not to be shown."""

    def __init__(self, topic, run, secrets=()):
        self.topic = topic
        self.run = run
        self.host = run.host.name
        self.masked = Masker(secrets)
        self.waiting = []
        self.changing = threading.Lock()
        self.flushing = threading.Lock()
        self.pending, self.over = threading.Event(), threading.Event()
        self.begun_at = clock() - time.monotonic() * 1000
        self.writer = threading.Thread(target=self._write_on, name=f"record-{topic}-{run.id}", daemon=True)

    def __enter__(self):
        self.writer.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.pending.set()
        self.writer.join()

    def _write_on(self):
        """Write events soon after they came, until the end."""
        while not self.over.is_set():
            self.pending.wait()
            self.over.wait(GATHER_S)
            self.pending.clear()
            try:
                with connection():
                    self.flush()
            except Exception as error:  # The database may be away for a moment; nothing is forgotten meanwhile.
                log.warning("the history of %s cannot be written now: %s", self.topic, error)
                self.over.wait(RETRY_S)
                self.pending.set()

    def time(self):
        """Return the database's time in milliseconds, by this process's steady clock."""
        return int(self.begun_at + time.monotonic() * 1000)

    def note(self, item):
        """Keep an event for the next batch."""
        with self.changing:
            self.waiting.append({"host": self.host, "at": self.time(), **item})
            is_much = len(self.waiting) >= FLUSH_ITEMS
        self.pending.set()
        if is_much:
            self.flush()  # Whoever talks faster than we write has to wait.

    def output(self, step, text):
        """Note output of a step, None outside of any."""
        self.note({"kind": "output", "step": step, "text": self.masked(text)})

    def flush(self):
        """Write all events up to now, in one transaction; on failure nothing is forgotten."""
        with self.flushing:
            with self.changing:
                items, more = list(self.waiting), self.taken()
            if not items and not more:
                return
            with database.atomic():
                if self.keep(more) and items:
                    events.append(self.topic, items)
            with self.changing:
                del self.waiting[: len(items)]
                self.written(more)

    def taken(self):
        """Return what else is to be written now, beside the events; called while nothing changes it."""

    def keep(self, more):
        """Write what taken() returned, in the transaction of the events; returns whether these are to be written as well."""
        return True

    def written(self, more):
        """Forget what keep() has written; called while nothing changes it."""


class Recorder(History):
    """The history of one attempt of a host run, with its steps."""

    def __init__(self, run, secrets=(), names=STEPS):
        super().__init__(f"deploy-{run.deploy_id}", run, secrets)
        self.names = names  # of all steps, in their order
        self.current = None
        self.steps = {}  # name -> columns of its row, as last reported
        self.unwritten = set()  # names of steps that have changed since the last flush

    def take_event(self, event):
        """Take one event of the host's agent."""
        kind = event.get("event")
        if kind == "step":
            self.step(event["step"], event["state"], event.get("message"))
        elif kind == "output":
            self.output(event.get("step"), event["text"])
        elif kind == "progress":
            self.note(
                {
                    "kind": "progress",
                    "step": event.get("step"),
                    "data": {"done": event.get("done"), "total": event.get("total")},
                }
            )

    def step(self, name, state, message=None):
        """Note that a step begins (running) or ended (done, failed, skipped)."""
        message = self.masked(message) if message else None
        is_first = name not in self.steps
        with self.changing:
            self.current = name if state == "running" else self.current
            columns = self.steps.get(name) or {"started_at": self.time()}
            self.steps[name] = {
                **columns,
                "state": state,
                "message": message,
                "ended_at": None if state == "running" else self.time(),
            }
            self.unwritten.add(name)
        item = {"kind": "step", "step": name, "data": {"state": state}}
        self.note({**item, "text": message} if message else item)
        what = "restore" if self.run.goal == "restore" else "host_run"
        if is_first:
            failpoints.reach(f"{what}.{name}.before")
        if state != "running":
            failpoints.reach(f"{what}.{name}.after")

    def taken(self):
        """Return the rows of the steps that have begun."""
        return [self._row(name) for name in self.unwritten]

    def keep(self, more):
        """Write the steps."""
        if more:
            Step.insert_many(more).on_conflict(
                conflict_target=[Step.host_run, Step.attempt, Step.name],
                preserve=[Step.state, Step.message, Step.started_at, Step.ended_at],
            ).execute()
        return True

    def written(self, more):
        """Forget the steps that have not changed since."""
        self.unwritten -= {row["name"] for row in more if self._row(row["name"]) == row}

    def _row(self, name):
        """Return the columns of a step's row."""
        position = self.names.index(name) if name in self.names else len(self.names)
        return {
            "host_run": self.run.id,
            "attempt": self.run.attempt,
            "name": name,
            "position": position,
            **self.steps[name],
        }

    def fail_current(self, message):
        """Mark the step that was under way as failed."""
        if self.current and self.steps[self.current]["state"] == "running":
            self.step(self.current, "failed", message)
        self.flush()

    def skip_rest(self, message):
        """Mark every step that was not needed."""
        for name in self.names:
            if name not in self.steps:
                self.step(name, "skipped", message)
