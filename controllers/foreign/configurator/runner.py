"""Play an Ansible playbook on one host: ansible-runner as a child process, its events passed on as they come.

    place = runner.reaching(host)
    outcome = runner.play(Path("/srv/playbooks/site.yml"), place, on_event=print, time_limit_s=600)

ansible_runner is never imported here: in a process patched by gevent it hangs. All it needs is
in a private folder that is removed with whatever it held; none of this process's environment reaches it.
"""

import contextlib
import json
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

import scratch
import subprocesses
from config import settings
from controllers import zonekeys
from controllers.foreign.errors import BAD_ANSWER, FAILED, STOPPED, TIMED_OUT, UNAVAILABLE, UNUSABLE, ForeignError
from masking import Masker

GUARD = Path(__file__).with_name("guard.py")
IDENT = "play"
MOST_EVENT_BYTES = 16 * 1024 * 1024
MOST_LINE = 8 * 1024
LAST_LINES = 12
LONGEST_SOCKET = 107  # sockaddr_un (unix(7)); ssh adds 17 characters while it makes one, Ansible 14.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STATES = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}
LACKING = {
    "cannot be started": "{python} cannot be started",
    "No module named ansible_runner": "ansible-runner is not installed for {python}",
    "not found or was not executable: ansible-playbook": "there is no ansible-playbook beside {python}",
}
WRONG_KEY = re.compile(r"REMOTE HOST IDENTIFICATION|Host key verification failed")
REMEDY = "Install ansible-core and ansible-runner for the workers, and name their Python in the setting ansible.python."

SSH_CONFIG = """Host *
    BatchMode yes
    IdentitiesOnly yes
    IdentityAgent none
    IdentityFile "{folder}/key"
    PreferredAuthentications publickey
    StrictHostKeyChecking yes
    UserKnownHostsFile "{folder}/known_hosts"
    GlobalKnownHostsFile /dev/null
    UpdateHostKeys no
    ForwardAgent no
    ClearAllForwardings yes
    ConnectTimeout {connect_timeout_s}
    ServerAliveInterval {keepalive_s}
    ServerAliveCountMax 3
"""


@dataclass(frozen=True)
class Place:
    """Where a playbook is played: the host's name, its Ansible variables and groups; for SSH its known_hosts and the key."""

    name: str
    variables: dict
    groups: tuple = ()
    known_hosts: str = ""
    private_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Outcome:
    """How a playbook went that did not fail: whether it changed anything, and Ansible's count of tasks by what became of them."""

    changed: bool
    counts: dict


def reaching(host, user=None, groups=()):
    """Return the Place of a host (a models.Host), logged in to as `user` (default: its own). Raises ForeignError."""
    python = host.settings["python"]
    about = {
        "ansible_python_interpreter": python if python.startswith("/") else "auto_silent",
        "windlass_root": host.root,
        "windlass_tags": host.tags,
        "windlass_zone": host.zone.name,
    }
    if host.transport == "local":
        return Place(host.name, {**about, "ansible_connection": "local"}, tuple(groups))
    if not host.host_key:
        raise ForeignError(f"Nobody has pinned the key of host {host.name}: compare it, then windlass hosts trust {host.name}.")
    try:
        private_key = Path(zonekeys.key_file(host.zone.name)).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise ForeignError(
            f"The SSH key of zone {host.zone.name} cannot be read ({error}); see the setting ssh.key_file."
        ) from None
    where = {
        "ansible_connection": "ssh",
        "ansible_host": host.address,
        "ansible_port": host.port,
        "ansible_user": user or host.user,
    }
    name = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
    known_hosts = f"{name} {host.host_key}\n"
    return Place(host.name, {**where, **about}, tuple(groups), known_hosts, private_key)


def play(playbook, place, *, variables=None, on_event=None, time_limit_s, stop=None, secrets=(), check=False, verbosity=0):
    """Play a playbook (a Path) on one host (a Place); returns its Outcome.

    variables: extra variables, which take precedence over all others and are never taken for templates; on_event(event) is
    called in this thread with {"kind": "task", "text": name, "data": {"state": ok|changed|failed|ignored|skipped|
    unreachable}} and {"kind": "output", "text": line}; stop: a threading.Event that ends it; secrets: values that no event
    and no message shows; check: see what would change, changing nothing; verbosity: how many -v.

    When this returns, none of its processes is left; when this process dies, they end too. Raises ForeignError: kind
    "failed" with the message of the task that failed, "unavailable" for a host that could not be reached, "timed-out",
    "stopped", "unusable" where ansible-runner is not there, "bad-answer" for a playbook that Ansible cannot read.
    """
    with scratch.folder("ansible") as folder, lifeline() as reading_end:
        lay_out(folder, place, variables or {})
        listener = Listener(on_event, Masker(secrets))
        argv = [*guarded(reading_end), *runner_argv(folder, Path(playbook), check, verbosity)]
        try:
            subprocesses.run(
                argv,
                environment=environment_in(folder),
                folder=folder,
                timeout_s=time_limit_s,
                on_output=listener.feed,
                on_line=listener.complaint,
                keep_open=(reading_end,),
                stop=stop,
            )
            status = 0
        except subprocesses.Stopped:
            raise ForeignError(f"The playbook {Path(playbook).name} was stopped.", STOPPED) from None
        except subprocesses.TimedOut:
            raise ForeignError(
                f"The playbook {Path(playbook).name} did not end within {time_limit_s:.0f} s, so it was stopped"
                f"{listener.where()}.",
                TIMED_OUT,
            ) from None
        except subprocesses.NotStarted as error:
            raise ForeignError(f"{error} {REMEDY}", UNUSABLE) from None
        except subprocesses.Failed as error:
            status = error.status
    return listener.outcome(place, Path(playbook).name, status)


