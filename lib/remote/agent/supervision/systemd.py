"""An application's processes under systemd."""

import os
import time

from remote.agent.failures import Failure, problem
from remote.agent.machine.commands import find_program, located, run_command
from remote.agent.machine.files import ASIDE, discard, flush_folder, make_folder, read_bytes, user_name, write_file
from remote.agent.places import SLOTS, is_plain
from remote.agent.supervision.programs import DOWN, problems_of_programs, refuse_programs

UNIT_HEAD = "# unit "
UNIT_FIELDS = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "MainPID",
    "Result",
    "NRestarts",
    "ExecMainStatus",
    "ActiveEnterTimestampMonotonic",
    "NeedDaemonReload",
)
OLDEST_SYSTEMD = 240  # the first with Type=exec and StandardOutput=append:
STEADY_START_S = 1  # as supervisord's startsecs in the shipped template
UNITS_REMEDY = "Create it, or name in supervisor.units a folder that systemd reads, such as /etc/systemd/system."


def units_in(text):
    """Return {unit name: text} of a slot's units, which are written one after the other, each below a line that names it."""
    units, name = {}, None
    for line in text.splitlines(True):
        if line.startswith(UNIT_HEAD):
            name = line[len(UNIT_HEAD) :].strip()
            units[name] = ""
        if name is None:
            raise Failure("bad-request", "The text of systemd's units does not begin with a unit's name.")
        units[name] += line
    return units


