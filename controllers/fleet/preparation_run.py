"""Carry a preparation out: claim it, see that the host lets us in, play etc/ansible/prepare.yml there, write down what changed.

The playbook leaves alone what is as it should be. So a preparation that a dead worker has left is simply played again.
"""

import contextlib
import dataclasses
import functools
import logging
import threading

from peewee import InterfaceError, OperationalError

import failpoints
from config import ROOT, settings
from controllers import zonekeys
from controllers.fleet import preparations
from controllers.fleet.preparations import DEFAULT_USER
from controllers.foreign.configurator import runner
from controllers.foreign.errors import ForeignError
from controllers.jobs import leases, queue, transitions, workers
from controllers.jobs.history import History
from models import Preparation
from models.db import clock, now
from remote.ssh import Unreachable, try_login

PLAYBOOK = ROOT / "etc" / "ansible" / "prepare.yml"
MOST_ATTEMPTS = 10
AGAIN_MS = 2_000

log = logging.getLogger(__name__)


@functools.cache
def room():
    """Return this worker's places for preparations: each is a process of its own that weighs some 100 MB."""
    return threading.BoundedSemaphore(max(1, settings.worker.concurrency // 4))


def carry_out(preparation_id):
    """Prepare a host, or go on with it, unless somebody does; safe to call at any time."""
    if not room().acquire(blocking=False):
        return  # The sweep enqueues it again.
    try:
        row = leases.claim(Preparation, preparation_id, is_due(), attempt=Preparation.attempt + 1, due_at=None)
        if row is not None:
            Work(row).do()
    finally:
        room().release()


def is_due():
    """Return the condition under which somebody should work on a preparation."""
    return Preparation.state.in_(transitions.PREPARATION_GOING_ON) & leases.is_due(Preparation)


def enqueue_due():
    """Enqueue the preparations that somebody should work on and that were not enqueued just now."""
    queue.enqueue_on_hosts("windlass.prepare_host", Preparation, is_due(), leases.is_free(Preparation))


class Work:
    """One attempt to prepare a host."""

    def __init__(self, row):
        self.row, self.host = row, row.host
        self.history = History(preparations.topic(row.id), row)
        self.over = threading.Event()  # Ends the playbook.
        self.stopped_because = None

    def do(self):
        """Prepare the host and write down how that ended, whatever happens."""
        with self.history, leases.heartbeats(self.row, lost=lambda: self.stop("fenced"), look=self.look):
            try:
                self.look()
                if self.begin():
                    self.log_in()
                    self.play()
                    self.end("succeeded", None)
            except (Unreachable, ForeignError, Refused) as error:
                self.ended_early(error)
            except (OperationalError, InterfaceError) as error:
                log.warning("preparation %s: the database did not take a write (%s)", self.row.id, error)
                with contextlib.suppress(OperationalError, InterfaceError):  # Else it is taken up after the lease.
                    self.put_back()
            except Exception as error:
                log.exception("preparation %s of %s failed inside Windlass", self.row.id, self.host.name)
                self.end("failed", f"Windlass itself failed: {type(error).__name__}: {error}. See the worker's log.")

    def begin(self):
        """Say that it begins; returns False when it is not to, or not ours any more."""
        if self.row.attempt > MOST_ATTEMPTS:
            self.end("failed", f"the worker died in each of {MOST_ATTEMPTS} attempts; look at its memory and its log")
            return False
        if self.stopped_because:
            self.ended_early(Refused("stopped"))
            return False
        if self.row.state == "running":
            return True
        return transitions.move_preparation(self.row, "running", guard=leases.is_held(self.row), started_at=now())

    def log_in(self):
        """See that the host is the right one and lets us in; raises Unreachable, which says what to do."""
        row, host = self.row, self.host
        key_file = zonekeys.key_file(host.zone.name)
        where = (host.address, host.port, row.login_user, host.host_key, key_file)
        try:
            try_login(*where, settings.ssh.connect_timeout_s)
        except Unreachable as error:
            if error.code == "key-refused":
                raise Refused(let_us_in(host, row.login_user)) from None
            raise

    def play(self):
        """Play the playbook on the host; raises ForeignError."""
        failpoints.reach("preparation.play.before")
        left_ms = self.row.started_at + settings.prepare.time_limit_s * 1000 - clock()
        place = runner.reaching(self.host, self.row.login_user)
        # Pipelining saves half the round trips; all it asks of a host is that sudo works without a terminal, as on Debian.
        more = {"ansible_become": self.row.login_user != DEFAULT_USER, "ansible_pipelining": True}
        runner.play(
            PLAYBOOK,
            dataclasses.replace(place, variables={**place.variables, **more}),
            variables=variables_of(self.host),
            heard=self.history.note,
            time_limit_s=max(left_ms, 0) / 1000,
            stop=self.over,
            check=self.row.is_check,
        )
        failpoints.reach("preparation.ended.before")

    # What else is asked in the meantime.

    def look(self):
        """Called at every heartbeat: a cancelled preparation ends, a worker that is told to leave hands it over."""
        if workers.leaving.is_set():
            self.stop("handed-over")
        elif preparations.cancelled_by(self.row.id):
            self.stop("cancelled")

    def stop(self, why):
        """Have the playbook ended."""
        self.stopped_because = self.stopped_because or why
        self.over.set()

    # How it ended.

    def ended_early(self, error):
        """It did not come to its end, because it was stopped or failed."""
        if self.stopped_because == "cancelled":
            self.end("cancelled", f"cancelled by {preparations.cancelled_by(self.row.id)}; what was done by then stays")
        elif self.stopped_because:
            self.put_back()
        else:
            self.end("failed", f"{str(error).rstrip('.')}. {getattr(error, 'remedy', None) or ''}".strip())

    def put_back(self):
        """Give the lease back; the sweep enqueues it when the time has come."""
        leases.release(self.row, due_at=now() + AGAIN_MS, enqueued_at=None)

    def end(self, state, message):
        """Write the end, with what was changed in all attempts, if it is still ours."""
        self.history.flush()
        columns = {"message": message, "changed": preparations.changed_tasks(self.row.id)}
        transitions.move_preparation(self.row, state, guard=leases.is_held(self.row), **columns, **leases.FREE)


class Refused(Exception):
    """The host cannot be prepared; the message says why and what to do."""


def let_us_in(host, user):
    """Return what to do on a host that does not let the zone's key log in."""
    return (
        f"{host.name} does not let Windlass log in as {user}. Add this line to ~{user}/.ssh/authorized_keys there, "
        f"then prepare it again: {zonekeys.public_key(host.zone.name)}"
    )


def variables_of(host):
    """Return what the playbook has to know of a host."""
    return {
        "windlass_user": host.user,
        "windlass_root": host.root,
        "windlass_nginx": host.settings["nginx"],
        "windlass_supervisor": host.settings["supervisor"],
        "windlass_public_key": zonekeys.public_key(host.zone.name),
    }
