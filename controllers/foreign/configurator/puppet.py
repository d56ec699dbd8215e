"""Driver of Puppet: manifests, applied by the host's own puppet: `puppet apply` needs no Puppet server."""

import base64
import contextlib
import json
import re
import threading
from pathlib import Path

from pydantic import Field

from controllers import transports
from controllers.foreign import Proof, attempt
from controllers.foreign.configurator.base import ConfiguratorDriver, FolderSettings
from controllers.foreign.errors import FAILED, STOPPED, TIMED_OUT, TOO_LARGE, UNAVAILABLE, UNUSABLE
from masking import Masker
from remote.session import AgentError, ConnectionLost

MODULES = "modules"
MOST_BYTES = 8 * 1024 * 1024
GRACE_S = 60
LOOK_S = 0.5
MOST_ERRORS = 3
LOCAL_MODULES = "$basemodulepath"
CHANGED, UNCHANGED = 2, 0  # puppet-apply(8), --detailed-exitcodes; 1 and 4 and 6 are failures.
RESOURCE = re.compile(r"(Notice|Error): (/Stage\[[^ ]+?\])/?([^ /]*): (.*)")

# Runs on the host: puts manifest and modules into a private folder for as long as puppet works on them. guard.py ends puppet
# with all that it has started, which leaves its process group.
APPLY = """
import base64, json, os, shutil, signal, sys, tempfile
def leave(*_):
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
given, guard = json.load(sys.stdin), {"__name__": "guard"}
exec(given["guard"], guard)
os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin:/opt/puppetlabs/bin"
folder = tempfile.mkdtemp(prefix="windlass-puppet-")
try:
    for name, content in given["files"].items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(base64.b64decode(content))
    status = 127
    if shutil.which(given["argv"][0]):
        status = guard["main"](os.pipe()[0], [word.replace("{folder}", folder) for word in given["argv"]])
    else:
        print("there is no program '%s' on this host" % given["argv"][0])
finally:
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(status)
""".strip()
GUARD = Path(__file__).with_name("guard.py")


class Puppet(ConfiguratorDriver):
    """Puppet manifests in a folder of the workers, applied on each host by the puppet that is installed there."""

    name = "puppet"
    opened = "puppet.manifests"

    class Settings(FolderSettings):
        """Where the manifests are, and how the hosts' puppet is started."""

        command: list[str] = Field(
            default=["puppet"],
            min_length=1,
            max_length=20,
            description='Argv of puppet on the hosts, such as ["sudo", "-n", "puppet"].',
        )

    def carry_out(self, job):
        """Apply a manifest on a host; returns whether it changed anything."""
        about = self.Settings.model_validate(self.access.settings)
        limit_s = min(about.time_limit_s, job.limit_s)
        listener = Listener(job.on_event, Masker(job.secrets))
        files = self.sent(job)
        argv = argv_of(about.command, files, job.is_check)
        try:
            with contextlib.closing(transports.open_host(job.host)) as session, ended_by(job.stop, session):
                answer = session.request(
                    "run",
                    on_event=listener.take,
                    timeout_s=limit_s + GRACE_S,
                    root=job.host.root,
                    app=None,
                    settings=job.host.settings,
                    key=job.key,
                    epoch=job.epoch,
                    lock_wait_s=LOOK_S,
                    argv=[job.host.settings["python"], "-I", "-S", "-c", APPLY],
                    time_limit_s=limit_s,
                    offset=0,
                    input=json.dumps({"files": files, "argv": argv, "guard": GUARD.read_text(encoding="utf-8")}),
                )
        except AgentError as error:
            if job.stop.is_set():
                raise self.stopped(job) from None
            remedy = f" {error.remedy}" if error.remedy else ""
            raise self.error(f"could not apply {job.run}: {error.message}{remedy}", UNUSABLE) from None
        except ConnectionLost as error:
            if job.stop.is_set():
                raise self.stopped(job) from None
            raise self.error(f"could not reach the host: {error}", UNAVAILABLE) from None
        return self.judged(job, answer, listener, limit_s)

    def judged(self, job, answer, listener, limit_s):
        """Return whether puppet changed anything, by how it ended. Raises ForeignError."""
        if answer["why"] == "timeout":
            raise self.error(f"did not apply {job.run} within {limit_s} s, so it was stopped.", TIMED_OUT)
        if answer["why"] == "cancelled":
            raise self.stopped(job)
        if answer["status"] in (UNCHANGED, CHANGED):
            return answer["status"] == CHANGED
        message = listener.message() or f"puppet ended with status {answer['status']}"
        if answer["status"] == 127:
            raise self.error(f"cannot apply {job.run}: {message}. Install puppet-agent there, or correct settings.command.")
        raise self.error(f"failed to apply {job.run}: {message}", FAILED, vendor_message=message)

    def stopped(self, job):
        """Return the error of a run that was stopped."""
        return self.error(f"was stopped while it applied {job.run}.", STOPPED)

    def sent(self, job):
        """Return {path: content as base64} of what the host needs: modules, and the manifest with its variables before it."""
        given = "".join(f"${name} = {puppet_of(value)} " for name, value in job.variables.items())
        found = {"manifest.pp": given.encode() + self.place(job.run).read_bytes()}
        for path in self.files():
            name = path.relative_to(self.folder)
            if name.parts[0] == MODULES:
                if not path.resolve().is_relative_to(self.folder):
                    raise self.error(f"has the link {name}, which leads out of its folder.")
                found[str(name)] = path.read_bytes()
        size = sum(map(len, found.values()))
        if size > MOST_BYTES:
            raise self.error(
                f"has {size} bytes of manifest and modules; {MOST_BYTES} are the most. Install large modules on the hosts.",
                TOO_LARGE,
            )
        return {name: base64.b64encode(content).decode() for name, content in found.items()}

    def prove(self, **hints):
        """See that the folder can be read. Which puppet a host has shows when it is used there."""
        sentence = "{} Puppet runs on the hosts: install puppet-agent there."
        return Proof(None, [attempt("folder", self.opened_folder, sentence.format)])


