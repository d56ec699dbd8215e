"""Carry a command out on one host: claim the run, have the host's agent run or follow it, write down how it ended.

A command is not idempotent. The host keeps a record of each, so that one which a dead worker has left is followed and never
run again; where even the host cannot know how it ended, that is what is written down. One that a host was to begin long ago,
by a worker that died before it asked, is not begun any more.
"""

import contextlib
import functools
import logging
import signal
import threading

from peewee import InterfaceError, OperationalError

import failpoints
from config import settings
from controllers import transports
from controllers.commands import commands
from controllers.errors import StepFailed
from controllers.jobs import leases, queue, transitions, workers
from controllers.jobs.history import FLUSH_ITEMS, History
from models import Command, CommandRun, Host, Zone
from models.db import clock, now
from remote.session import AgentError, ConnectionLost
from remote.ssh import Unreachable

MOST_ATTEMPTS = 3  # to reach a host
MOST_DEATHS = 20
AGAIN_MS = (1_000, 4_000, 15_000)
RUNG_AT_ONCE = 200
LOCK_WAIT_S = 5
PATIENCE_S = 120  # Beyond its time limit a command has ended, so a host that answers again tells how.
PASSING = frozenset({"fenced", "locked", "lost", "handed-over", "aborted"})
# The first time a host is asked, these mean that it has not begun; later only what the agent says of that is certain.
BEFORE_IT_BEGAN = frozenset(
    {"bad-request", "disk-full", "permission-denied", "python-missing", "python-too-old", "read-only"}
)

log = logging.getLogger(__name__)


