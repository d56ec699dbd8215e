"""Write down what happens on one host: steps before and after, output in batches, secrets masked."""
import threading
import time

from controllers import events
from models import Step
from models.db import now

STEPS = ("connect", "preflight", "ship", "environment", "configure", "start", "check", "switch", "drain", "clean")
FLUSH_S = 0.2
FLUSH_ITEMS = 200
MASK = "••••••"
SHORTEST_MASKED = 4  # Masking shorter values would make every output unreadable and hide nothing.


class Recorder:
    """The history of one attempt of a host run. `secrets` are values that must not be shown."""

    def __init__(self, run, secrets=()):
        self.run = run
        self.host = run.host.name
        self.topic = f"deploy-{run.deploy_id}"
        self.secrets = sorted((value for value in secrets if len(value) >= SHORTEST_MASKED), key=len, reverse=True)
        self.waiting = []
        self.lock = threading.Lock()
        self.flushed_at = time.monotonic()
        self.current = None

    def masked(self, text):
        """Return a text without secret values."""
        for value in self.secrets:
            text = text.replace(value, MASK)
        return text

    def heard(self, event):
        """Take one event of the host's agent."""
        kind = event.get("event")
        if kind == "step":
            self.step(event["step"], event["state"], event.get("message"))
        elif kind == "output":
            self.note({"kind": "output", "step": event.get("step"), "text": self.masked(event["text"])})
        elif kind == "progress":
            self.note({"kind": "progress", "step": event.get("step"), "data": {"done": event.get("done"), "total": event.get("total")}})

    def note(self, item):
        """Keep an event for the next batch."""
        with self.lock:
            self.waiting.append({"host": self.host, **item})
        if len(self.waiting) >= FLUSH_ITEMS or time.monotonic() - self.flushed_at > FLUSH_S:
            self.flush()

    def flush(self):
        """Write the batch; the heartbeat does so too, so that the last lines before a silence are seen."""
        with self.lock:
            if self.waiting:
                events.append(self.topic, self.waiting)
                self.waiting = []
            self.flushed_at = time.monotonic()

    def output(self, step, text):
        """Note a line of Windlass's own about a step."""
        self.note({"kind": "output", "step": step, "text": self.masked(text)})

    def step(self, name, state, message=None):
        """Note that a step begins (running) or ended (done, failed, skipped)."""
        message = self.masked(message) if message else None
        self.current = name if state == "running" else self.current
        self._write_step(name, state, message)
        item = {"kind": "step", "step": name, "data": {"state": state}}
        self.note({**item, "text": message} if message else item)
        self.flush()

    def _write_step(self, name, state, message):
        ended_at = None if state == "running" else now()
        where = (Step.host_run == self.run.id, Step.attempt == self.run.attempt, Step.name == name)
        if not Step.update(state=state, message=message, ended_at=ended_at).where(*where).execute():
            Step.create(host_run=self.run.id, attempt=self.run.attempt, position=STEPS.index(name) if name in STEPS else len(STEPS),
                        name=name, state=state, message=message, started_at=now(), ended_at=ended_at)

    def fail_current(self, message):
        """Mark the step that was under way as failed."""
        if self.current:
            running = Step.get_or_none(Step.host_run == self.run.id, Step.attempt == self.run.attempt, Step.name == self.current)
            if running and running.state == "running":
                self.step(self.current, "failed", message)
        self.flush()

    def skip_rest(self, message):
        """Mark every step that was not needed."""
        done = {row.name for row in Step.select(Step.name).where(Step.host_run == self.run.id, Step.attempt == self.run.attempt)}
        for name in STEPS:
            if name not in done:
                self.step(name, "skipped", message)
