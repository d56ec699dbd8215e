"""controllers/foreign/configurator/guard.py: what a command has started ends with it, with who started it, never before."""

import signal
import subprocess
import sys
import time

import pytest

from controllers.foreign.configurator.runner import GUARD
from tests.fleet.reaper import processes

# Its child leaves its process group and its parent, as a daemon does, and says who it is.
DAEMON = "setsid sh -c 'echo $$ > {mark}; exec sleep 600' & sleep 600"
OWNER = """
import os, subprocess, sys, time
reading_end, _ = os.pipe()
argv = [sys.executable, "-I", "-S", sys.argv[1], str(reading_end), "sh", "-c", sys.argv[2]]
guard = subprocess.Popen(argv, pass_fds=(reading_end,), start_new_session=True)
print(guard.pid, flush=True)
time.sleep(600)
"""


def awaited(condition, limit_s=60):
    """Return what a condition gives, once that is something."""
    over = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < over, "it did not come about"
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("ends", ["owner", "guard"])
def test_what_it_started_ends_with_whoever_started_it(tmp_path, ends):
    mark = tmp_path / "mark"
    argv = [sys.executable, "-c", OWNER, GUARD, DAEMON.format(mark=mark)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as owner:
        guard = int(owner.stdout.readline())
        daemon = int(awaited(lambda: mark.exists() and mark.read_text().strip()))
        assert daemon in processes()
        if ends == "guard":
            subprocess.run(["kill", "-TERM", str(guard)], check=True)
            awaited(lambda: daemon not in processes())
        owner.send_signal(signal.SIGKILL)
    awaited(lambda: daemon not in processes() and guard not in processes())