def unit_state(fields, now_s):
    """Return what systemd's properties of a unit mean, in supervisord's words; `now_s` is by the monotonic clock.

    A unit counts as RUNNING once it was up for as long as supervisord would ask.
    """
    active = fields["ActiveState"]
    if active == "active":
        age_s = now_s - int(fields.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        return "STARTING" if 0 <= age_s < STEADY_START_S else "RUNNING"
    if active == "activating":
        return "BACKOFF" if fields["SubState"].startswith("auto-restart") else "STARTING"
    return {"reloading": "RUNNING", "deactivating": "STOPPING", "failed": "FATAL", "inactive": "STOPPED"}.get(active, "UNKNOWN")


class Systemd:
    """The processes of one application under systemd: units windlass-<app>-<slot>.<process>.service.

    No process has a dot in its name, so the name of a unit says without doubt whose it is. Of a slot's units the live ones
    are enabled, so that they start with the machine.
    """

    kind = "systemd"
    look_s = 0.2  # Each look starts a systemctl.

    def __init__(self, settings, app, control):
        self.settings, self.app, self.control = settings, app, control
        self.folder = os.path.expanduser(settings["units"])
        self.argv = located(settings["command"])
        self.is_user = "--user" in settings["command"]
        if self.is_user:  # A login without PAM does not set it.
            os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")

    # Names and files.

    def unit(self, slot, process):
        """Return the name of a process's unit."""
        return f"windlass-{self.app}-{slot}.{process}.service"

    def process(self, slot, unit):
        """Return the process of a slot that a unit is for, None when it is none of the slot's."""
        before, after = self.unit(slot, ""), ".service"
        before = before[: -len(after)]
        name = unit[len(before) : -len(after)]
        return name if unit == before + name + after and is_plain(name) and "." not in name else None

    def units(self, slot):
        """Return the names of a slot's unit files, by process."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted((name for name in names if self.process(slot, name)), key=lambda name: self.process(slot, name))

    def path(self, unit):
        """Return the path of a unit file."""
        return os.path.join(self.folder, unit)

    def read(self, slot, _name):
        """Return the content of a slot's unit files one after the other, None when there are none."""
        contents = [read_bytes(self.path(unit)) or b"" for unit in self.units(slot)]
        return b"".join(contents) if contents else None

    def write(self, slot, _name, text):
        """Put a slot's unit files in place and take away those of processes that the release no longer has."""
        units = units_in(text)
        for unit in units:
            if self.process(slot, unit) is None:
                raise Failure("bad-request", f"'{unit}' cannot be the name of a unit of slot {slot}.")
        self.remove_units([unit for unit in self.units(slot) if unit not in units])
        for unit, content in units.items():
            if read_bytes(self.path(unit)) != content.encode():
                write_file(self.path(unit), content)

    def remove_units(self, units):
        """Remove unit files and what starts them with the machine; say whether there were any."""
        if units:
            self.must("disable", "--quiet", "--no-reload", *units)
            for unit in units:
                discard(self.path(unit))
            flush_folder(self.folder)
        return bool(units)

    def sweep(self, slot, _name):
        """Remove what a killed agent left beside a slot's unit files."""
        for name in os.listdir(self.folder) if os.path.isdir(self.folder) else ():
            if name.startswith(ASIDE) and self.process(slot, name[len(ASIDE) :]):
                discard(self.path(name))

    # Talking to systemd.

    def call(self, *words):
        """Run systemctl; return (exit status, output). Raises Failure when systemd cannot be reached or refuses us."""
        status, text = run_command([*self.argv, "--no-ask-password", "--no-pager", *words], 120, 1 << 20)
        low = text.lower()
        if status and any(phrase in low for phrase in ("connect to bus", "booted with systemd", "connect to system scope")):
            raise Failure("supervisor-unreachable", f"systemctl cannot reach systemd: {text[-300:]}", self.remedy())
        if status and any(
            phrase in low
            for phrase in (
                "access denied",
                "authentication",
                "password is required",
                "permission denied",
                "not allowed to",
            )
        ):
            raise Failure(
                "supervisor-denied",
                "The user {} may not use '{}': {}".format(user_name(), " ".join(self.settings["command"]), text[-300:]),
                self.remedy(),
            )
        return status, text

    def remedy(self):
        """Return what makes systemd usable."""
        if self.is_user:
            return f"Give the user a systemd that outlives logins: 'loginctl enable-linger {user_name()}', as root."
        return (
            'Allow it by sudo and set supervisor.command to ["sudo", "-n", "systemctl"], use the user\'s own systemd '
            'with ["systemctl", "--user"], or set supervisor.kind to supervisord where systemd is not the init system.'
        )

    def must(self, *words):
        """Run systemctl; return its output. Raises Failure when it does not succeed."""
        status, text = self.call(*words)
        if status:
            raise Failure(
                "supervisor-refused",
                "'systemctl {}' failed: {}".format(" ".join(words), text[-500:] or status),
                "Run it by hand on the host and see 'journalctl -xe' there.",
            )
        return text

    def show(self, units):
        """Return {unit: properties}; patterns stand for units that systemd has loaded."""
        found = {}
        for block in self.must("show", "--property=" + ",".join(UNIT_FIELDS), "--", *units).split("\n\n") if units else ():
            fields = dict(line.partition("=")[::2] for line in block.splitlines())
            if "Id" in fields and "ActiveState" in fields:
                found[fields["Id"]] = fields
        return found

    def infos(self, slot, shown):
        """Return {process: info} of the units of a slot among those shown; what systemd does not know is left out."""
        now_s, found = time.monotonic(), {}
        for unit, fields in shown.items():
            process = self.process(slot, unit)
            if process is None or (fields["LoadState"], fields["ActiveState"]) == ("not-found", "inactive"):
                continue
            found[process] = {
                "state": unit_state(fields, now_s),
                "pid": int(fields.get("MainPID") or 0) or None,
                "logs": [],
                "note": "{}/{}, {}, status {}".format(
                    fields["ActiveState"], fields["SubState"], fields.get("Result"), fields.get("ExecMainStatus")
                ),
                "restarts": fields.get("NRestarts"),
            }
        return found

    def all_states(self):
        """Return {slot: {process: info}}; a slot unknown to systemd is absent."""
        names = [name for slot in SLOTS for name in [self.unit(slot, "*"), *self.units(slot)]]
        shown = self.show(names)
        found = {slot: self.infos(slot, shown) for slot in SLOTS}
        return {slot: infos for slot, infos in found.items() if infos}

    def states(self, slot, names):
        """Return {process: info} of some processes of a slot."""
        return self.infos(slot, self.show([self.unit(slot, name) for name in names]))

    # Changing what runs.

    def load(self, slot):
        """Make systemd know the slot's units as their files say now; it reads them again only when one differs."""
        units = self.units(slot)
        shown = self.show(units)
        if any(fields["LoadState"] != "loaded" or fields.get("NeedDaemonReload") == "yes" for fields in shown.values()):
            self.must("daemon-reload")
            shown = self.show(units)
        for unit, fields in shown.items():
            if fields["LoadState"] == "not-found":
                raise Failure(
                    "supervisor-ignores-programs",
                    f"systemd does not see the unit files in {self.folder}.",
                    "Name in supervisor.units a folder that this systemd reads: see 'systemctl show -p UnitPath'.",
                )
            if fields["LoadState"] != "loaded":
                raise Failure(
                    "supervisor-config-broken",
                    "systemd does not take {}: {}".format(unit, fields["LoadState"]),
                    f"See 'systemctl status {unit}' on the host.",
                )

    def take_away(self, slot, _name):
        """Have a slot forgotten, whose processes were stopped, with its unit files."""
        if self.remove_units(self.units(slot)):
            self.must("daemon-reload")

    def start(self, slot, names):
        """Start processes, now and with the machine; those that run already are left alone."""
        units = [self.unit(slot, name) for name in names]
        if not units:
            return
        self.must("enable", "--quiet", "--no-reload", *units)
        self.call("reset-failed", *units)  # Earlier starts must not count towards StartLimitBurst.
        status, text = self.call("start", *units)
        if status and "job for" not in text.lower():  # What ends early is seen, with its log, by the check.
            raise Failure(
                "process-failed",
                "systemd cannot start {}: {}".format(", ".join(units), text[-500:] or status),
                "See 'journalctl -xe' on the host.",
                process=names[0],
            )

    def stop(self, slot, names, wait_s):
        """Stop processes and wait until they have ended; systemd kills what outlives TimeoutStopSec.

        Returns the names of those that still run after `wait_s` seconds.
        """
        units = [self.unit(slot, name) for name in names]
        status, text = self.call("stop", "--no-block", *units)
        if status and "not loaded" not in text.lower():
            raise Failure(
                "supervisor-refused",
                "systemd does not stop {}: {}".format(", ".join(units), text[-500:] or status),
                "Run 'systemctl stop' by hand on the host.",
            )
        deadline = time.monotonic() + wait_s
        while True:
            infos = self.states(slot, names)
            left = [name for name, info in infos.items() if info["state"] not in DOWN]
            if not left or time.monotonic() > deadline:
                break
            self.control.pause(self.look_s)
        failed = [self.unit(slot, name) for name, info in infos.items() if info["state"] == "FATAL"]
        if failed:
            self.call("reset-failed", *failed)  # It was told to end: how it did is no failure any more.
        return left

    def retire(self, slot, process):
        """Keep a process from being started with the machine."""
        if self.unit(slot, process) in self.units(slot):
            self.must("disable", "--quiet", "--no-reload", self.unit(slot, process))

    # Looking whether it can be used.

    def observe(self, deep):
        """Return (facts, problems)."""
        about, found = {"kind": self.kind, "reachable": False, "version": None, "is_root": not self.is_user}, []
        if find_program(self.settings["command"]) is None:
            found.append(
                problem(
                    "supervisor-missing",
                    "There is no program '{}' on this host.".format(self.settings["command"][0]),
                    "Correct supervisor.command, or set supervisor.kind to supervisord.",
                )
            )
            return about, found
        try:
            words = self.must("show", "--property=Version").partition("=")[2].split()
            number = "".join(character for character in (words or ["0"])[0].partition(".")[0] if character.isdigit())
            about["reachable"], about["version"] = True, words[0] if words and deep else None
            if int(number or 0) < OLDEST_SYSTEMD:
                found.append(
                    problem(
                        "supervisor-too-old",
                        f"This is systemd {number}; {OLDEST_SYSTEMD} is the oldest that will do.",
                        "Upgrade the host, or set supervisor.kind to supervisord.",
                    )
                )
        except Failure as failure:
            found.append(problem(failure.code, failure.message, failure.remedy))
        if not self.may_use():
            found.append(
                problem(
                    "supervisor-denied",
                    f"The user {user_name()} may look at systemd but not change it.",
                    self.remedy(),
                )
            )
        if not self.may_be_made():
            found += problems_of_programs(self.folder, UNITS_REMEDY, "supervisor.units")
        return about, found

    def may_use(self):
        """Say whether systemd will likely let us: we are root, become it by the command, or speak to our own."""
        return os.getuid() == 0 or self.is_user or os.path.basename(self.settings["command"][0]) != "systemctl"

    def may_be_made(self):
        """Say whether the folder is not there but ours to make, as is a user's own before its first unit."""
        home = os.path.expanduser("~")
        is_ours = self.is_user and self.folder.startswith(home + "/") and os.access(home, os.W_OK)
        return is_ours and not os.path.exists(self.folder)

    def check_folder(self):
        """Raise Failure when unit files cannot be written; make a user's own folder for them."""
        if self.may_be_made():
            make_folder(self.folder)
        refuse_programs(self.folder, UNITS_REMEDY, "supervisor.units")
