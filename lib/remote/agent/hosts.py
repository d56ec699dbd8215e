"""One application on this host: what a request is about, with its slots, its supervisor and its steps."""

import os

from remote.agent.failures import failure_of
from remote.agent.machine.commands import find_program
from remote.agent.machine.files import read_json, read_link, write_json
from remote.agent.machine.nginx import Nginx
from remote.agent.places import SLOTS, Place
from remote.agent.releases.slots import Slot
from remote.agent.supervision.supervisors import kind_of, supervisor_from


class Step:
    """One named step: reported and journaled when it begins and when it ends, whichever way.

    One that needs several requests is left under way by all but the last of them: its beginning and end are reported once.
    """

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.message, self.state, self.goes_on = None, "done", False

    def __enter__(self):
        if self.host.under_way != self.name:
            self.report("running")
        return self

    def skip(self, message):
        """The step had nothing to do."""
        self.state, self.message = "skipped", message

    def __exit__(self, _kind, error, _trace):
        self.host.under_way = self.name if error is None and self.goes_on else None
        if error is None:
            if not self.goes_on:
                self.report(self.state, self.message)
        elif isinstance(error, Exception):
            failure = failure_of(error)
            failure.step = failure.step or self.name
            self.report("failed", failure.message)
            if failure is not error:
                raise failure from error

    def report(self, state, message=None):
        """Report a state to the controller and the journal."""
        self.host.emitter.step(self.name, state, message)
        self.host.journal.note(self.name, state, message)


class Host:
    """What a session works with: one application's places, settings, supervisor and nginx on this host."""

    def __init__(self, request, control, emitter):
        self.place = Place(request["root"], request["app"])
        self.settings = request["settings"]
        self.control, self.emitter = control, emitter
        self.supervisor = supervisor_from(self.settings["supervisor"], self.place.app, control)
        self.former = None  # The supervisor before a change of the host's settings, while it runs one of the slots.
        self.journal, self.ports = None, {}
        self.under_way = None  # The name of a step that another request is to end.

    def step(self, name):
        """Return the context manager of a step."""
        return Step(self, name)

    def slot(self, name):
        """Return a slot by its letter."""
        return Slot(self, name)

    def nginx(self):
        """Return this host's nginx, or None when sites are not Windlass's business here."""
        return Nginx(self.settings["nginx"], self.control) if self.settings.get("nginx") else None

    def supervisor_for(self, settings):
        """Return who runs what was filled for a supervisor with these settings: this host's, or a former one of another kind.

        A former one that is not installed any more runs nothing.
        """
        if settings is None or kind_of(settings) == self.supervisor.kind or find_program(settings["command"]) is None:
            return self.supervisor
        if self.former is None:
            self.former = supervisor_from(settings, self.place.app, self.control)
        return self.former

    def all_states(self):
        """Return {slot: {process: info}}, each slot asked of the supervisor that runs it; a slot it does not know is absent."""
        whose = {name: self.slot(name).supervisor() for name in SLOTS}
        states = {supervisor.kind: supervisor.all_states() for supervisor in set(whose.values())}
        return {name: states[supervisor.kind][name] for name, supervisor in whose.items() if name in states[supervisor.kind]}

    def files(self):
        """Return the names of the files outside the root that belong to this application."""
        return read_json(self.place.state + "/files.json") or {}

    def remember_file(self, what, name):
        """Note the name of a file outside the root before it is made, so that it is found again."""
        files = self.files()
        if files.get(what) != name:
            write_json(self.place.state + "/files.json", dict(files, **{what: name}))

    def note(self, step, text):
        """Send one line of the agent's own words as output of a step."""
        self.emitter.send({"event": "output", "step": step, "text": text + "\n"})


class QuietHost:
    """Stands in for a Host where a step is reported before its journal can be written."""

    def __init__(self, emitter):
        self.emitter, self.journal, self.under_way = emitter, self, None

    def note(self, *_words):
        """There is no journal yet."""


def referenced(host):
    """Return {"release": names, "environment": names} that links or slots still need."""
    needed = {"release": {host.place.current_release()}, "environment": set()}
    for name in SLOTS:
        target = read_link(host.place.link(name))
        needed["release"].add(os.path.basename(target) if target else None)
        spec = host.slot(name).spec()
        if spec:
            needed["release"].add(spec["release"])
            needed["environment"].add(spec["environment"])
    return needed
