"""The release process of an application (database migrations, …): run once per deploy, before the first switch."""

import os
import signal
import threading
import time

from remote.agent.failures import Aborted, Failure
from remote.agent.machine.commands import plain_environment, start_time
from remote.agent.machine.files import discard, read_bytes, read_json, write_file, write_json
from remote.agent.machine.logs import pass_on, tail_of
from remote.agent.places import is_plain
from remote.agent.protocol import Output
from remote.agent.supervision.launchers import launcher_text


class ReleaseProcess:
    """A command that must run exactly once for its key, whatever happens to us meanwhile.

    It runs in a session of its own, writes into a file and leaves its exit status in another one, so it outlives a killed
    agent and the next one adopts it. Where neither status nor process is left, nobody knows: that is reported, not repeated.
    """

    WRAPPER = '/bin/sh "$1" </dev/null >>"$2" 2>&1; printf "%s\\n" "$?" >"$3.partial" && mv "$3.partial" "$3"'

    def __init__(self, host, spec, slot, once):
        self.host, self.spec, self.slot, self.once = host, spec, slot, once
        if not is_plain(once["key"]):
            raise Failure("bad-request", "'{}' cannot be the key of a command.".format(once["key"]))
        base = os.path.join(host.place.once, once["key"])
        self.journal, self.script, self.log, self.status = base + ".json", base + ".sh", base + ".log", base + ".status"

    def run(self):
        """Run the command or find out how it ended; return a sentence. Raises Failure when it failed or nobody knows."""
        entry = read_json(self.journal)
        if entry is None:
            entry = self.start()
        elif entry["state"] == "finished":
            return self.judge(entry, "had run already")
        elif entry["state"] == "stopped":
            raise self.unclear("was stopped ({})".format(entry["why"]))
        return self.judge(self.follow(entry), "has run")

    def start(self):
        """Write the journal, then start the command."""
        import subprocess

        write_file(
            self.script,
            launcher_text(
                self.host,
                self.spec,
                self.slot,
                "the command '{}'".format(self.once["name"]),
                self.once["command"],
                False,
            ),
            0o700,
        )
        entry = {
            "state": "starting",
            "at": int(time.time() * 1000),
            "name": self.once["name"],
            "deploy": self.spec["deploy"],
        }
        write_json(self.journal, entry)
        argv, nothing = (
            ["/bin/sh", "-c", self.WRAPPER, "windlass-once", self.script, self.log, self.status],
            subprocess.DEVNULL,
        )
        process = subprocess.Popen(
            argv,
            cwd="/",
            env=plain_environment(),
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            start_new_session=True,
        )
        entry.update(state="started", pid=process.pid, started=start_time(process.pid))
        write_json(self.journal, entry)
        threading.Thread(target=process.wait, daemon=True).start()
        return entry

    def is_alive(self, entry):
        """Say whether the command's wrapper still runs."""
        return entry.get("pid") is not None and entry["started"] is not None and start_time(entry["pid"]) == entry["started"]

    def follow(self, entry):
        """Pass the output on until the command has ended; return the journal's entry."""
        output, offset = Output(self.host.emitter, "start"), 0
        deadline = time.monotonic() + self.once["timeout_s"]
        while True:
            alive = self.is_alive(entry)
            before, offset = offset, pass_on(self.log, output, offset)
            if not alive and offset == before:
                break
            if time.monotonic() > deadline:
                output.end()
                raise self.stop(entry, "timeout", "did not end within {} seconds".format(self.once["timeout_s"]))
            try:
                self.host.control.pause()
            except Aborted as aborted:
                output.end()
                if aborted.code == "aborted":
                    self.stop(entry, "cancelled", "was cancelled")
                raise
        output.end()
        status = read_bytes(self.status)
        if status is None or not status.strip().isdigit():
            raise self.unclear("was started, but how it ended is not known")
        entry = dict(entry, state="finished", status=int(status))
        if entry["status"]:  # The output is kept only where the next attempt needs it: there may be secrets in it.
            entry["tail"] = tail_of(self.log, 0)
        write_json(self.journal, entry)
        discard(self.log)
        return entry

    def stop(self, entry, why, how):
        """End the command with its whole process group and note that it did not finish; return the Failure for it."""
        write_json(self.journal, dict(entry, state="stopped", why=why))
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 5
            try:
                os.killpg(entry["pid"], number)
                while time.monotonic() < deadline:
                    time.sleep(0.02)
                    os.killpg(entry["pid"], 0)  # Fails once nobody of the group is left.
            except ProcessLookupError:
                break
        return Failure(
            "once-" + why,
            "The command '{}' {} and was ended.".format(self.once["name"], how),
            "See how far it came before you deploy again.",
        )

    def judge(self, entry, how):
        """Return the sentence for a command that ended well; raise Failure for one that did not."""
        if entry["status"] == 0:
            return "'{}' {}".format(self.once["name"], how)
        raise Failure(
            "once-failed",
            "The command '{}' {} and ended with status {}.\n{}".format(
                self.once["name"], how, entry["status"], entry.get("tail", "")
            ),
            "Correct it, then deploy again.",
            status=entry["status"],
        )

    def unclear(self, how):
        """Return the Failure for a command of which nobody knows whether it did its work."""
        return Failure(
            "unclear",
            "The command '{}' {}; it is not repeated, as that might do its work twice.".format(self.once["name"], how),
            "See on the host or in its database what it did, put that right, then make a new deploy.",
        )
