"""Ask a worker of a host's zone to look at it, and wait for what it finds; the worker's side is host_check_run.py."""

import hostkeys
from controllers.controller import Controller
from controllers.errors import Conflict, Invalid, NotFound, Unavailable
from controllers.fleet.hosts import HostController
from controllers.jobs import requests
from models import Host
from models.db import now

PATIENCE_S = 25
VERIFYING_PATIENCE_S = 55


def ask(host, request, patience_s):
    """Ask a worker in the host's zone to look at it and wait for what it finds; returns the answer it wrote."""
    done = requests.send("windlass.observe_host", [host.zone.name], patience_s, host=host, payload=request)
    if not done:
        raise NotFound(f"Host {host.name} was deleted meanwhile.")
    worker_request = done[0]
    if worker_request.answer is not None:
        return worker_request.answer
    why = requests.unanswered(worker_request, patience_s)
    raise Unavailable(f"Host {host.name}: {why}", code="no-worker" if worker_request.worker is None else "host-slow")


def refuse_another_key(host, shown, expected):
    """Raise Conflict where a host shows another key than the pinned one, or than one of the expected fingerprint, if given."""
    fingerprint = hostkeys.fingerprint(shown)
    if expected and fingerprint != expected:
        raise Conflict(f"Host {host.name} shows {fingerprint}, not {expected}.", code="fingerprint-mismatch")
    if host.host_key and host.host_key.split()[:2] != shown.split()[:2] and not expected:
        raise Conflict(
            f"Another key is pinned for {host.name}; it now shows {fingerprint}. "
            'If that is right, send this fingerprint as "fingerprint" to replace the pinned key.',
            code="host-key-changed",
        )


class HostCheckController(Controller):
    """What people have a worker find out about a host while they wait."""

    def check(self, name):
        """Look at a host now; returns {"state", "facts", "problems", "observed_at"} as part of the host."""
        ask(self.named(Host, name, "host"), {"do": "check"}, PATIENCE_S)
        return HostController(self.actor).get(name)

    def observe(self, name, fields):
        """Look for drift on a host now; returns the host. With {"verify": True} every deployed file there is read.

        Raises Conflict "in-maintenance" for a host that is out of service: what is done there by hand is no drift.
        """
        host = self.named(Host, name, "host")
        if host.maintenance_reason is not None:
            raise Conflict(
                f"{name} is out of service ({host.maintenance_reason}), so it is not compared with what was deployed: "
                "put it back into service first.",
                code="in-maintenance",
            )
        ask(host, {"do": "observe", "verify": fields.get("verify", True)}, VERIFYING_PATIENCE_S)
        return HostController(self.actor).get(name)

    def trust(self, name, fields):
        """Pin the key a host shows now; returns the host.

        With {"preview": true} it only returns the key and its fingerprint. With {"fingerprint"} only that key is accepted, and
        it may replace a pinned one. Raises Conflict when another key is pinned or shown.
        """
        host = self.named(Host, name, "host")
        if host.transport != "ssh":
            raise Invalid([("transport", f"host {name} is reached by transport {host.transport}, which has no host key")])
        answer = ask(host, {"do": "read-key"}, PATIENCE_S)
        if answer.get("error"):
            raise Unavailable(f"{name}: {answer['error']}", code="host-unreachable")
        shown, expected = answer["host_key"], fields.get("fingerprint")
        if fields.get("preview"):
            return {"host_key": shown, "fingerprint": hostkeys.fingerprint(shown), "pinned": host.host_key}
        refuse_another_key(host, shown, expected)
        with self.change("host.trust", name, fingerprint=hostkeys.fingerprint(shown)):
            Host.update(host_key=shown, updated_at=now()).where(Host.id == host.id).execute()
        ask(self.named(Host, name, "host"), {"do": "check"}, PATIENCE_S)
        return HostController(self.actor).get(name)
