"""An application's processes under supervisord."""

import os
import time

from remote.agent.failures import Failure, Fault, problem
from remote.agent.machine.commands import find_program
from remote.agent.machine.files import ASIDE, discard, flush_folder, read_bytes, write_file
from remote.agent.places import SLOTS
from remote.agent.supervision.programs import DOWN, plain_file, problems_of_programs, refuse_programs
from remote.agent.supervision.supervisord_calls import (
    FAULT_ABNORMAL,
    FAULT_ALREADY_ADDED,
    FAULT_ALREADY_STARTED,
    FAULT_BAD_NAME,
    FAULT_NOT_RUNNING,
    FAULT_SPAWN_ERROR,
    FAULT_STILL_RUNNING,
    SupervisorCtl,
    open_supervisor,
)

PROGRAMS_REMEDY = "Create it and include it in supervisord's configuration, or correct supervisor.programs in its settings."


class Supervisord:
    """The processes of one application under supervisord: groups <app>-<slot> with members <app>-<slot>-<process>."""

    kind = "supervisord"

    def __init__(self, settings, app, control):
        self.settings, self.app, self.control = settings, app, control
        self.folder, self.back_end = settings["programs"], None

    @property
    def look_s(self):
        """How many seconds lie between two looks at process states."""
        return self.server().look_s

    def read(self, _slot, name):
        """Return the content of a slot's program file, None when there is none."""
        return read_bytes(os.path.join(self.folder, plain_file(name)))

    def write(self, _slot, name, text):
        """Put a slot's program file in place."""
        write_file(os.path.join(self.folder, plain_file(name)), text)

    def sweep(self, _slot, name):
        """Remove what a killed agent left beside a slot's program file."""
        discard(os.path.join(self.folder, ASIDE + name))

    def take_away(self, slot, name):
        """Have a slot forgotten, whose processes were stopped, with its program file."""
        if name and discard(os.path.join(self.folder, plain_file(name))):
            flush_folder(self.folder)
        self.unload(slot)
        self.forget()

    def retire(self, slot, process):
        """Nothing more than its launcher keeps a process from being started with the machine."""

    def observe(self, deep):
        """Return (facts, problems)."""
        about, found = {"kind": self.kind, "reachable": False, "version": None, "is_root": None}, []
        argv = self.settings["command"]
        if isinstance(self.server(), SupervisorCtl) and find_program(argv) is None:
            found.append(
                problem(
                    "supervisor-missing",
                    f"There is no program '{argv[0]}' on this host.",
                    "Install supervisor (Debian: apt install supervisor), or correct supervisor.command.",
                )
            )
            return about, found
        try:
            about["is_root"] = os.stat(f"/proc/{self.server().pid()}").st_uid == 0
            about["version"] = self.server().version() if deep else None
            about["reachable"] = True
        except FileNotFoundError:
            about["reachable"] = True
        except Failure as failure:
            found.append(problem(failure.code, failure.message, failure.remedy))
        return about, found + problems_of_programs(self.folder, PROGRAMS_REMEDY, "supervisor.programs")

    def check_folder(self):
        """Raise Failure when program files cannot be written."""
        refuse_programs(self.folder, PROGRAMS_REMEDY, "supervisor.programs")

    def server(self):
        """Return the way to supervisord, opened on first use."""
        if self.back_end is None:
            self.back_end = open_supervisor(self.settings["command"])
        return self.back_end

    def group(self, slot):
        """Return the name of a slot's group."""
        return f"{self.app}-{slot}"

    def member(self, slot, process):
        """Return the name of a process within its group."""
        return f"{self.app}-{slot}-{process}"

    def full_name(self, slot, process):
        """Return the name by which supervisord's methods know a process."""
        return f"{self.group(slot)}:{self.member(slot, process)}"

    def bare(self, slot, infos):
        """Return process infos by the application's own names for them."""
        prefix = self.member(slot, "")
        return {name[len(prefix) :] if name.startswith(prefix) else name: info for name, info in infos.items()}

    def all_states(self):
        """Return {slot: {process: info}}; a slot unknown to supervisord is absent."""
        groups = self.server().all_states()
        return {slot: self.bare(slot, groups[self.group(slot)]) for slot in SLOTS if self.group(slot) in groups}

    def states(self, slot, names):
        """Return {process: info} of some processes of a slot."""
        members = [self.member(slot, name) for name in names]
        return self.bare(slot, self.server().states(self.group(slot), members))

    def load(self, slot):
        """Make supervisord run the slot's group as its file says now. The group's processes must have been stopped."""
        try:
            groups = self.server().reread()
        except Fault as fault:
            raise Failure(
                "supervisor-config-broken",
                f"supervisord cannot read its configuration: {fault.text}",
                "Correct or remove the program file it names; it may belong to another application.",
            ) from None
        group = self.group(slot)
        if group in groups["changed"]:
            self.unload(slot)
        try:
            self.server().add(group)
        except Fault as fault:
            if fault.code == FAULT_BAD_NAME:
                raise Failure(
                    "supervisor-ignores-programs",
                    "supervisord does not see the program file in {}.".format(self.settings["programs"]),
                    "Let the [include] section of supervisord's configuration read that folder.",
                ) from None
            if fault.code != FAULT_ALREADY_ADDED:
                raise Failure("supervisor-refused", f"supervisord does not take {group}: {fault.text}") from None

    def unload(self, slot):
        """Make supervisord forget a slot's group; its processes must have been stopped."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self.server().remove(self.group(slot))
                return
            except Fault as fault:
                if fault.code == FAULT_BAD_NAME:
                    return
                if fault.code != FAULT_STILL_RUNNING or time.monotonic() > deadline:
                    raise Failure(
                        "supervisor-refused",
                        f"supervisord does not let go of {self.group(slot)}: {fault.text}",
                    ) from None
            self.control.pause()

    def forget(self):
        """Have supervisord notice that a program file is gone. Whatever else is wrong with its files is not our business now."""
        try:
            self.server().reread()
        except Fault:
            return

    def start(self, slot, names):
        """Ask for processes to be started; those that run already are left alone."""
        for name in names:
            try:
                self.server().start(self.full_name(slot, name))
            except Fault as fault:
                # What ends early is seen, with its log, by the check.
                if fault.code not in (FAULT_ALREADY_STARTED, FAULT_ABNORMAL, FAULT_SPAWN_ERROR):
                    raise Failure(
                        "process-failed",
                        f"supervisord cannot start the process '{name}': {fault.text}",
                        "See supervisord's own log on the host.",
                        process=name,
                    ) from None

    def stop(self, slot, names, wait_s):
        """Stop processes and wait until they have ended; supervisord kills what outlives its stopwaitsecs.

        Returns the names of those that still run after `wait_s` seconds.
        """
        for name in names:
            try:
                self.server().stop(self.full_name(slot, name))
            except Fault as fault:
                if fault.code not in (FAULT_NOT_RUNNING, FAULT_BAD_NAME):
                    raise Failure("supervisor-refused", f"supervisord does not stop '{name}': {fault.text}") from None
        deadline = time.monotonic() + wait_s
        while True:
            infos = self.states(slot, names)
            left = [name for name, info in infos.items() if info["state"] not in DOWN]
            if not left or time.monotonic() > deadline:
                return left
            self.control.pause()
