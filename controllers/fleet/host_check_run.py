"""What a worker finds out about hosts: facts, problems, host keys, and what of each application is there."""

import logging
import math

from config import settings
from controllers import transports, zonekeys
from controllers.fleet import placements
from controllers.jobs import queue, requests
from controllers.jobs.kinds import Kind, declare
from models import Host, Placement, Zone
from models.db import clock, now
from remote import ssh
from remote.session import AgentError, ConnectionLost

CLOCK_SKEW_MS = 5_000
ENQUEUE_AGAIN_MS = 60_000
VERIFY_LIMIT_S = 600

log = logging.getLogger(__name__)


def prepare_zone(zone_id):
    """Make a zone's key pair if it has none."""
    zone = Zone.get_or_none(Zone.id == zone_id)
    if zone and not zone.public_key:
        zonekeys.prepare(zone)


def observe(worker_request_id):
    """Carry out what somebody asked of a host, and write down what was found."""
    requests.carry_out(worker_request_id, find_out)


def find_out(worker_request):
    """Return what there is to say of a host beside what is kept of it."""
    if worker_request.payload["do"] == "read-key":
        return read_key(worker_request.host)
    look(worker_request.host, is_verifying=worker_request.payload["do"] == "observe" and worker_request.payload["verify"])
    return {}


def watch(host_id):
    """Look at a host whose time has come, once however often this is called; the next time is set before."""
    is_due = (Host.id == host_id) & (Host.look_due_at <= now())
    next_at = now() + settings.drift.interval_s * 1000
    if Host.update(look_due_at=next_at, look_enqueued_at=None).where(is_due).execute():
        look(Host.get_by_id(host_id))


def enqueue_looks():
    """Enqueue the hosts whose look is due, so few at a time that all of them are spread over the interval.

    Only hosts in service on which something was deployed are looked at without anybody asking.
    """
    interval_ms = settings.drift.interval_s * 1000
    if not interval_ms:
        return
    at = clock()
    watched = Host.id.in_(Placement.select(Placement.host).where(Placement.recorded.is_null(False)))
    is_in_service = Host.maintenance_reason.is_null()
    Host.update(look_due_at=at + interval_ms).where(watched, Host.look_due_at.is_null()).execute()
    is_due = (Host.look_due_at <= at) & (Host.look_enqueued_at.is_null() | (Host.look_enqueued_at < at - ENQUEUE_AGAIN_MS))
    total = Host.select().where(watched, is_in_service).count()
    share = math.ceil(total * settings.worker.sweep_s / settings.drift.interval_s) + 1
    due = Host.select(Host, Zone).join(Zone).where(watched, is_in_service, is_due).order_by(Host.look_due_at).limit(share)
    for host in list(due):
        Host.update(look_enqueued_at=at).where(Host.id == host.id).execute()
        queue.enqueue("windlass.watch_host", host.id, zone=host.zone.name)


def read_key(host):
    """Return {"host_key"} or {"error"}."""
    try:
        return {"host_key": ssh.read_host_key(host.address, host.port, settings.ssh.connect_timeout_s)}
    except ssh.Unreachable as error:
        return {"error": f"{error}. {error.remedy}"}


def look(host, is_verifying=False):
    """Observe a host and the applications on it; nothing there changes. `is_verifying`: every file of theirs is read."""
    is_reachable, facts = True, host.facts
    try:
        facts, problems = observe_over(transports.open_host(host), host, is_verifying)
    except (ssh.Unreachable, AgentError, ConnectionLost) as error:
        is_reachable = isinstance(error, AgentError)
        problems = [
            {
                "code": getattr(error, "code", "connection-lost"),
                "message": str(error),
                "remedy": getattr(error, "remedy", ""),
            }
        ]
    if is_reachable != (host.is_reachable is not False):
        log.warning("host %s %s", host.name, "answers again" if is_reachable else f"cannot be reached: {problems[0]}")
    Host.update(facts=facts, problems=problems, is_reachable=is_reachable, observed_at=now()).where(Host.id == host.id).execute()


def observe_over(session, host, is_verifying):
    """Return (facts, problems) of a host and refresh what is known of the applications there."""
    try:
        seen = session.request("observe", timeout_s=30, root=host.root, app=None, settings=host.settings, deep=True)
        for placement in Placement.select().where(Placement.host == host):
            refresh(session, host, placement, is_verifying or is_verification_due(placement))
    finally:
        session.close()
    problems = seen["problems"]
    skew_ms = seen["facts"].get("clock_ms", clock()) - clock()
    if abs(skew_ms) > CLOCK_SKEW_MS:
        problems.append(
            {
                "code": "clock-skew",
                "message": f"the host's clock is {skew_ms / 1000:+.0f} s off",
                "remedy": "Run a time service such as chrony there.",
            }
        )
    return seen["facts"], problems


def is_verification_due(placement):
    """Say whether every file is to be read this time: now and then, and while some are known to be damaged."""
    verify_ms = settings.drift.verify_s * 1000
    is_old = bool(verify_ms) and (placement.verified_at or 0) < clock() - verify_ms
    return is_old or placements.has_damage(placement.application, placement.host)


def refresh(session, host, placement, is_verifying):
    """Look at one application again, unless Windlass is changing it just now."""
    began_at = clock()
    if placements.was_worked_on(placement.application, host, began_at):
        return
    seen = session.request(
        "observe",
        timeout_s=VERIFY_LIMIT_S if is_verifying else 30,
        root=host.root,
        app=placement.application.name,
        settings=host.settings,
        texts=True,
        deep=is_verifying,
    )
    placements.compare(placement, host, seen["application"], began_at, is_verifying)


OBSERVE = declare(Kind("windlass.observe_host", run=observe))
PREPARE_ZONE = declare(Kind("windlass.prepare_zone", run=prepare_zone))
WATCH = declare(Kind("windlass.watch_host", run=watch, sweep=enqueue_looks))
