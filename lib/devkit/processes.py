"""Child processes of dev.py: started by argv, restarted when they die, stopped in order, never left behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time

STOP_WITHIN_S = 12
RESTART_AFTER_S = 1.0
YOUNG_S = 5.0
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """Ask the kernel to stop this child when dev.py dies, even by SIGKILL (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One process that is to stay up; its output goes to <logs>/<name>.log."""

    def __init__(self, name, argv, logs, environment, cwd):
        self.name, self.argv, self.environment, self.cwd = name, argv, environment, cwd
        self.log = logs / f"{name}.log"
        self.start()

    def start(self):
        """Start it, or start it again."""
        self.started_at = time.monotonic()
        with open(self.log, "ab") as output:
            self.length_before = output.tell()
            # A session of its own keeps the terminal's Ctrl-C away: dev.py stops the parts in order.
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.cwd,
                env=self.environment,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def is_dead(self):
        """Say whether it ended."""
        return self.process.poll() is not None

    def tail(self):
        """Return why it gave up, as it put it into its log, else the end of what it wrote there since it was started."""
        with open(self.log, "rb") as file:
            file.seek(max(self.length_before, os.fstat(file.fileno()).st_size - 4000))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return "\n".join([line for line in lines if " critical " in line] or lines[-15:])


class Children:
    """All parts; a context manager that stops them on the way out, the newest first."""

    def __init__(self, logs, environment):
        self.logs, self.environment = logs, environment
        self.children = []
        logs.mkdir(exist_ok=True, mode=0o700)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # A second Ctrl-C must not leave half of them behind.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for child in reversed(self.children):
            self.stop(child)

    def start(self, name, argv, cwd=None):
        """Start a part."""
        self.children.append(Child(name, argv, self.logs, self.environment, cwd))

    def stop(self, child):
        """Stop a part: asked first, forced later, with everything it started."""
        if not child.is_dead():
            child.process.terminate()
            try:
                child.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(child.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.process.wait()

    def raise_if_dead(self, error):
        """Raise `error` with the end of its log when a part died."""
        for child in self.children:
            if child.is_dead():
                raise error(f"{child.name} ended (exit {child.process.returncode}):\n{child.tail()}")

    def watch(self):
        """Restart whatever dies, until interrupted."""
        while True:
            time.sleep(RESTART_AFTER_S)
            for child in self.children:
                if child.is_dead():
                    print(
                        f"{child.name} ended (exit {child.process.returncode}); starting it again. See {child.log}",
                        file=sys.stderr,
                        flush=True,
                    )
                    if time.monotonic() - child.started_at < YOUNG_S:
                        time.sleep(RESTART_AFTER_S)
                    child.start()
