"""A stand-in for systemd, where none can run: it reads real unit files, starts real processes, and answers as systemctl does.

As `systemctl.py serve SOCKET FOLDER` it is the manager, which starts the units that FOLDER's *.wants enable; otherwise it is the
client, which hands its arguments to the manager at $WINDLASS_TEST_SYSTEMD. What it knows follows systemd.service(5),
systemd.exec(5), systemd.kill(5) and systemctl(1); a unit's control group is its process group here.
"""

import fnmatch
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

CLEAN_SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE}
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
NO_BUS = "Failed to connect to bus: No such file or directory"


def split_words(line):
    """Return the words of a command line of a unit file, quotes taken off and C escapes resolved (systemd.syntax(7))."""
    words, position = [], 0
    while True:
        while position < len(line) and line[position] in " \t\n\r":
            position += 1
        if position == len(line):
            return words
        word, quote = "", None
        while position < len(line) and (quote or line[position] not in " \t\n\r"):
            letter = line[position]
            if letter == "\\":
                text, position = unescape(line, position + 1)
                word += text
                continue
            if quote is None and letter in "\"'":
                quote = letter
            elif letter == quote:
                quote = None
            else:
                word += letter
            position += 1
        if quote:
            raise ValueError("unbalanced quotes")
        words.append(word)


def unescape(line, position):
    """Return (what a backslash before `position` stands for with what follows, the place after that)."""
    letter = line[position]
    for mark, digits, base in (("x", 2, 16), ("u", 4, 16), ("U", 8, 16)):
        if letter == mark:
            return chr(int(line[position + 1 : position + 1 + digits], base)), position + 1 + digits
    if letter in "01234567":
        return chr(int(line[position : position + 3], 8)), position + 3
    if letter in ESCAPES:
        return ESCAPES[letter], position + 1
    if letter in "\\\"'":
        return letter, position + 1
    raise ValueError(f"unknown escape {letter!r}")


def without_specifiers(text):
    """Return a text with %% resolved; any other specifier is an error here, as none is wanted."""
    if re.sub("%%", "", text).count("%"):
        raise ValueError(f"a specifier in {text!r}")
    return text.replace("%%", "%")


def argv_of(line):
    """Return the argv that systemd starts for an ExecStart= line: words, then specifiers, then $$."""
    words = [without_specifiers(word) for word in split_words(line)]
    if any(re.search(r"\$[^$]", word.replace("$$", "")) for word in words[1:]):
        raise ValueError("a variable in the command line")
    return words[:1] + [word.replace("$$", "$") for word in words[1:]]


def parse(text):
    """Return {(section, key): value} of a unit file."""
    values, section = {}, None
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line.strip() and line[0] not in "#;":
            key, _, value = line.partition("=")
            values[section, key] = value.strip()
    return values


