"""One-off commands: run what somebody asked for in an application's environment, and pass on its output."""

import fcntl
import os
import signal
import sys
import threading
import time

from remote.agent.failures import Aborted, Failure, failure_of
from remote.agent.fence import Fence
from remote.agent.hosts import Host
from remote.agent.machine.commands import plain_environment
from remote.agent.machine.files import changed_at, make_folder, read_json, remove_tree, write_file
from remote.agent.machine.logs import pass_on, tail_of
from remote.agent.places import check_root, is_plain
from remote.agent.protocol import Output
from remote.agent.supervision.launchers import environment_of

COMMANDS = ".commands"  # below the root; no application's name begins with a dot
RECORD_BYTES = 1024  # made beforehand, so that a full disk cannot hide how a command ended
CANCEL_LIMIT_S = 30
KEEP_RECORDS_S = 7 * 86400
# Runs beside us, in a session of its own: writes down that a command begins, starts it, ends it with its whole process group
# when its time is over or SIGTERM asks for that, and writes down how it ended. What it leaves running in its group ends with it.
KEEPER = """
import json, os, signal, subprocess, sys, time
size, limit_s, argv = int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
record, asked = os.open(sys.argv[1], os.O_WRONLY | os.O_CLOEXEC), []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
signal.signal(signal.SIGHUP, signal.SIG_DFL)
def write(**about):
    os.pwrite(record, json.dumps(dict(about, pid=os.getpid(), at=int(time.time() * 1000))).ljust(size).encode(), 0)
    os.fsync(record)
def reach(number):
    try:
        os.killpg(child.pid, number)
        return True
    except OSError:
        return False
def end_group():
    for number in (signal.SIGTERM, signal.SIGKILL):
        reach(number)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            child.poll()
            if not reach(0):
                return
            time.sleep(0.02)
write(state="begun")
deadline, pause_s, why = time.monotonic() + limit_s, 0.005, None
try:
    child = subprocess.Popen(argv, start_new_session=True)
except OSError as error:
    write(state="ended", status=None, why="not-started", said=error.strerror)
    raise SystemExit
while child.poll() is None and why is None:
    time.sleep(pause_s)
    pause_s = min(pause_s * 1.5, 0.1)
    why = "cancelled" if asked else "timeout" if time.monotonic() > deadline else None
why = None if child.poll() is not None else why
end_group()
status = child.poll()
write(state="ended", status=status if status is None or status >= 0 else 128 - status, why=why)
""".strip()


