"""Run programs of the host, with a time limit and bounded output."""

import os
import select
import signal
import time

from remote.agent.failures import Failure
from remote.agent.machine.files import read_bytes

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


def end_group(process, grace_s=3):
    """End a child and everything in its process group: TERM, then KILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # It has ended, or is another user's (sudo) and ends with its own time limit.
        deadline = time.monotonic() + grace_s
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    return process.poll()


def run_command(argv, limit_s=30, keep=64 << 10):
    """Run a command of the host; return (exit status, the last `keep` bytes of its output as text).

    It gets no input, is ended with its whole process group after `limit_s` seconds, and does not hold us up when a
    grandchild keeps its output open. Raises Failure when it cannot be started or takes too long.
    """
    import subprocess

    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
    except OSError as error:
        raise Failure(
            "command-missing",
            f"'{argv[0]}' cannot be run: {error.strerror}.",
            "Install it on the host or correct the command in the host's settings.",
        ) from None
    handle, tail = process.stdout.fileno(), b""
    os.set_blocking(handle, False)
    deadline = time.monotonic() + limit_s
    is_open = True
    with process.stdout:
        while is_open or process.poll() is None:
            if time.monotonic() > deadline:
                end_group(process)
                raise Failure(
                    "command-timeout",
                    "'{}' did not end within {} seconds.".format(" ".join(argv), limit_s),
                    "Run it by hand on the host and see what it waits for.",
                )
            ended = process.poll() is not None
            if is_open:
                ready = select.select([handle], [], [], 0 if ended else 0.05)[0]
                data = os.read(handle, 1 << 16) if ready else None
                is_open = data != b"" and not (ended and data is None)
                tail = (tail + data)[-keep:] if data else tail
            else:
                time.sleep(0.01)
    return process.wait(), tail.decode("utf-8", "replace").strip()


def plain_environment():
    """Return the little of our own environment that a command of the application may see."""
    names = ("HOME", "USER", "LOGNAME", "SHELL", "TZ", "TMPDIR")
    return dict({name: os.environ[name] for name in names if name in os.environ}, PATH=SYSTEM_PATH)


def find_program(argv):
    """Return the path of the program that an argv starts, or None; also looked for where sbin programs are."""
    name = argv[0]
    if "/" in name:
        return name if os.access(name, os.X_OK) else None
    for folder in os.environ.get("PATH", "").split(":") + (SYSTEM_PATH + ":/usr/sbin:/sbin:/usr/local/sbin").split(":"):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def located(argv):
    """Return `argv` with its program's full path, where it can be found."""
    return [find_program(argv) or argv[0], *argv[1:]]


def start_time(pid):
    """Return when a process started, in the kernel's own units, or None when there is no such process; see proc(5)."""
    content = read_bytes(f"/proc/{pid}/stat")
    if content is None:
        return None
    fields = content.rpartition(b")")[2].split()
    return None if fields[0] == b"Z" else int(fields[19])
