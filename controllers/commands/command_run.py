"""Carry a command out on one host: claim the run, have the host's agent run or follow it, write down how it ended.

A command is not idempotent. The host keeps a record of each, so that one which a dead worker has left is followed and never
run again; where even the host cannot know how it ended, that is what is written down. One that a host was to begin long ago,
by a worker that died before it asked, is not begun any more.
"""

import contextlib
import signal

import failpoints
from controllers import transports
from controllers.commands import commands
from controllers.errors import StepFailed
from controllers.jobs import leases, states, transitions
from controllers.jobs.attempt import CANCELLED, HANDED_OVER, Attempt
from controllers.jobs.history import FLUSH_ITEMS, History
from controllers.jobs.kinds import Kind, declare
from models import Command, CommandRun
from models.db import clock, now
from remote.session import AgentError, ConnectionLost
from remote.ssh import Unreachable

MOST_ATTEMPTS = 3  # to reach a host
MOST_DEATHS = 20
AGAIN_MS = (1_000, 4_000, 15_000)
LOCK_WAIT_S = 5
PATIENCE_S = 120  # Beyond its time limit a command has ended, so a host that answers again tells how.
PASSING = frozenset({"fenced", "locked", "lost", "handed-over", "aborted"})
# The first time a host is asked, these mean that it has not begun; later only what the agent says of that is certain.
BEFORE_IT_BEGAN = frozenset({"bad-request", "disk-full", "permission-denied", "python-missing", "python-too-old", "read-only"})


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


class CommandHistory(History):
    """What a command says on one host. Output is written together with how far it was read, so none of it is written twice."""

    def __init__(self, run, secrets):
        super().__init__(f"command-{run.command_id}", run, secrets)
        self.recorded_bytes = run.recorded_bytes
        self.unrecorded = []

    def take_event(self, event):
        """Take one event of the host's agent."""
        if event.get("event") == "output":
            self.unrecorded.append({"kind": "output", "host": self.host, "at": self.time(), "text": self.masked(event["text"])})
        elif event.get("event") == "told":
            self.take_unrecorded(event["offset"])

    def take_unrecorded(self, recorded_bytes=None):
        """Have the output that was received written, and with it that it was read up to `recorded_bytes`."""
        with self.changing:
            self.waiting += self.unrecorded
            self.unrecorded = []
            self.recorded_bytes = self.recorded_bytes if recorded_bytes is None else recorded_bytes
            is_much = len(self.waiting) >= FLUSH_ITEMS
        self.pending.set()
        if is_much:
            self.flush()

    def taken(self):
        """Return up to which byte the output is written with the events at hand."""
        return self.recorded_bytes if self.waiting else None

    def keep(self, more):
        """Write that, while the run is ours; else whoever has it now writes the same output."""
        held = leases.is_held(self.run)
        return more is None or bool(CommandRun.update(recorded_bytes=more).where(held).execute())


