"""A build in another system that a release waits for: started once, followed in short looks, its log live.

No worker waits for it. Each look writes down how far the log was read, together with what was read, and puts the next
look off; so a look can be lost or repeated, and a worker may die at any point.
"""

import re

import commands
import scratch
from controllers import foreign
from controllers.building import bundles
from controllers.building.output import MOST_LINES
from controllers.building.work import BuildFailed
from controllers.foreign import ForeignError
from models.db import clock, database

LOOK_AGAIN_S = 2
AWAY_S = (2, 5, 15, 30, 60)  # Pauses while the system is away.
DEFAULT_PARAMETERS = {"WINDLASS_COMMIT": "{commit}", "WINDLASS_REF": "{ref}"}
ENDED = frozenset({"success", "failure", "aborted"})


class Postponed(Exception):
    """There is nothing to do now; the release is looked at again after `seconds`."""

    def __init__(self, seconds):
        super().__init__(seconds)
        self.seconds = seconds


class ForeignBuild:
    """What a release knows of its build elsewhere; `keep(**columns)` writes columns of the release."""

    def __init__(self, release, output, keep, time_limit_s):
        self.release = release
        self.output = output
        self.keep = keep
        self.time_limit_s = time_limit_s
        self.wanted = release.partners["build"]
        self.known = dict(release.foreign_build or {"position": None, "since": clock(), "missed": 0})

    @property
    def has_succeeded(self):
        """Whether it is known to have ended well."""
        return self.known.get("state") == "success"

    def advance(self):
        """Start the build, or look at it once. Returns when it has succeeded; raises Postponed, BuildFailed otherwise."""
        if self.has_succeeded:
            return
        try:
            driver = foreign.driver_named(self.wanted["integration"], "build")
            self.output.hide(driver.access.secrets())
            self.look(driver) if self.known.get("handle") else self.start(driver)
        except ForeignError as error:
            self.missed(error)
        if not self.has_succeeded:
            self.hold_to_time(driver)
            raise Postponed(LOOK_AGAIN_S)

    def start(self, driver):
        """Start the build, unless an earlier attempt whose answer was lost has done so."""
        # Another Windlass, or one set up anew, may have a release of the same number: the time tells them apart.
        job, key = self.wanted["job"], f"windlass-release-{self.release.id}-{self.release.created_at}"
        handle = driver.find(job, key)
        if handle is None:
            self.output(f"Starting {job} in {driver.access.name}.")
            handle = driver.start(job, self.parameters(), key)
        self.write(handle=handle, state="queued", missed=0)

    def parameters(self):
        """Return the parameters of the job: those of the application, else which commit is to be built."""
        known = {
            "commit": self.release.commit or "",
            "ref": self.release.ref or "",
            "release": self.release.version,
            "application": self.release.application.name,
        }
        asked = self.wanted.get("parameters")
        return {name: filled(text, known) for name, text in (DEFAULT_PARAMETERS if asked is None else asked).items()}

    def look(self, driver):
        """Read what is new in the log, and how the build is."""
        seen = driver.look(self.known["handle"], self.known["position"])
        with database.atomic():  # A worker that dies here has told nothing, and not twice.
            if seen.state != self.known.get("state"):
                where = f" {seen.url}" if seen.url else ""
                self.output(f"{self.wanted['job']} in {driver.access.name} is {seen.state}.{where}")
            self.tell(seen.text)
            self.write(handle=seen.handle, position=seen.position, state=seen.state, url=seen.url, missed=0)
        if seen.state in ENDED and seen.state != "success":
            where = f": {seen.url}" if seen.url else "."
            raise BuildFailed(f"{self.wanted['job']} in {driver.access.name} ended with {seen.state}{where}")

    def tell(self, text):
        """Pass on what is new in the log, as long as it is no longer than what is kept of any build."""
        lines = commands.TERMINAL_CODES.sub("", text).splitlines()
        left = MOST_LINES - self.known.get("lines", 0)
        for line in lines[: max(left, 0)]:
            self.output(line)
        if 0 <= left < len(lines):
            self.output(f"Only the first {MOST_LINES} lines of its log are kept.")
        self.known["lines"] = min(self.known.get("lines", 0) + len(lines), MOST_LINES + 1)

    def missed(self, error):
        """Put the next look off while the system is away; what asking again cannot mend fails the build."""
        if not error.may_pass:
            raise BuildFailed(error.detail)
        missed = self.known.get("missed", 0)
        if missed == 0:
            self.output(f"{error.detail} Trying again.")
        self.write(missed=missed + 1)
        self.hold_to_time(None)
        raise Postponed(max(AWAY_S[min(missed, len(AWAY_S) - 1)], error.retry_after_s or 0)) from error

    def hold_to_time(self, driver):
        """Fail a build that takes too long, and stop it where that is possible."""
        if clock() - self.known["since"] < self.time_limit_s * 1000:
            return
        if driver is not None and self.known.get("handle"):
            try:
                driver.abort(self.known["handle"])
            except ForeignError as error:
                self.output(f"It could not be stopped: {error.detail}")
        raise BuildFailed(
            f"{self.wanted['job']} took longer than {self.time_limit_s} s (setting build.foreign_timeout_s)."
        )

    def write(self, **changes):
        """Write down how far it is, after what was read of its log."""
        self.known.update(changes)
        self.output.flush()
        self.keep(foreign_build=dict(self.known))

    def fetch_tree(self, work):
        """Put the tree of the artifact that is the release's code into the store; returns its digest.

        Raises BuildFailed, and Postponed while the system is away.
        """
        path = self.wanted["artifact"]
        with scratch.folder("artifact") as folder, open(folder / "artifact", "w+b") as file:
            try:
                driver = foreign.driver_named(self.wanted["integration"], "build")
                self.output.hide(driver.access.secrets())
                self.output(f"Fetching {path} of that build.")
                driver.fetch(self.known["handle"], path, file)
            except ForeignError as error:
                self.missed(error)
            work.check()
            file.seek(0)
            return bundles.take_tree(file, only_folder=True)


def filled(text, known):
    """Return a parameter's text with {commit}, {ref}, {release} and {application} filled in."""
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), text)
