"""Gives a host of the fleet a systemd: the stand-in of systemctl.py, since the real one runs as a machine's init only."""

import subprocess
import sys
from pathlib import Path

from tests.fleet.keeper import await_process

PROGRAM = Path(__file__).with_name("systemctl.py")


class SystemdOf:
    """The systemd of one host, with its unit files below <host>/systemd."""

    def __init__(self, host):
        self.host, self.units = host, host.folder / "systemd"
        self.socket, self.program = host.folder / "systemd.sock", host.folder / "bin" / "systemctl"
        self.units.mkdir()
        lines = [
            "#!/bin/sh",
            f"export WINDLASS_TEST_SYSTEMD={self.socket}",
            f'exec {sys.executable} -IS {PROGRAM} "$@"',
        ]
        host.write_script("bin/systemctl", "\n".join(lines) + "\n")
        self.manager = None

    @property
    def settings(self):
        """The host's settings with this systemd as its supervisor."""
        own = {"kind": "systemd", "units": str(self.units), "command": [str(self.program)]}
        return {**self.host.settings, "supervisor": own}

    def start(self):
        """Boot: start what is enabled, and answer."""
        self.socket.unlink(missing_ok=True)
        argv = [sys.executable, "-IS", PROGRAM, "serve", self.socket, self.units]
        self.manager = self.host.keeper.start(argv, self.host.folder / "log" / "systemd.out")
        await_process(self.manager, self.socket.exists)

    def stop(self):
        """End it with all that it runs."""
        self.manager.stop()
        self.socket.unlink(missing_ok=True)

    def systemctl(self, *words):
        """Run systemctl; returns its output."""
        return subprocess.run([self.program, *words], capture_output=True, text=True, timeout=60).stdout

    def states(self):
        """Return {unit: active state} of the unit files that are there."""
        names = sorted(path.name for path in self.units.glob("*.service"))
        return {name: self.systemctl("is-active", name).strip() for name in names}

    def enabled(self):
        """Return the units that start with the machine."""
        return {path.name for path in self.units.glob("*.wants/*")}

    def reloads(self):
        """Return how often the unit files were read again."""
        return int(self.systemctl("show").split("NReloads=")[1])