class OneOff:
    """A command that somebody runs by hand: once for its key, whatever happens to us meanwhile.

    Its keeper holds the lock `alive` while it lives. So whoever comes next knows: where nothing is written and nobody holds
    the lock, the command never began, and is started; where it has begun and nobody holds the lock, nobody knows how it
    ended, which is reported and not repeated; in between it is followed.
    """

    def __init__(self, request, control, emitter):
        check_root(request["root"])
        if not is_plain(request["key"]) or not request["argv"]:
            raise Failure("bad-request", "'{}' cannot be the key of a command.".format(request["key"]))
        self.request, self.control, self.emitter = request, control, emitter
        self.all = "{}/{}".format(request["root"], COMMANDS)
        self.state = "{}/{}".format(self.all, request["key"])  # Where the fence keeps its epoch and its lock, too.
        self.record, self.log, self.alive = self.state + "/record", self.state + "/log", self.state + "/alive"
        self.output, self.offset = Output(emitter, None), request.get("offset") or 0
        self.reported = self.offset

    def run(self):
        """Run the command, or follow the one that runs, to its end; return {"status", "why", "said"}."""
        make_folder(self.all, 0o700)
        self.sweep()
        make_folder(self.state, 0o700)
        fence = Fence(self, self.request["epoch"], self.request["key"])
        fence.announce()
        fence.acquire(self.request.get("lock_wait_s") or 0, self.control)
        self.control.fence = fence
        alive = self.take_alive()
        if alive is not None:
            try:
                begun = self.written()
                if begun is None and self.request.get("cancel"):
                    return {"status": None, "why": "cancelled", "said": "it had not begun"}
                if begun is None:
                    self.begin(alive)
            finally:
                os.close(alive)
        return self.follow()

    def begin(self, alive):
        """Start it unless it is too late for that; whatever hinders it says that it has not begun, which is certain here."""
        try:
            if self.request.get("late"):
                raise Failure(
                    "too-late",
                    "It has not begun, and the time that it was given is over.",
                    "Run it again if it is still wanted.",
                )
            self.start(alive)
        except (Failure, OSError) as error:
            failure = failure_of(error)
            failure.detail["begun"] = False
            raise failure from error

    def sweep(self):
        """Remove what is left of commands that ended long ago."""
        for key in os.listdir(self.all):
            folder = f"{self.all}/{key}"
            if (
                folder != self.state
                and time.time() - changed_at(folder + "/record") > KEEP_RECORDS_S
                and time.time() - changed_at(folder) > KEEP_RECORDS_S
                and not self.has_keeper(folder + "/alive")
            ):
                remove_tree(folder)

    def take_alive(self):
        """Return a descriptor that holds the keeper's lock, or None while a keeper has it."""
        handle = os.open(self.alive, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            os.close(handle)
            return None

    @staticmethod
    def has_keeper(alive):
        """Say whether a keeper holds the lock at this path."""
        try:
            with open(alive, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True

    def written(self):
        """Return what the keeper wrote, None when it wrote nothing."""
        return read_json(self.record)

    def start(self, alive):
        """Start a keeper, which takes the lock over."""
        import subprocess

        folder, environment = self.surroundings()
        self.require_program(folder, environment["PATH"])
        write_file(self.record, " " * RECORD_BYTES, 0o600)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        given = self.input()
        try:
            about = [self.record, str(RECORD_BYTES), str(self.request["time_limit_s"])]
            argv = [sys.executable, "-I", "-S", "-c", KEEPER, *about, *self.request["argv"]]
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env=environment,
                stdin=given,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(alive,),
            )
        finally:
            os.close(log)
            os.close(given)
        threading.Thread(target=process.wait, daemon=True).start()

    def input(self):
        """Return a descriptor of what the command reads: a file without a name, as what is in it may be secret."""
        path = self.state + "/input"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.unlink(path)
        with open(handle, "wb", closefd=False) as file:
            file.write((self.request.get("input") or "").encode())
        os.lseek(handle, 0, os.SEEK_SET)
        return handle

    def surroundings(self):
        """Return (folder, environment): the user's home, or the release that an application runs now, with its variables."""
        if not self.request.get("app"):
            environment = dict(plain_environment(), LANG="C.UTF-8")
            home = environment.get("HOME", "/")
            return home if os.access(home, os.X_OK) else "/", environment
        host = Host(self.request, self.control, self.emitter)
        name = host.place.active()
        spec = host.slot(name).spec() if name else None
        if spec is None:
            raise Failure("nothing-deployed", f"Nothing of {host.place.app} runs on this host.", "Deploy it first.")
        host.ports = read_json(host.place.ports) or {}
        folder = "{}/{}".format(host.place.releases, spec["release"])
        if not os.path.isdir(folder):
            raise Failure("nothing-deployed", f"{folder} is missing.", "Deploy the release again.")
        more = {name: value for name, value in plain_environment().items() if name != "PATH"}
        return folder, dict(more, **{name: str(value) for name, value in environment_of(host, spec, name)})

    def require_program(self, folder, path):
        """Raise Failure when the program is not there, which the command's own output could hardly say."""
        name = self.request["argv"][0]
        folders = [folder] if "/" in name else path.split(":")
        places = [os.path.join(where, name) for where in folders if where]
        if not any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places):
            raise Failure(
                "command-missing",
                f"There is no program '{name}' on this host.",
                "Looked for in {}.".format(folder if "/" in name else path),
            )

    def follow(self):
        """Pass the output on until the command has ended; return how it did. One that is to be cancelled is asked to end."""
        try:
            if not self.request.get("cancel"):
                return self.watch()
        except Aborted as aborted:
            if aborted.code != "aborted":
                raise
        with self.control:
            return self.watch(time.monotonic() + CANCEL_LIMIT_S)

    def watch(self, ends_by=None):
        """Follow it; with `ends_by` its keeper is asked to end it, by that time."""
        is_asked = False
        while True:
            is_over = not self.has_keeper(self.alive)
            before = self.offset
            self.offset = pass_on(self.log, self.output, self.offset)
            if is_over and self.offset == before:
                return self.judge()
            if not self.output.batch:
                self.report_offset()
            if ends_by is not None and not is_asked:
                is_asked = self.ask_keeper()
            if ends_by is not None and time.monotonic() > ends_by:
                raise self.unclear("could not be ended")
            self.control.pause()

    def report_offset(self):
        """Say up to which byte of the log all was sent, so that whoever goes on sends none of it again."""
        reported = max(0, self.offset - len(self.output.line) - self.output.cut)
        if reported != self.reported:
            self.reported = reported
            self.emitter.send({"event": "told", "offset": reported})

    def ask_keeper(self):
        """Ask the keeper to end the command; say whether it could be asked."""
        begun = self.written()
        if begun is None or not self.has_keeper(self.alive):
            return False
        try:
            os.kill(begun["pid"], signal.SIGTERM)
        except ProcessLookupError:
            return False
        return True

    def judge(self):
        """Return how the command ended, by what its keeper wrote last."""
        self.output.end()
        self.report_offset()
        ended = self.written()
        if ended is None:
            why = tail_of(self.log, 0) or "its keeper ended at once."
            raise Failure(
                "keeper-failed",
                f"The command was not started: {why}",
                "See that this host's Python works.",
                begun=False,
            )
        if ended["state"] != "ended":
            raise self.unclear("was started, but how it ended is not known")
        return {"status": ended["status"], "why": ended["why"], "said": ended.get("said")}

    @staticmethod
    def unclear(how):
        """Return the Failure for a command of which nobody knows whether it did its work."""
        return Failure(
            "unclear",
            f"The command {how}; it is not repeated, as that might do its work twice.",
            "See on the host what it did before you run it again.",
        )
