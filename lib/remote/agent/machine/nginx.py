"""An application's site in nginx: write it, try it out, reload, and prove that nginx goes by it."""

import fcntl
import os
import time

from remote.agent.failures import Failure
from remote.agent.machine.commands import located, run_command
from remote.agent.machine.files import (
    ASIDE,
    discard,
    flush_folder,
    read_bytes,
    read_json,
    read_link,
    write_file,
    write_json,
)
from remote.agent.machine.http import http_get

UNDO = ".windlass-undo-"
STEADY_S = 0.4  # nginx starts new worker processes and tells the old ones to end 100 ms later
SITES_REMEDY = "Create it and include it in nginx's configuration, or correct nginx.sites in the host's settings."
PROOF = "# windlass-proof "


def proof_in(text):
    """Return (path, token) of a site's text: a location that answers with the token once this very text is being served."""
    for line in (text or "").splitlines():
        words = line.strip().split()
        if line.strip().startswith(PROOF) and len(words) == 4:
            return words[2], words[3]
    return None


def names_in(text):
    """Return the server names of a site's text."""
    found = []
    for line in (text or "").splitlines():
        words = line.strip().rstrip(";").split()
        found += words[1:] if words[:1] == ["server_name"] else []
    return found


def conflicting_names(output):
    """Return the server names that nginx -t calls conflicting: `conflicting server name "a.example" on 0.0.0.0:80, ignored`."""
    return [part.split('"')[1] for part in output.split("conflicting server name ")[1:] if part.count('"') > 1]


def listen_address(listen):
    """Return the address at which this host's nginx answers, from a listen value such as "80" or "127.0.0.2:8080"."""
    value = str(listen).split()[0]
    if value.startswith("unix:"):
        return value[len("unix:") :]
    host, _, port = value.rpartition(":")
    host = host.strip("[]")
    return ("127.0.0.1" if host in ("", "*", "0.0.0.0") else "::1" if host == "::" else host, int(port))


class Nginx:
    """One application's site, changed under a lock that all agents on the host share (the sites folder itself).

    While a changed site is on trial, `.windlass-undo-<file>` beside it holds what was there before. Whoever takes the lock
    next settles what a killed agent left: forward when the slot the site is for has been switched to, back otherwise.
    """

    def __init__(self, settings, control):
        self.settings, self.control = settings, control
        self.folder = settings["sites"]
        self.lock = None

    def __enter__(self):
        """Take the lock and settle what others left."""
        try:
            self.lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Failure(
                "sites-dir-missing", f"The folder {self.folder} for nginx sites does not exist.", SITES_REMEDY
            ) from None
        deadline = time.monotonic() + 60
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self.lock)
                    raise Failure(
                        "nginx-locked",
                        "Another deploy on this host has been changing nginx's sites for a minute.",
                        "Wait until it has ended, then try again.",
                    ) from None
            self.control.pause()
        try:
            self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        os.close(self.lock)
        self.lock = None

    def path(self, name):
        """Return the path of a site file."""
        return os.path.join(self.folder, name)

    def text(self, name):
        """Return the text of a site file or None."""
        content = read_bytes(self.path(name))
        return None if content is None else content.decode("utf-8", "replace")

    def leftovers(self):
        """Return the names of what killed agents left in the folder."""
        return [entry for entry in os.listdir(self.folder) if entry.startswith((UNDO, ASIDE))]

    def settle(self):
        """Finish or take back what a killed agent had on trial. Only holders of the lock write here, so nobody is disturbed."""
        for entry in self.leftovers():
            undo = read_json(self.path(entry)) if entry.startswith(UNDO) else None
            if undo is not None and read_link(undo["switch"]) != undo["wanted"]:
                self.install(entry[len(UNDO) :], undo["text"])
            try:
                if undo is not None and undo["reload"]:
                    self.reload()
            except Failure:
                continue  # nginx does not run now; the note stays until it has been told.
            discard(self.path(entry))

    def install(self, name, text):
        """Put a site's text in place; None removes the file."""
        if text is None:
            discard(self.path(name))
            flush_folder(self.folder)
        else:
            write_file(self.path(name), text)

    def try_out(self, name, text, switch, desired):
        """Put a new text in place, remembering the old one; `switch` is the link that will name `wanted` once it counts."""
        undo = {"text": self.text(name), "switch": switch, "wanted": desired, "reload": False}
        write_json(self.path(UNDO + name), undo)
        self.install(name, text)
        return undo

    def test(self, names=()):
        """Raise Failure with nginx's own words when it does not accept its configuration.

        Where two sites have the same server name, nginx only warns and serves one of them; for `names` that is refused, too.
        """
        status, text = run_command([*located(self.settings["command"]), "-t"], 30)
        if status:
            raise Failure(
                "nginx-refused",
                f"nginx does not accept its configuration: {text[-2000:] or status}",
                "Correct what the message names; the site that served before is still in place.",
            )
        taken = sorted({name.lower() for name in names}.intersection(conflicting_names(text)))
        if taken:
            raise Failure(
                "server-name-taken",
                "Another site of this host's nginx already has the server name {}.".format(", ".join(taken)),
                "Give this target other server_names, or take this one out of the other site.",
            )

    def will_reload(self, name, undo):
        """Note that from now on a settlement has to reload nginx too."""
        write_json(self.path(UNDO + name), dict(undo, reload=True))

    def reload(self):
        """Have nginx read its configuration again; it does so on its own time."""
        status, text = run_command([*located(self.settings["command"]), "-s", "reload"], 30)
        if status:
            raise Failure(
                "nginx-not-reloaded",
                f"nginx was not reloaded: {text[-2000:] or status}",
                "See whether nginx runs on the host and whether nginx.command in its settings is right.",
            )

    def keep(self, name):
        """The text on trial stays."""
        discard(self.path(UNDO + name))

    def take_back(self, name, undo):
        """The text on trial goes, the old one returns."""
        self.install(name, undo["text"])
        discard(self.path(UNDO + name))

    def prove(self, text, host, timeout_s=10, steady_s=0.0):
        """Wait until nginx serves this very text; with `steady_s`, until for so long no worker process of old answered.

        Raises Failure when nginx goes on serving something else. One that does not answer at all serves nobody, so that
        nobody is harmed: whether it should is not decided here.
        """
        proof = proof_in(text)
        if proof is None:
            self.control.pause(max(0.3, steady_s))  # Nothing tells an old worker process from a new one.
            return
        address = listen_address(self.settings["listen"])
        deadline = time.monotonic() + timeout_s
        since, was_answered = None, False
        while True:
            try:
                body = http_get(address, proof[0], host, 2, self.control.check)[1]
                was_answered = True
                since = (since or time.monotonic()) if proof[1].encode() in body else None
            except (OSError, ValueError):
                since = None
            if since is not None and time.monotonic() - since >= steady_s:
                return
            if time.monotonic() > deadline and was_answered:
                raise Failure(
                    "nginx-not-reloaded",
                    f"nginx was told to reload but does not serve this site to those who ask for '{host}'.",
                    "Where another site of this host answers to that name, give the target server_names of its own; else see "
                    "nginx's error log: often a port it is to listen on is in use.",
                )
            if time.monotonic() > deadline - timeout_s + 2 and not was_answered:
                return
            self.control.pause()