def installed(timeout_s=30):
    """Return {"ansible-runner": version, "ansible-core": version} of what is there to play with. Raises ForeignError."""
    script = "import importlib.metadata as m; print(m.version('ansible-runner')); print(m.version('ansible-core'))"
    try:
        done = subprocesses.run([python(), "-I", "-c", script], environment={"PATH": SYSTEM_PATH}, timeout_s=timeout_s)
    except subprocesses.CommandError as error:
        why = next((line for line in error.tail[-1:]), str(error))
        raise ForeignError(f"ansible-runner cannot be used ({why.rstrip('.')}). {REMEDY}", UNUSABLE) from None
    return dict(zip(("ansible-runner", "ansible-core"), done.output.decode().split(), strict=False))


# What the child process is given.


@contextlib.contextmanager
def lifeline():
    """Yield the reading end of a pipe that nobody writes to; its other end closes when this process ends, or the block."""
    reading_end, writing_end = os.pipe()
    try:
        yield reading_end
    finally:
        os.close(writing_end)
        os.close(reading_end)


def python():
    """Return the Python that has ansible-runner: the setting's, or this one."""
    return settings.ansible.python or sys.executable


def guarded(reading_end):
    """Return the beginning of an argv that has the rest run under guard.py."""
    return [sys.executable, "-I", "-S", str(GUARD), str(reading_end)]


def runner_argv(folder, playbook, check, verbosity):
    """Return the argv of ansible-runner."""
    options = [f"-{'v' * verbosity}"] if verbosity else []
    options += ["--cmdline=--check --diff"] if check else []
    return [
        *(python(), "-I", "-m", "ansible_runner", "run", str(folder), "-j", "-i", IDENT, *options),
        *("--project-dir", str(playbook.parent), "-p", playbook.name),
    ]


def environment_in(folder):
    """Return the variables of ansible-runner: nothing of this process's own, no configuration file of the machine or the user."""
    control = folder / "c"
    multiplexing = (
        "-o ControlMaster=auto -o ControlPersist=60s"
        if len(str(control)) + 31 <= LONGEST_SOCKET
        else "-o ControlMaster=no -o ControlPath=none"
    )
    return {
        "PATH": f"{os.path.dirname(os.path.abspath(python()))}:{SYSTEM_PATH}",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_SSH_ARGS": f"-F {shlex.quote(str(folder / 'ssh_config'))} {multiplexing}",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
        "ANSIBLE_PIPELINING": "False",
        "ANSIBLE_SSH_TRANSFER_METHOD": "piped",
        "ANSIBLE_TIMEOUT": str(settings.ssh.connect_timeout_s),
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
    }


def lay_out(folder, place, variables):
    """Write what ansible-runner reads into its private folder; every file is for this user alone."""
    inventory = {"all": {"hosts": {place.name: place.variables}}}
    inventory.update({group: {"hosts": {place.name: {}}} for group in place.groups})
    config = SSH_CONFIG.format(
        folder=folder, connect_timeout_s=settings.ssh.connect_timeout_s, keepalive_s=settings.ssh.keepalive_s
    )
    texts = {
        "ansible.cfg": "",
        "env/settings": yaml_of({"pexpect_timeout": 1}),
        "env/extravars": yaml_of(variables),
        "inventory/hosts.yml": yaml_of(inventory),
        "known_hosts": place.known_hosts,
        "key": place.private_key,
        "ssh_config": config,
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)


def yaml_of(value):
    """Return JSON data as YAML in which no string is taken for a template: else a variable could run programs here."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{quoted(name)}: {yaml_of(item)}' for name, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(yaml_of, value))}]"
    return f"!unsafe {quoted(value)}" if isinstance(value, str) else json.dumps(value)


def quoted(text):
    """Return a string as YAML writes it between quotes; what is not printable is escaped."""
    return '"' + "".join(letter if letter.isprintable() and letter not in '"\\' else escaped(letter) for letter in text) + '"'


def escaped(letter):
    """Return YAML's escape of one character."""
    return f"\\U{ord(letter):08x}"


# Its output.


