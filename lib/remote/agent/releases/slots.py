"""The two places on a host that a release of an application can run in."""

import os
import stat
import time

from remote.agent.failures import Failure
from remote.agent.machine.files import (
    changed_at,
    discard,
    flush_folder,
    point,
    read_bytes,
    read_json,
    write_file,
    write_json,
)
from remote.agent.machine.http import accepts
from remote.agent.machine.nginx import STEADY_S
from remote.agent.machine.ports import listening_ports, open_connections
from remote.agent.supervision.launchers import RETIRED, launcher_text
from remote.agent.supervision.programs import DOWN, plain_file
from remote.agent.supervision.supervisors import kind_of


class Slot:
    """One of the two places a release can run in: its record, link, launchers, program file, processes and socket.

    The record says what the slot's processes were started from. It is removed after they were stopped and before anything
    they are started from changes, and written before the new ones are started; so processes with a record are what it says.
    """

    def __init__(self, host, name):
        self.host, self.name, self.place = host, name, host.place

    def record(self):
        """Return {"phase", "spec"} or None."""
        record = read_json(self.place.record(self.name))
        return record if isinstance(record, dict) and isinstance(record.get("spec"), dict) else None

    def spec(self):
        """Return the spec the slot was filled from, or None."""
        record = self.record()
        return record["spec"] if record else None

    def supervisor(self):
        """Return who runs the slot's processes."""
        return self.host.supervisor_for(read_json(self.place.supervisor(self.name)))

    def take_over(self, spec):
        """Let the supervisor that a spec is for have the slot; one of another kind forgets it first."""
        kind = kind_of(spec["supervisor"][self.name])
        former = self.supervisor()
        if former.kind == kind and former is not self.host.supervisor:
            return  # What ran before the change of the settings is restored as it was.
        if self.host.supervisor.kind != kind:
            raise Failure(
                "bad-request",
                f"This is to run under {kind}, which the host's settings do not name.",
                "Deploy again.",
            )
        if former.kind != kind:
            former.take_away(self.name, self.host.files().get("supervisor-" + self.name))
        if read_json(self.place.supervisor(self.name)) != self.host.settings["supervisor"]:
            write_json(self.place.supervisor(self.name), self.host.settings["supervisor"])

    def set_phase(self, phase, spec):
        """Write the record: "starting" until the check has passed, then "ready"."""
        record = self.record()
        if record is None or record["phase"] != phase or record["spec"] != spec:
            write_json(self.place.record(self.name), {"phase": phase, "spec": spec})

    def address(self, spec):
        """Return where the slot's web process answers: a path, (host, port), or None without one."""
        if not spec.get("web"):
            return None
        return self.place.socket(self.name) if spec.get("binding") == "socket" else ("127.0.0.1", self.host.ports[self.name])

    def launcher(self, spec, process):
        """Return the text of a process's launcher."""
        about = spec["processes"][process]
        serves_socket = process == spec.get("web") and spec.get("binding") == "socket"
        return launcher_text(
            self.host,
            spec,
            self.name,
            f"the process '{process}'",
            about["command"],
            about.get("exec", True),
            serves_socket,
        )

    def program(self, spec):
        """Return (name, text) of the file, or the unit files, that the supervisor starts the processes from."""
        about = spec["supervisor"][self.name]
        return plain_file(about["path"]), about["text"]

    def has_program(self, spec):
        """Say whether what the supervisor starts the processes from is as a spec wants it."""
        name, text = self.program(spec)
        return self.supervisor().read(self.name, name) == text.encode()

    def holds(self, spec):
        """Say whether what the slot was started from is what `spec` wants."""
        mine = self.spec()
        if mine is None or mine["spec_digest"] != spec["spec_digest"]:
            return False
        if not self.has_program(spec):
            return False
        web = spec.get("web")
        return not web or read_bytes(self.place.launcher(self.name, web)) == self.launcher(spec, web).encode()

    def wait_until_unrouted(self):
        """Wait until no worker process of nginx leads to the slot's port any more.

        After a reload the old ones go on accepting for some 100 ms, which matters when one deploy follows closely on another.
        """
        spec, nginx, site = self.spec(), self.host.nginx(), self.host.files().get("nginx")
        text = nginx.text(site) if nginx is not None and site else None
        if not spec or spec.get("binding") != "port" or text is None or self.name == self.place.active():
            return
        age_s = time.time() - changed_at(nginx.path(site))
        nginx.prove(text, (spec.get("health") or {}).get("host") or "localhost", steady_s=STEADY_S if 0 <= age_s < 60 else 0.0)

    def wait_until_idle(self, limit_s):
        """Wait until the slot's server has no connections, at most `limit_s` seconds; say whether it has none."""
        spec = self.spec()
        address = self.address(spec) if spec else None
        if address is None:
            return True
        deadline, quiet = time.monotonic() + limit_s, 0
        while quiet < 2:
            quiet = quiet + 1 if open_connections(address) == 0 else 0
            if quiet < 2 and time.monotonic() > deadline:
                return False
            self.host.control.pause()
        return True

    def stop(self, names=None, wait_s=120):
        """Stop processes of the slot (default: all that supervisord knows); return those that still run after the wait."""
        known = self.supervisor().all_states().get(self.name, {})
        running = [name for name, info in known.items() if info["state"] not in DOWN and (names is None or name in names)]
        return self.supervisor().stop(self.name, running, wait_s) if running else []

    def vacate(self, drain_s, spec=None):
        """Stop what runs in the slot once its connections have ended, and forget it unless it is what is `spec` next."""
        self.wait_until_unrouted()
        self.wait_until_idle(drain_s)
        left = self.stop()
        if left:
            raise Failure(
                "process-stuck",
                "The processes {} of slot {} do not end.".format(", ".join(left), self.name),
                "End them on the host: the supervisor's own time for that is over.",
            )
        if (spec is None or self.spec() != spec) and discard(self.place.record(self.name)):
            flush_folder(self.place.state)

    def fill(self, spec):
        """Write everything the slot's processes are started from, the record last."""
        self.take_over(spec)
        point(self.place.link(self.name), "../releases/" + spec["release"])
        self.remove_launchers(set(spec["processes"]))
        for process in spec["processes"]:
            self.write_launcher(spec, process)
        if not self.has_program(spec):
            self.host.remember_file("supervisor-" + self.name, self.program(spec)[0])
            self.supervisor().write(self.name, *self.program(spec))
        self.set_phase("starting", spec)

    def write_launcher(self, spec, process):
        """Write a launcher unless it is as it should be."""
        path, text = self.place.launcher(self.name, process), self.launcher(spec, process)
        if read_bytes(path) != text.encode():
            write_file(path, text, 0o700)

    def retire_launcher(self, process):
        """Keep a process of a slot that is no longer active from being started when the machine starts anew."""
        path = self.place.launcher(self.name, process)
        if read_bytes(path) != RETIRED.encode():
            write_file(path, RETIRED, 0o700)
            self.supervisor().retire(self.name, process)

    def mend_program(self):
        """Put the program file back to what the slot's processes were started from, should somebody have edited it."""
        spec = self.spec()
        if not self.has_program(spec):
            self.supervisor().write(self.name, *self.program(spec))

    def remove_launchers(self, keep=()):
        """Remove the launchers of processes that the release no longer has."""
        for entry in os.listdir(self.place.run):
            if entry.startswith(self.name + "-") and entry[2:] not in keep:
                discard(os.path.join(self.place.run, entry))

    def free_address(self, spec):
        """Remove the socket file that an ended server left; raise Failure when somebody else listens there."""
        address = self.address(spec)
        if address is None:
            return
        if isinstance(address, str) and not accepts(address):
            discard(address)
        elif isinstance(address, str):
            raise Failure(
                "socket-in-use",
                f"Something that the supervisor does not know listens on {address}.",
                "End that process on the host (see 'ss -xlp'), then deploy again.",
            )
        elif address[1] in listening_ports():
            raise Failure(
                "port-in-use",
                f"Something that the supervisor does not know listens on port {address[1]}.",
                "Deploy again for another port, or end that process on the host (see 'ss -tlp').",
            )

    def clear(self):
        """Make the slot empty: processes stopped, group forgotten, files removed."""
        self.vacate(0)
        self.supervisor().take_away(self.name, self.host.files().get("supervisor-" + self.name))
        discard(self.place.supervisor(self.name))
        self.remove_launchers()
        discard(self.place.socket(self.name))
        point(self.place.link(self.name), None)

    def open_socket(self):
        """Let nginx's worker processes, which run as another user, connect to the slot's socket."""
        path = self.place.socket(self.name)
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISSOCK(mode) and mode & 0o666 != 0o666:
                os.chmod(path, mode | 0o666)
        except FileNotFoundError:
            return
        except PermissionError:
            return  # Made by another user's supervisord; whether nginx can connect is seen after the switch.
