"""What a worker finds out about hosts: facts, problems, host keys, and what of each application is there."""

from config import settings
from controllers import placements, transports, zonekeys
from models import Host, HostRun, Placement, Zone
from models.db import clock, now
from remote import ssh
from remote.session import AgentError, ConnectionLost

CLOCK_SKEW_MS = 5_000


def prepare_zone(zone_id):
    """Make a zone's key pair if it has none."""
    zone = Zone.get_or_none(Zone.id == zone_id)
    if zone and not zone.public_key:
        zonekeys.prepare(zone)


def observe(host_id):
    """Carry out what was last asked of a host, and write down what was found."""
    host = Host.get_or_none(Host.id == host_id)
    if host is None or not host.request:
        return
    answer = {"asked_at": host.request["asked_at"]}
    if host.request["do"] == "read-key":
        answer.update(read_key(host))
    else:
        look(host)
    Host.update(answer=answer).where(Host.id == host.id).execute()


def read_key(host):
    """Return {"host_key"} or {"error"}."""
    try:
        return {"host_key": ssh.read_host_key(host.address, host.port, settings.ssh.connect_timeout_s)}
    except ssh.Unreachable as error:
        return {"error": f"{error}. {error.remedy}"}


def look(host):
    """Observe a host and the applications on it; nothing there changes."""
    try:
        facts, problems = observe_over(transports.open_host(host), host)
    except ssh.Unreachable as error:
        facts, problems = host.facts, [{"code": error.code, "message": str(error), "remedy": error.remedy}]
        unreachable = True
    except (AgentError, ConnectionLost) as error:
        facts, problems = (
            host.facts,
            [
                {
                    "code": getattr(error, "code", "connection-lost"),
                    "message": str(error),
                    "remedy": getattr(error, "remedy", ""),
                }
            ],
        )
        unreachable = isinstance(error, ConnectionLost)
    else:
        unreachable = False
    Host.update(facts=facts, problems=problems, is_reachable=not unreachable, observed_at=now()).where(
        Host.id == host.id
    ).execute()


def observe_over(session, host):
    """Return (facts, problems) of a host and refresh what is known of the applications there."""
    try:
        seen = session.request("observe", timeout_s=30, root=host.root, app=None, settings=host.settings, deep=True)
        for placement in Placement.select().where(Placement.host == host):
            refresh(session, host, placement)
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


def refresh(session, host, placement):
    """Look at one application again, unless a rollout is changing it just now."""
    busy = HostRun.select().where(HostRun.host == host, HostRun.state == "running").exists()
    if busy:
        return
    seen = session.request(
        "observe", timeout_s=30, root=host.root, app=placement.application.name, settings=host.settings
    )
    placements.write_seen(placement.application, placement.environment, host, seen["application"])
