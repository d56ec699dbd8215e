"""Carry a preparation out: claim it, see that the host lets us in, play etc/ansible/prepare.yml there, write down what changed.

The playbook leaves alone what is as it should be. So a preparation that a dead worker has left is simply played again.
"""

import dataclasses
import threading

import failpoints
from config import ROOT, settings
from controllers import zonekeys
from controllers.fleet import preparations
from controllers.fleet.preparations import DEFAULT_USER
from controllers.foreign.configurator import runner
from controllers.foreign.errors import ForeignError
from controllers.jobs import leases, states, transitions
from controllers.jobs.attempt import CANCELLED, Attempt
from controllers.jobs.history import History
from controllers.jobs.kinds import Kind, declare
from models import Preparation
from models.db import clock, now
from remote.ssh import Unreachable, try_login

PLAYBOOK = ROOT / "etc" / "ansible" / "prepare.yml"
MOST_ATTEMPTS = 10
AGAIN_MS = 2_000


class PreparationAttempt(Attempt):
    """One attempt to prepare a host."""

    model, what = Preparation, "preparation"

    def __init__(self, row):
        super().__init__(row)
        self.host = row.host
        self.history = History(preparations.topic(row.id), row)
        self.over = threading.Event()  # Ends the playbook.

    @classmethod
    def may_begin(cls):
        """It has not ended, and its time has come."""
        return Preparation.state.in_(states.PREPARATION_GOING_ON) & leases.is_due(Preparation)

    def work(self):
        """Prepare the host and write down how that ended."""
        try:
            self.look()
            if self.begin():
                self.log_in()
                self.play()
                self.end("succeeded", None)
        except (Unreachable, ForeignError, Refused) as error:
            self.ended_early(error)

    def broke(self, message):
        """Windlass made a mistake."""
        self.end("failed", message)

    def recording(self):
        """The history of the preparation."""
        return self.history

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
        return transitions.move_preparation(self.row, "running", guard=self.is_held(), started_at=now())

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
            on_event=self.history.note,
            time_limit_s=max(left_ms, 0) / 1000,
            stop=self.over,
            check=self.row.is_check,
        )
        failpoints.reach("preparation.ended.before")

    # What else is asked in the meantime.

    def is_cancelled(self):
        """Say whether somebody has cancelled the preparation."""
        return bool(preparations.cancelled_by(self.row.id))

    def interrupt(self, why):
        """Have the playbook ended."""
        self.over.set()

    # How it ended.

    def ended_early(self, error):
        """It did not come to its end, because it was stopped or failed."""
        if self.stopped_because == CANCELLED:
            self.end("cancelled", f"cancelled by {preparations.cancelled_by(self.row.id)}; what was done by then stays")
        elif self.stopped_because:
            self.put_back(AGAIN_MS)
        else:
            self.end("failed", f"{str(error).rstrip('.')}. {getattr(error, 'remedy', None) or ''}".strip())

    def end(self, state, message):
        """Write the end, with what was changed in all attempts, if it is still ours."""
        self.history.flush()
        columns = {"message": message, "changed": preparations.changed_tasks(self.row.id)}
        transitions.move_preparation(self.row, state, guard=self.is_held(), **columns, **leases.FREE)


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


# Each is a process of its own that weighs some 100 MB, so only a quarter of a worker's threads do this at a time.
KIND = declare(
    Kind(
        "windlass.prepare_host",
        run=PreparationAttempt.carry_out,
        model=Preparation,
        is_due=PreparationAttempt.may_begin,
        on_hosts=True,
        share=4,
    )
)