class Unit:
    """One service: what its file said when it was loaded, and its process."""

    def __init__(self, name, path):
        self.name, self.path = name, path
        self.text, self.process = None, None
        self.active, self.sub, self.result = "inactive", "dead", "success"
        self.status, self.restarts, self.entered, self.due, self.starts = 0, 0, 0.0, None, []

    def load(self):
        """Read the file unless it is loaded already."""
        if self.text is None and self.path.exists():
            self.text = self.path.read_text()

    def get(self, section, key, default=None):
        """Return a setting."""
        return parse(self.text or "").get((section, key), default)

    def set(self, active, sub, result=None):
        """Enter a state."""
        self.active, self.sub, self.result = active, sub, result or self.result

    def start(self):
        """Start the process; say whether that was done."""
        now, limit_s = time.monotonic(), float(self.get("Unit", "StartLimitIntervalSec", "10"))
        self.starts = [at for at in self.starts if now - at < limit_s]
        if len(self.starts) >= int(self.get("Unit", "StartLimitBurst", "5")):
            self.set("failed", "failed", self.result if self.result != "success" else "start-limit-hit")
            return False
        self.starts.append(now)
        log = self.get("Service", "StandardOutput").removeprefix("append:")
        with open(without_specifiers(log), "ab") as output:
            self.process = subprocess.Popen(
                argv_of(self.get("Service", "ExecStart")),
                cwd=without_specifiers(self.get("Service", "WorkingDirectory")),
                env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.entered = now
        self.set("active", "running", "success")
        return True

    def signal(self, number, is_group):
        """Signal the main process or all of the unit."""
        try:
            (os.killpg if is_group else os.kill)(self.process.pid, number)
        except ProcessLookupError:
            pass

    def stop(self):
        """Begin to stop."""
        if self.process is None:
            return self.set("failed" if self.active == "failed" else "inactive", "dead")
        if self.active != "deactivating":
            self.due = time.monotonic() + float(self.get("Service", "TimeoutStopSec", "90"))
            self.set("deactivating", "stop-sigterm")
            self.signal(signal.SIGTERM, self.get("Service", "KillMode") == "control-group")

    def tick(self):
        """Notice what became of the process."""
        now = time.monotonic()
        if self.process is None:
            if self.sub == "auto-restart" and now >= self.due:
                self.restarts += 1
                self.start()
            return
        status = self.process.poll()
        if status is None:
            if self.active == "deactivating" and now > self.due:
                self.set("deactivating", "stop-sigkill", "timeout")
                self.signal(signal.SIGKILL, True)
            return
        self.signal(signal.SIGKILL, True)  # What is left of the unit's processes.
        self.process, self.status = None, abs(status)
        is_clean = status == 0 or -status in CLEAN_SIGNALS
        result = "success" if is_clean else "exit-code" if status > 0 else "signal"
        if self.active == "deactivating":
            result = "timeout" if self.sub == "stop-sigkill" else result
            self.set(*(("inactive", "dead") if result == "success" else ("failed", "failed")), result)
        elif self.get("Service", "Restart") == "always":
            self.due = now + float(self.get("Service", "RestartSec", "0.1"))
            self.set("activating", "auto-restart", result)
        else:
            self.set(*(("inactive", "dead") if is_clean else ("failed", "failed")), result)

    def properties(self):
        """Return what `show` tells."""
        is_there = self.path.exists()
        needs = self.text is not None and (not is_there or self.path.read_text() != self.text)
        return {
            "Result": self.result, "NRestarts": self.restarts, "MainPID": self.process.pid if self.process else 0,
            "ExecMainStatus": self.status, "Id": self.name, "LoadState": "loaded" if self.text is not None else "not-found",
            "ActiveState": self.active, "SubState": self.sub, "NeedDaemonReload": "yes" if needs else "no",
            "ActiveEnterTimestampMonotonic": int(self.entered * 1e6),
        }  # fmt: skip


class Manager:
    """All units of one folder."""

    def __init__(self, folder):
        self.folder, self.units = Path(folder), {}
        self.reloads = 0

    def unit(self, name):
        """Return a unit, loaded."""
        unit = self.units.setdefault(name, Unit(name, self.folder / name))
        unit.load()
        return unit

    def link(self, name):
        """Return the link that starts a unit with the machine."""
        return self.folder / f"{self.unit(name).get('Install', 'WantedBy')}.wants" / name

    def boot(self):
        """Start what is enabled."""
        for link in sorted(self.folder.glob("*.wants/*.service")):
            self.unit(link.name).start()

    def answer(self, argv):
        """Return (exit status, output) of a systemctl command."""
        words = [word for word in argv if not word.startswith("-")]
        options = {word.partition("=")[0]: word.partition("=")[2] for word in argv if word.startswith("-")}
        verb, names = words[0], words[1:]
        return getattr(self, "do_" + verb.replace("-", "_"))(names, options)

    def do_show(self, names, options):
        if not names:
            return 0, f"Version=252.39\nNReloads={self.reloads}\n"
        wanted = options["--property"].split(",")
        found = {}
        for name in names:
            is_pattern = "*" in name
            loaded = [known for known, unit in self.units.items() if unit.text is not None or unit.process]
            for each in fnmatch.filter(loaded, name) if is_pattern else [name]:
                found[each] = self.unit(each).properties()
        blocks = ["".join(f"{key}={value}\n" for key, value in seen.items() if key in wanted) for seen in found.values()]
        return 0, "\n".join(blocks)

    def do_daemon_reload(self, names, options):
        self.reloads += 1
        for name, unit in list(self.units.items()):
            unit.text = unit.path.read_text() if unit.path.exists() else None
            if unit.text is None and unit.process is None:
                del self.units[name]
        return 0, ""

    def do_start(self, names, options):
        said = ""
        for unit in map(self.unit, names):
            if unit.text is None:
                return 5, f"Failed to start {unit.name}: Unit {unit.name} not found.\n"
            if unit.process is None and not unit.start():
                said += f"Job for {unit.name} failed.\n"
        return (1, said) if said else (0, "")

    def do_stop(self, names, options):
        for unit in map(self.unit, names):
            if unit.text is None and unit.process is None:
                return 5, f"Failed to stop {unit.name}: Unit {unit.name} not loaded.\n"
            unit.stop()
        return 0, ""

    def do_enable(self, names, options):
        for name in names:
            if not (self.folder / name).exists():
                return 1, f"Failed to enable unit: Unit file {name} does not exist.\n"
            self.link(name).parent.mkdir(exist_ok=True)
            self.link(name).unlink(missing_ok=True)
            self.link(name).symlink_to(self.folder / name)
        return 0, ""

    def do_disable(self, names, options):
        for name in names:
            if not (self.folder / name).exists():
                return 1, f"Failed to disable unit: Unit file {name} does not exist.\n"
            self.link(name).unlink(missing_ok=True)
        return 0, ""

    def do_reset_failed(self, names, options):
        for unit in map(self.unit, names):
            unit.starts, unit.restarts = [], 0
            if unit.active == "failed":
                unit.set("inactive", "dead", "success")
        return 0, ""

    def do_is_active(self, names, options):
        states = [self.unit(name).active for name in names]
        return (0 if "active" in states else 3), "\n".join(states) + "\n"


def serve(path, folder):
    """Be the manager until killed."""
    for number in CLEAN_SIGNALS - {signal.SIGPIPE}:  # As systemd does, whatever we were started with.
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    manager = Manager(folder)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(64)
    manager.boot()
    os.rename(path + ".new", path)
    while True:
        ready = select.select([listener], [], [], 0.05)[0]
        for unit in manager.units.values():
            unit.tick()
        if ready:
            connection = listener.accept()[0]
            with connection, connection.makefile("rw") as stream:
                status, text = manager.answer(json.loads(stream.readline()))
                stream.write(json.dumps([status, text]))


def main():
    """Be a systemctl."""
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ["WINDLASS_TEST_SYSTEMD"])
        except OSError:
            sys.exit(NO_BUS)
        with connection.makefile("rw") as stream:
            stream.write(json.dumps(sys.argv[1:]) + "\n")
            stream.flush()
            status, text = json.loads(stream.read())
    (sys.stderr if status else sys.stdout).write(text)
    sys.exit(status)


if __name__ == "__main__":
    main()