class Listener:
    """Makes events of ansible-runner's lines, and remembers what decides the outcome."""

    def __init__(self, on_event, masked):
        self.on_event, self.masked = on_event or (lambda event: None), masked
        self.rest = b""
        self.task = None
        self.failure = None
        self.stats = None
        self.last = []

    def feed(self, data):
        """Take more of its standard output: JSON lines."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.take(line)
        if len(self.rest) > MOST_EVENT_BYTES:
            raise ForeignError(f"ansible-runner said more than {MOST_EVENT_BYTES} bytes in one event.", BAD_ANSWER)

    def take(self, line):
        """Take one line, an event; what is none comes from Ansible's or ansible-runner's own mishaps."""
        try:
            event = json.loads(line)
            data = event.get("event_data") or {}
        except (ValueError, AttributeError):
            self.complaint(line.decode("utf-8", "replace"))
            return
        kind = event.get("event")
        for text in (event.get("stdout") or "").splitlines():
            self.pass_on(text)
        if kind == "playbook_on_task_start":
            self.task = data.get("name")
        elif kind == "playbook_on_stats":
            self.stats = data
        elif kind in STATES:
            self.task_ended(STATES[kind], data)

    def task_ended(self, state, data):
        """Pass on what became of a task."""
        result = data.get("res") or {}
        if state == "ok" and result.get("changed"):
            state = "changed"
        if state == "failed" and data.get("ignore_errors"):
            state = "ignored"
        if state in ("failed", "unreachable"):
            self.failure = (state, data.get("task") or self.task, message_of(result))
        self.on_event({"kind": "task", "text": self.masked(data.get("task") or ""), "data": {"state": state}})

    def pass_on(self, text):
        """Hand on one line of output."""
        text = self.masked(subprocesses.TERMINAL_CODES.sub("", text)).rstrip()[:MOST_LINE]
        if text:
            self.last = [*self.last[1 - LAST_LINES :], text]
            self.on_event({"kind": "output", "text": text})

    def complaint(self, text):
        """Take a line that is no event."""
        self.pass_on(text)

    def where(self):
        """Return in which task it is, as the end of a sentence."""
        return f" in the task '{self.masked(self.task)}'" if self.task else ""

    def outcome(self, place, playbook, status):
        """Return the Outcome of a playbook that has ended with an exit status. Raises ForeignError."""
        if self.stats is None:
            raise self.not_played(playbook, status)
        counts = {
            name: (self.stats.get(name) or {}).get(place.name, 0)
            for name in ("ok", "changed", "failures", "dark", "skipped", "ignored", "rescued")
        }
        if status or counts["failures"] or counts["dark"]:
            raise self.failed(playbook, status)
        if place.name not in (self.stats.get("processed") or {}):
            groups = ", ".join(("all", *place.groups))
            raise ForeignError(
                f"No play of {playbook} is for host {place.name}: let one have hosts: all, or a group of it ({groups}).",
                FAILED,
            )
        return Outcome(bool(counts["changed"]), counts)

    def failed(self, playbook, status):
        """Return the error for a playbook of which a task failed."""
        state, task, message = self.failure or ("failed", self.task, f"ansible-playbook ended with status {status}")
        task, message = self.masked(task or "?"), self.masked(message)
        if state == "unreachable" and WRONG_KEY.search(message):
            message = "it shows another key than the one that is pinned; see windlass hosts check"
        if state == "unreachable":
            return ForeignError(
                f"Ansible could not reach the host in the task '{task}' of {playbook}: {message}",
                UNAVAILABLE,
                vendor_message=message,
            )
        return ForeignError(f"The task '{task}' of {playbook} failed: {message}", FAILED, vendor_message=message)

    def not_played(self, playbook, status):
        """Return the error for a playbook that was not played to its end."""
        text = "\n".join(self.last)
        for sign, meaning in LACKING.items():
            if sign in text:
                return ForeignError(f"{meaning.format(python=python())}. {REMEDY}", UNUSABLE)
        message = " ".join(line.strip() for line in self.last if not line.startswith("PLAY ")) or "it said nothing"
        return ForeignError(
            f"Ansible did not play {playbook} (status {status}): {message[:2000]}",
            BAD_ANSWER,
            vendor_message=message[:2000],
        )


def message_of(result):
    """Return what the result of a task that failed says, in one text: its message and the last lines of a command."""
    parts = [result.get("msg") or result.get("censored")]
    for item in result.get("results") or ():
        if isinstance(item, dict) and item.get("failed"):
            parts.append(message_of(item))
    if result.get("rc") is not None:
        parts.append(f"status {result['rc']}")
    for name in ("module_stderr", "stderr", "stdout"):
        if isinstance(result.get(name), str) and result[name].strip():
            parts.append(" ".join(result[name].split("\n")[-LAST_LINES:]).strip())
            break
    return "; ".join(str(part).strip().rstrip(".") for part in parts if part)[:2000] or "it did not say why"
