"""Close or open one host of a target that is in maintenance, or was, by the host's agent; the worker's side.

What fails is tried again until it works out or is not wanted any more.
"""

import contextlib
import logging

from controllers import events, transports
from controllers.fleet import placements
from controllers.jobs import fencing, leases, queue
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


def is_due():
    """Return the condition under which a maintenance host is worked on: it has not followed, and waits for nothing."""
    wanted = Maintenance.select(Maintenance.number).where(Maintenance.id == MaintenanceHost.maintenance)
    return (MaintenanceHost.number != wanted) & leases.is_due(MaintenanceHost)


def carry_out(maintenance_host_id):
    """Bring one host to what its target's maintenance says now, unless somebody does or it is so; safe to call at any time."""
    row = leases.claim(MaintenanceHost, maintenance_host_id, is_due())
    if row is None:
        return
    target = row.maintenance.target
    if placements.is_rolled_out_to(target.application, row.host, clock()):
        end(row, due_at=now() + BUSY_AGAIN_MS)  # Its new epoch would stop the rollout on this host.
        return
    sessions = []
    with leases.heartbeats(row, lost=lambda: [session.abort("fenced") for session in sessions]):
        try:
            answer = drive(row, target, sessions)
        except AgentError as error:
            refused(row, target, error)
        except (Unreachable, ConnectionLost) as error:
            fail(row, target, f"{error}. {getattr(error, 'remedy', 'It is tried again.')}")
        else:
            succeed(row, target, answer)


def drive(row, target, sessions):
    """Have the host's agent close or open the application; returns its answer, None where nothing runs there yet."""
    host, application = row.host, target.application
    with contextlib.closing(transports.open_host(host)) as session:
        sessions.append(session)
        session.request(
            "begin",
            timeout_s=LOCK_WAIT_S + 30,
            root=host.root,
            app=application.name,
            settings=host.settings,
            epoch=fencing.following(application, host),
            deploy=f"maintenance-{row.maintenance_id}",
            lock_wait_s=LOCK_WAIT_S,
        )
        try:
            return session.request(
                "close", timeout_s=LIMIT_S, closed=maintenance.site_of(application, target.environment, host)
            )
        except AgentError as error:
            if error.code == "nothing-to-close":
                return None
            raise


def succeed(row, target, answer):
    """Write that the host has followed the maintenance as it was when the work began."""
    number = row.maintenance.number
    message = "nothing runs there yet; a deploy goes by what is wanted then" if answer is None else answer["said"]
    with database.atomic():
        if answer is not None and leases.extend(row):
            placements.site_left(target.application, row.host, answer["application"])
        end(row, number=number, attempt=0, has_failed=False, message=message, changed_at=now(), due_at=None)
    is_on = row.maintenance.is_on
    tell(row, target, f"{'closed' if is_on else 'open'}{f': {message}' if message else ''}")


def refused(row, target, error):
    """The host's agent reported an error. One that has seen higher epochs is overtaken, as in a rollout."""
    if error.code == "fenced" and leases.extend(row):
        fencing.go_on_from(target.application, row.host, error.detail.get("epoch", 0))
    if error.code in ("fenced", "locked"):
        end(row, attempt=row.attempt + 1, due_at=now() + AGAIN_MS[0])
    else:
        fail(row, target, f"{error.message.rstrip('.')}. {error.remedy}")


def fail(row, target, message):
    """Write why a host could not follow; it is tried again, ever more slowly."""
    due_at = now() + AGAIN_MS[min(row.attempt, len(AGAIN_MS) - 1)]
    end(row, attempt=row.attempt + 1, has_failed=True, message=message, due_at=due_at)
    tell(row, target, message)


def end(row, **columns):
    """Give the lease back with what came of it, if it is still ours."""
    leases.release(row, enqueued_at=None, **columns)


def tell(row, target, message):
    """Tell everybody who watches how far a host is."""
    names = {"application": target.application.name, "environment": target.environment.name}
    text = f"{row.host.name}: maintenance of {names['application']} in {names['environment']}: {message}"
    events.append("deploys", [{"kind": "maintenance", "host": row.host.name, "text": text, "data": names}])
    log.info("%s", text)


def enqueue_due():
    """Enqueue the hosts that have not followed yet and that nobody works on."""
    queue.enqueue_on_hosts("windlass.maintain_host", MaintenanceHost, is_due(), leases.is_free(MaintenanceHost))
