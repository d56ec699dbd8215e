"""The client as people run it, against a stand-in of the API."""

import collections
import fcntl
import json
import os
import pathlib
import pty
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
if str(ROOT / "cli") not in sys.path:
    sys.path.insert(0, str(ROOT / "cli"))

from tests.cli.standin import TOKEN, StandIn  # noqa: E402
from windlass_cli.api import client, feed  # noqa: E402
from windlass_cli.jobs import rollouts  # noqa: E402
from windlass_cli.main import main  # noqa: E402

Answer = collections.namedtuple("Answer", "code out err")


@pytest.fixture
def api():
    """The stand-in of the API."""
    server = StandIn()
    yield server
    server.close()


@pytest.fixture
def surroundings(api, tmp_path):
    """The environment variables of a person who set the server and a token."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "NO_PROXY": "*",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONPATH": str(ROOT / "cli"),
        "WINDLASS_URL": api.url,
        "WINDLASS_TOKEN": TOKEN,
    }


@pytest.fixture
def settings_path(tmp_path):
    """Where the settings file is."""
    return tmp_path / "config" / "windlass" / "config.json"


@pytest.fixture
def quick(monkeypatch):
    """Make the pauses before another try short; what is tried is the same."""
    monkeypatch.setattr(client, "PAUSES_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(client, "IN_FLIGHT_PAUSE_S", 0.01)
    monkeypatch.setattr(feed, "PAUSES_S", (0.01,))
    monkeypatch.setattr(rollouts, "BUILD_PAUSE_S", 0.01)


@pytest.fixture
def windlass(surroundings, quick, monkeypatch, capsys):
    """Run the command line in this process, with nobody at a terminal: ``windlass("status", "--json")``."""
    for name in [
        name for name in os.environ if name.startswith("WINDLASS_") or name.lower().endswith("_proxy") or name == "NO_COLOR"
    ]:
        monkeypatch.delenv(name)
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture
def windlass_json(windlass):
    """Run a command with ``--json``, expect success, and return the decoded output."""

    def run(*arguments):
        answer = windlass(*arguments, "--json")
        assert answer.code == 0, answer.err
        return json.loads(answer.out)

    return run


@pytest.fixture
def command(surroundings):
    """Run the command line as a process: ``command(["status"], stdin=b"")``."""

    def run(arguments, stdin=b"", **changes):
        environment = {name: value for name, value in {**surroundings, **changes}.items() if value is not None}
        done = subprocess.run(
            [sys.executable, "-m", "windlass_cli", *arguments],
            input=stdin,
            capture_output=True,
            timeout=60,
            env=environment,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


class Terminal:
    """A process on a terminal of its own; ``stdout`` may be a pipe instead, as in ``windlass … | jq``."""

    def __init__(self, arguments, environment, rows=40, columns=110):
        self.output = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "windlass_cli", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def until(self, text, timeout_s=60):
        """Read until ``text`` has been shown; fail when the process ends or the time passes before."""
        while text.encode() not in self.output:
            if not self._read(timeout_s):
                raise AssertionError(f"{text!r} was never shown in {self.output.decode(errors='replace')!r}")
        return self

    def type(self, keys):
        """Type keys; ``\\x03`` is Ctrl-C."""
        os.write(self._master, keys.encode())
        return self

    def interrupt(self, presses=10):
        """Press Ctrl-C until the process ends.

        At a question one press may do nothing: CPython's input() looks for signals and then waits for a key, and a signal that
        comes between the two is seen only when the next key is pressed.
        """
        for _ in range(presses):
            self.type("\x03")
            if not self._goes_on(3):
                break
        return self

    def end(self):
        """Read to the end and return (exit code, everything shown)."""
        while self._read(60):
            pass
        return self.process.wait(60), self.output.decode(errors="replace")

    def close(self):
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _goes_on(self, seconds):
        """Tell whether the process neither ends nor falls out of touch with its terminal within some seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0] and not self._read(0):
                return False
        return True

    def _read(self, timeout_s):
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux tells so that the other side has closed the terminal
            return False
        self.output += data
        return bool(data)


@pytest.fixture
def terminal(surroundings):
    """Run the command line on a terminal: ``terminal(["deploy", …])``."""
    opened = []

    def open_one(arguments, rows=40, columns=110, **changes):
        environment = {name: value for name, value in {**surroundings, **changes}.items() if value is not None}
        opened.append(Terminal(arguments, environment, rows, columns))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