@functools.cache
def room():
    """Return this worker's places for commands: half its threads, so that long commands do not hold up the rollouts."""
    return threading.BoundedSemaphore(max(1, settings.worker.concurrency // 2))


def carry_out(run_id):
    """Run a command on one host, or follow it there, unless somebody does; safe to call at any time."""
    if not room().acquire(blocking=False):
        return  # Whoever leaves a place rings for the next one.
    try:
        run = leases.claim(CommandRun, run_id, is_to_be_done(), attempt=CommandRun.attempt + 1, due_at=None)
        if run is not None and is_hopeless(run):
            give_up(run)
        elif run is not None:
            CommandDriver(run).drive()
    finally:
        room().release()
    if run is not None:
        ring_next(run.host)


def is_hopeless(run):
    """Say whether the workers have died one after the other of this run, and a command that has begun has surely ended."""
    return run.attempt > MOST_DEATHS and (run.state == "pending" or clock() > patient_until(run))


def patient_until(run):
    """Return up to when (database milliseconds) the host of a command that has begun is asked how it ended."""
    return run.asked_at + (run.command.time_limit_s + PATIENCE_S) * 1000


def give_up(run):
    """End such a run."""
    message = f"the worker died in each of {run.attempt - 1} attempts; look at the workers' memory and logs"
    state = "failed" if run.state == "pending" else "unclear"
    commands.end_run(run, state, leases.is_held(run), message=message, **leases.FREE)


def ring_next(host):
    """Ring for the oldest run of a host's zone that has not begun."""
    joined = CommandRun.select(CommandRun, Host, Zone).join(Host).join(Zone)
    waiting = joined.where(is_to_be_done(), leases.is_free(CommandRun), CommandRun.state == "pending")
    run = waiting.where(Host.zone == host.zone_id).order_by(CommandRun.id).first()
    if run is not None:
        queue.ring("windlass.run_command", run.id, zone=run.host.zone.name)


def is_to_be_done():
    """Return the condition under which somebody should work on a run."""
    return CommandRun.state.in_(transitions.COMMAND_RUN_GOING_ON) & leases.is_due(CommandRun)


def ring_due():
    """Ring for the runs that somebody should work on and that were not rung for just now."""
    is_free = leases.is_free(CommandRun)
    queue.ring_on_hosts("windlass.run_command", CommandRun, is_to_be_done(), is_free, most=RUNG_AT_ONCE)


class CommandHistory(History):
    """What a command says on one host. Output is written together with how far it was read, so none of it is written twice."""

    def __init__(self, run, secrets):
        super().__init__(f"command-{run.command_id}", run, secrets)
        self.told_bytes = run.told_bytes
        self.untold = []

    def heard(self, event):
        """Take one event of the host's agent."""
        if event.get("event") == "output":
            self.untold.append(
                {"kind": "output", "host": self.host, "at": self.time(), "text": self.masked(event["text"])}
            )
        elif event.get("event") == "told":
            self.take_untold(event["offset"])

    def take_untold(self, told_bytes=None):
        """Have the output that was heard written, and with it that it was read up to `told_bytes`."""
        with self.changing:
            self.waiting += self.untold
            self.untold = []
            self.told_bytes = self.told_bytes if told_bytes is None else told_bytes
            is_much = len(self.waiting) >= FLUSH_ITEMS
        self.news.set()
        if is_much:
            self.flush()

    def taken(self):
        """Return up to which byte the output is written with the events at hand."""
        return self.told_bytes if self.waiting else None

    def keep(self, more):
        """Write that, while the run is ours; else whoever has it now writes the same output."""
        held = leases.is_held(self.run)
        return more is None or bool(CommandRun.update(told_bytes=more).where(held).execute())


class CommandDriver:
    """One attempt to run a command on one host."""

    def __init__(self, run):
        self.run, self.command, self.host = run, run.command, run.host
        self.had_begun = run.state == "running"
        self.history = CommandHistory(
            run, commands.secrets_on([self.host], self.command.application, self.command.environment)
        )
        self.session = None
        self.stopped_because = None

    def drive(self):
        """Have it run and write down how it ended, whatever happens."""
        with self.history, leases.heartbeats(self.run, lost=lambda: self.stop("fenced"), look=self.look):
            try:
                with contextlib.closing(self):
                    answer = self.ask()
                self.ended(answer)
            except (AgentError, StepFailed) as error:
                self.refused(error)
            except ConnectionLost as error:
                self.cut_off(error)
            except (OperationalError, InterfaceError) as error:
                log.warning(
                    "command run %s: the database did not take a write (%s); it goes on later", self.run.id, error
                )
                # Where that fails too, it is taken up when the lease is over.
                with contextlib.suppress(OperationalError, InterfaceError):
                    self.put_back(AGAIN_MS[0])
            except Exception as error:
                log.exception("command %s on %s failed inside Windlass", self.command.id, self.host.name)
                self.leave(f"Windlass itself failed: {type(error).__name__}: {error}. See the worker's log.")

    def ask(self):
        """Log in and have the agent run the command, or follow it; returns how it ended."""
        self.look()
        if not self.had_begun and self.stopped_because == "cancelled":
            return {"status": None, "why": "cancelled", "said": None}
        self.session = transports.open_host(self.host)
        failpoints.reach("command.asked.before")
        asked_at = self.run.asked_at or now()
        if not self.had_begun and not transitions.move_command_run(
            self.run, "running", guard=leases.is_held(self.run), asked_at=asked_at
        ):
            raise StepFailed("fenced", None, "another worker has this command now", "")
        answer = self.session.request(
            "run",
            on_event=self.history.heard,
            timeout_s=self.command.time_limit_s + PATIENCE_S,
            root=self.host.root,
            app=self.command.application,
            settings=self.host.settings,
            key=self.command.key,
            epoch=self.run.epoch,
            lock_wait_s=LOCK_WAIT_S,
            argv=commands.words_of(self.command),
            time_limit_s=self.command.time_limit_s,
            offset=self.run.told_bytes,
            cancel=commands.is_cancelled(self.command.id),
            late=self.had_begun and clock() > patient_until(self.run),
        )
        failpoints.reach("command.ended.before")
        return answer

    # What else is asked in the meantime.

    def look(self):
        """Called at every heartbeat: a cancelled command ends, a worker that is told to leave hands it over."""
        if workers.leaving.is_set():
            self.stop("handed-over")
        elif commands.is_cancelled(self.command.id):
            self.stop("cancelled")

    def stop(self, why):
        """Have the agent end the command ("cancelled") or leave it to another worker."""
        if self.stopped_because is None:
            self.stopped_because = why
            if self.session:
                self.session.abort(why)

    def close(self):
        """End the connection."""
        if self.session:
            self.session.close()

    # How it ended.

    def ended(self, answer):
        """Write how the command ended, as the agent tells."""
        self.history.take_untold()
        status, why = answer["status"], answer["why"]
        if why == "cancelled":
            by = Command.get_by_id(self.command.id).cancel_requested_by
            self.end("cancelled", f"cancelled by {by or 'somebody on the host'}", status)
        elif why == "timeout" and status is None:
            self.end(
                "failed", f"not ended within {self.command.time_limit_s} s, and it runs as a user who cannot be stopped"
            )
        elif why == "timeout":
            self.end("failed", f"not ended within {self.command.time_limit_s} s, so it was stopped", status)
        elif why == "not-started":
            self.end("failed", f"could not be started: {answer['said']}")
        else:
            self.end("failed" if status else "succeeded", told_status(status), status)

    def refused(self, error):
        """The host's agent reported an error."""
        message = f"{error.message.rstrip('.')}." + (f" {error.remedy.rstrip('.')}." if error.remedy else "")
        if error.code == "unclear":
            self.history.take_untold()
            self.end("unclear", message)
        elif error.code in PASSING:
            self.put_back(AGAIN_MS[0] if error.code in ("fenced", "locked") else 0)
        elif error.detail.get("begun") is False:
            self.end("failed", message)
        elif self.had_begun:
            self.again(message)
        else:
            self.end("failed" if error.code in BEFORE_IT_BEGAN else "unclear", message)

    def cut_off(self, error):
        """The host could not be logged in to, or the connection broke."""
        message = f"{str(error).rstrip('.')}. {getattr(error, 'remedy', '')}".strip()
        if self.run.state == "running":
            self.again(message)
        elif self.run.attempt >= MOST_ATTEMPTS or (isinstance(error, Unreachable) and error.is_final):
            self.end("unreachable", message)
        else:
            self.put_back(AGAIN_MS[min(self.run.attempt, len(AGAIN_MS)) - 1])

    def leave(self, message):
        """Windlass made a mistake; a command that has begun is asked for again."""
        if self.run.state == "running":
            self.again(message)
        else:
            self.end("failed", message)

    def again(self, message):
        """Ask the host again later, up to a time at which the command has surely ended; then nobody knows how."""
        if clock() > patient_until(self.run) and self.run.attempt >= MOST_ATTEMPTS:
            told = "The host was asked to run it and has not told how it ended"
            self.end("unclear", f"{told}: {message} See on the host what it did before you run it again.")
        else:
            self.put_back(AGAIN_MS[min(self.run.attempt, len(AGAIN_MS)) - 1])

    def put_back(self, after_ms):
        """Give the lease back; the sweep rings when the time has come."""
        leases.release(self.run, due_at=now() + after_ms, rung_at=None)

    def end(self, state, message, exit_code=None):
        """Write the run's end, if it is still ours."""
        self.history.flush()
        told = self.history.masked(message) if message else None
        changes = {"message": told, "exit_code": exit_code, **leases.FREE}
        commands.end_run(self.run, state, leases.is_held(self.run), **changes)


def told_status(status):
    """Return what an exit status means, None where it is 0."""
    if not status:
        return None
    number = status - 128
    name = signal.Signals(number).name if number in signal.valid_signals() and number in set(signal.Signals) else None
    return f"ended by signal {name}" if name else f"ended with status {status}"