class CommandRunAttempt(Attempt):
    """One attempt to run a command on one host."""

    model, what = CommandRun, "command run"

    def __init__(self, run):
        super().__init__(run)
        self.command, self.host = run.command, run.host
        self.had_begun = run.state == "running"
        self.history = CommandHistory(run, commands.secrets_on([self.host], self.command.application, self.command.environment))
        self.session = None

    @classmethod
    def may_begin(cls):
        """It has not ended, and its time has come."""
        return CommandRun.state.in_(states.COMMAND_RUN_GOING_ON) & leases.is_due(CommandRun)

    @classmethod
    def carry_out(cls, row_id):
        """Run a command on a host, or follow it there, unless somebody does; returns the run if it was claimed."""
        run = cls.claim(row_id)
        if run is not None and is_hopeless(run):
            give_up(run)
        elif run is not None:
            cls(run).run()
        return run

    def work(self):
        """Have it run and write down how it ended."""
        self.look()
        if self.stopped_because == HANDED_OVER:
            self.put_back()
            return
        try:
            with contextlib.closing(self):
                answer = self.ask()
            self.ended(answer)
        except (AgentError, StepFailed) as error:
            self.refused(error)
        except ConnectionLost as error:
            self.cut_off(error)

    def recording(self):
        """The history of the command."""
        return self.history

    def ask(self):
        """Log in and have the agent run the command, or follow it; returns how it ended."""
        if not self.had_begun and self.stopped_because == CANCELLED:
            return {"status": None, "why": "cancelled", "said": None}
        self.session = transports.open_host(self.host)
        failpoints.reach("command.asked.before")
        asked_at = self.row.asked_at or now()
        if not self.had_begun and not transitions.move_command_run(self.row, "running", guard=self.is_held(), asked_at=asked_at):
            raise StepFailed("fenced", None, "another worker has this command now", "")
        answer = self.session.request(
            "run",
            on_event=self.history.take_event,
            timeout_s=self.command.time_limit_s + PATIENCE_S,
            root=self.host.root,
            app=self.command.application,
            settings=self.host.settings,
            key=self.command.key,
            epoch=self.row.epoch,
            lock_wait_s=LOCK_WAIT_S,
            argv=commands.words_of(self.command),
            time_limit_s=self.command.time_limit_s,
            offset=self.row.recorded_bytes,
            cancel=commands.is_cancelled(self.command.id),
            late=self.had_begun and clock() > patient_until(self.row),
        )
        failpoints.reach("command.ended.before")
        return answer

    # What else is asked in the meantime.

    def is_cancelled(self):
        """Say whether somebody has cancelled the command."""
        return commands.is_cancelled(self.command.id)

    def interrupt(self, why):
        """Have the agent end the command (CANCELLED) or leave it to another worker."""
        if self.session:
            self.session.abort(why)

    def close(self):
        """End the connection."""
        if self.session:
            self.session.close()

    # How it ended.

    def ended(self, answer):
        """Write how the command ended, as the agent tells."""
        self.history.take_unrecorded()
        status, why = answer["status"], answer["why"]
        if why == "cancelled":
            by = Command.get_by_id(self.command.id).cancel_requested_by
            self.end("cancelled", f"cancelled by {by or 'somebody on the host'}", status)
        elif why == "timeout" and status is None:
            self.end("failed", f"not ended within {self.command.time_limit_s} s, and it runs as a user who cannot be stopped")
        elif why == "timeout":
            self.end("failed", f"not ended within {self.command.time_limit_s} s, so it was stopped", status)
        elif why == "not-started":
            self.end("failed", f"could not be started: {answer['said']}")
        else:
            self.end("failed" if status else "succeeded", describe_status(status), status)

    def refused(self, error):
        """The host's agent reported an error."""
        message = f"{error.message.rstrip('.')}." + (f" {error.remedy.rstrip('.')}." if error.remedy else "")
        if error.code == "unclear":
            self.history.take_unrecorded()
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
        if self.row.state == "running":
            self.again(message)
        elif self.row.attempt >= MOST_ATTEMPTS or (isinstance(error, Unreachable) and error.is_final):
            self.end("unreachable", message)
        else:
            self.put_back(AGAIN_MS[min(self.row.attempt, len(AGAIN_MS)) - 1])

    def broke(self, message):
        """Windlass made a mistake; a command that has begun is asked for again."""
        if self.row.state == "running":
            self.again(message)
        else:
            self.end("failed", message)

    def again(self, message):
        """Ask the host again later, up to a time at which the command has surely ended; then nobody knows how."""
        if clock() > patient_until(self.row) and self.row.attempt >= MOST_ATTEMPTS:
            unknown = "The host was asked to run it and has not told how it ended"
            self.end("unclear", f"{unknown}: {message} See on the host what it did before you run it again.")
        else:
            self.put_back(AGAIN_MS[min(self.row.attempt, len(AGAIN_MS)) - 1])

    def end(self, state, message, exit_code=None):
        """Write the run's end, if it is still ours."""
        self.history.flush()
        masked = self.history.masked(message) if message else None
        changes = {"message": masked, "exit_code": exit_code, **leases.FREE}
        commands.end_run(self.row, state, self.is_held(), **changes)


def describe_status(status):
    """Return what an exit status means, None where it is 0."""
    if not status:
        return None
    number = status - 128
    name = signal.Signals(number).name if number in signal.valid_signals() and number in set(signal.Signals) else None
    return f"ended by signal {name}" if name else f"ended with status {status}"


# Half of a worker's threads at the most, so that long commands do not hold up the rollouts.
KIND = declare(
    Kind(
        "windlass.run_command",
        run=CommandRunAttempt.carry_out,
        model=CommandRun,
        is_due=CommandRunAttempt.may_begin,
        on_hosts=True,
        most=200,
        share=2,
    )
)
