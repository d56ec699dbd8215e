"""Looking at processes while they start."""

import time

from remote.agent.failures import Failure
from remote.agent.machine.logs import size_of, tail_of


class Watch:
    """Looks at the processes of a slot while they start, and at what they say."""

    def __init__(self, host, slot, names):
        self.host, self.slot, self.names = host, slot, list(names)
        self.supervisor = host.slot(slot).supervisor()
        self.infos, self.backoffs, self.looked_at = {}, {}, 0.0
        self.marks = {path: size_of(path) for path in self.default_logs()}

    def default_logs(self):
        """Return where the processes' output goes unless the supervisor says otherwise."""
        return [f"{self.host.place.logs}/{name}.log" for name in self.names]

    def mark(self):
        """Note how long the logs are, so that only what comes now is shown."""
        for info in self.supervisor.states(self.slot, self.names).values():
            for path in info["logs"]:
                self.marks.setdefault(path, size_of(path))

    def look(self):
        """Look at the states, now and then; raise Failure when a process does not stay up."""
        self.host.control.check()
        if time.monotonic() - self.looked_at < self.supervisor.look_s:
            return
        infos = self.supervisor.states(self.slot, self.names)
        self.looked_at = time.monotonic()
        for name in self.names:
            info, before = infos.get(name), self.infos.get(name)
            if info is None:
                raise Failure(
                    "process-failed",
                    f"{self.supervisor.kind} knows no process '{name}' in slot {self.slot}.",
                    "Deploy again; somebody may have removed it.",
                    process=name,
                )
            if info["state"] == "BACKOFF" and (
                before is None or before["state"] != "BACKOFF" or (before.get("restarts") != info.get("restarts"))
            ):
                self.backoffs[name] = self.backoffs.get(name, 0) + 1
            if info["state"] in ("FATAL", "EXITED", "STOPPED", "UNKNOWN") or self.backoffs.get(name, 0) > 1:
                raise self.failed(name, info)
        self.infos = infos

    def failed(self, name, info):
        """Return the Failure for a process that does not stay up."""
        return Failure(
            "process-failed",
            "The process '{}' does not stay up ({}: {}).{}".format(
                name, info["state"], info["note"] or "it ended", self.tail(name, info)
            ),
            "Correct what its log says, then deploy again.",
            process=name,
        )

    def tail(self, name, info=None):
        """Return the last lines a process has written since it was started, ready to be appended to a message."""
        paths = (info or self.infos.get(name) or {"logs": []})["logs"] or [f"{self.host.place.logs}/{name}.log"]
        texts = []
        for path in paths:
            text = tail_of(path, self.marks.get(path, 0))
            if text:
                texts.append(f"\n--- end of {path}\n{text}")
        return "".join(texts)

    def await_running(self, names, limit_s):
        """Wait until processes have been up for as long as their supervisor asks (startsecs)."""
        deadline = time.monotonic() + limit_s
        while True:
            self.look()
            waiting = [name for name in names if self.infos.get(name, {}).get("state") != "RUNNING"]
            if not waiting:
                return
            if time.monotonic() > deadline:
                name = waiting[0]
                raise Failure(
                    "process-failed",
                    f"The process '{name}' was not up within {limit_s} seconds.{self.tail(name)}",
                    "Correct what its log says, then deploy again.",
                    process=name,
                )
            self.host.control.pause()