def argv_of(command, files, is_check):
    """Return the argv of puppet; {folder} stands for where the host has the files."""
    options = ["--detailed-exitcodes", "--color=false", "--logdest=console", *(["--noop"] if is_check else [])]
    if any(name.startswith(f"{MODULES}/") for name in files):
        options.append(f"--modulepath={{folder}}/{MODULES}:{LOCAL_MODULES}")
    return [*command, "apply", *options, "{folder}/manifest.pp"]


def puppet_of(value):
    """Return JSON data as Puppet writes it; nothing in a string is expanded."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{puppet_of(name)} => {puppet_of(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(puppet_of, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "undef" if value is None else json.dumps(value)


@contextlib.contextmanager
def ended_by(stop, session):
    """Have the agent end what it runs once `stop` is set, for the length of the block."""
    over = threading.Event()

    def look():
        """Wait for one of the two ends."""
        while not over.wait(LOOK_S):
            if stop.is_set():
                session.abort("cancelled")
                return

    threading.Thread(target=look, name="puppet-stop", daemon=True).start()
    try:
        yield
    finally:
        over.set()


class Listener:
    """Passes on what puppet writes, and remembers its errors."""

    def __init__(self, on_event, masked):
        self.on_event, self.masked = on_event, masked
        self.errors, self.last = [], ""

    def take(self, event):
        """Take one event of the agent."""
        if event.get("event") != "output":
            return
        for line in event["text"].splitlines():
            if line.strip():
                self.pass_on(self.masked(line.rstrip()))

    def pass_on(self, line):
        """Pass on a line, and what became of a resource if it is about one."""
        self.last = line
        self.on_event({"kind": "output", "text": line})
        if line.startswith("Error: ") and not line.startswith("Error: Facter: "):
            self.errors.append(line.removeprefix("Error: "))
        about = RESOURCE.match(line)
        if about:
            state = "failed" if about[1] == "Error" else "changed"
            self.on_event({"kind": "task", "text": f"{about[2]}{about[3]}", "data": {"state": state}})

    def message(self):
        """Return puppet's errors, or else the last line it wrote."""
        return "; ".join(self.errors[:MOST_ERRORS]) or self.last
