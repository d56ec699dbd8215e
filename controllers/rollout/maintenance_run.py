"""Close or open one host of a target that is in maintenance, or was, by the host's agent; the worker's side.

What fails is tried again until it works out or is not asked for any more.
"""

import contextlib
import logging

from controllers import events, transports
from controllers.fleet import placements
from controllers.jobs import fencing, leases
from controllers.jobs.attempt import Attempt
from controllers.jobs.kinds import Kind, declare
from controllers.rollout import maintenance
from models import Maintenance, MaintenanceHost
from models.db import clock, database, now
from remote.session import AgentError, ConnectionLost
from remote.ssh import Unreachable

AGAIN_MS = (2_000, 5_000, 15_000, 60_000)
BUSY_AGAIN_MS = 1_000
LIMIT_S = 120
LOCK_WAIT_S = 20

log = logging.getLogger(__name__)


class MaintenanceAttempt(Attempt):
    """One attempt to bring one host to what its target's maintenance says now."""

    model, what = MaintenanceHost, "maintenance host"

    def __init__(self, row):
        super().__init__(row)
        self.host = row.host
        self.target = row.maintenance.target
        self.session = None

    @classmethod
    def may_begin(cls):
        """The host has not followed, and waits for nothing."""
        desired = Maintenance.select(Maintenance.number).where(Maintenance.id == MaintenanceHost.maintenance)
        return (MaintenanceHost.number != desired) & leases.is_due(MaintenanceHost)

    @classmethod
    def claim(cls, row_id):
        """Take the lease of a maintenance host that has not followed. Only an attempt that failed is counted."""
        return leases.claim(MaintenanceHost, row_id, cls.may_begin(), enqueued_at=None)

    def work(self):
        """Close or open the application on the host, and write down how that went."""
        if placements.is_rolled_out_to(self.target.application, self.host, clock()):
            self.put_back(BUSY_AGAIN_MS)  # Its new epoch would stop the rollout on this host.
            return
        try:
            answer = self.drive()
        except AgentError as error:
            self.refused(error)
        except (Unreachable, ConnectionLost) as error:
            self.cut_off(error)
        else:
            self.succeed(answer)

    def drive(self):
        """Have the host's agent close or open the application; returns its answer, None where nothing runs there yet."""
        with contextlib.closing(transports.open_host(self.host)) as self.session:
            self.session.request(
                "begin",
                timeout_s=LOCK_WAIT_S + 30,
                root=self.host.root,
                app=self.target.application.name,
                settings=self.host.settings,
                epoch=fencing.following(self.target.application, self.host),
                deploy=f"maintenance-{self.row.maintenance_id}",
                lock_wait_s=LOCK_WAIT_S,
            )
            closed = maintenance.site_of(self.target.application, self.target.environment, self.host)
            try:
                return self.session.request("close", timeout_s=LIMIT_S, closed=closed)
            except AgentError as error:
                if error.code == "nothing-to-close":
                    return None
                raise

    def interrupt(self, why):
        """Have the agent stop at its next safe point."""
        if self.session:
            self.session.abort(why)

    def succeed(self, answer):
        """Write that the host has followed the maintenance as it was when the work began."""
        number, is_on = self.row.maintenance.number, self.row.maintenance.is_on
        message = "nothing runs there yet; a deploy goes by what is wanted then" if answer is None else answer["said"]
        followed = {"number": number, "attempt": 0, "has_failed": False, "message": message, "changed_at": now()}
        with database.atomic():
            if answer is not None and leases.extend(self.row):
                placements.site_left(self.target.application, self.host, answer["application"])
            self.put_back(due_at=None, **followed)
        self.publish(f"{'closed' if is_on else 'open'}{f': {message}' if message else ''}")

    def refused(self, error):
        """The host's agent reported an error. One that has seen higher epochs is overtaken, as in a rollout."""
        if self.stopped_because:
            self.put_back()
            return
        if error.code == "fenced" and leases.extend(self.row):
            fencing.go_on_from(self.target.application, self.host, error.detail.get("epoch", 0))
        if error.code in ("fenced", "locked"):
            self.put_back(AGAIN_MS[0], attempt=self.row.attempt + 1)
        else:
            self.fail(f"{error.message.rstrip('.')}. {error.remedy}")

    def cut_off(self, error):
        """The host could not be logged in to, or the connection broke."""
        if self.stopped_because:
            self.put_back()
        else:
            self.fail(f"{error}. {getattr(error, 'remedy', 'It is tried again.')}")

    def broke(self, message):
        """Windlass made a mistake."""
        self.fail(message)

    def fail(self, message):
        """Write why a host could not follow; it is tried again, ever more slowly."""
        pause_ms = AGAIN_MS[min(self.row.attempt, len(AGAIN_MS) - 1)]
        self.put_back(pause_ms, attempt=self.row.attempt + 1, has_failed=True, message=message)
        self.publish(message)

    def publish(self, message):
        """Publish to everybody who watches how far a host is."""
        names = {"application": self.target.application.name, "environment": self.target.environment.name}
        text = f"{self.host.name}: maintenance of {names['application']} in {names['environment']}: {message}"
        events.append("deploys", [{"kind": "maintenance", "host": self.host.name, "text": text, "data": names}])
        log.info("%s", text)


KIND = declare(
    Kind(
        "windlass.maintain_host",
        run=MaintenanceAttempt.carry_out,
        model=MaintenanceHost,
        is_due=MaintenanceAttempt.may_begin,
        on_hosts=True,
    )
)
