"""A build in another system that a release waits for: started once, followed in short looks, its log live.

No worker waits for it. Each look writes down how far the log was read, together with what was read, and puts the next
look off; so a look can be lost or repeated, and a worker may die at any point.
"""

import re

import scratch
import subprocesses
from controllers import foreign
from controllers.errors import BuildFailed, NotFound
from controllers.foreign import ForeignError
from controllers.foreign.errors import NOT_FOUND
from controllers.releases import bundles
from controllers.releases.output import MOST_LINES
from models.db import clock, database

LOOK_AGAIN_S = 2
AWAY_S = (2, 5, 15, 30, 60)  # Pauses while the system is away.
LONGEST_WAIT_S = 600  # Of a release that somebody cancelled, for a system that wants to be left alone.
DEFAULT_PARAMETERS = {"WINDLASS_COMMIT": "{commit}", "WINDLASS_REF": "{ref}"}
MOST_WHYS = 20
LONGEST_WHY = 300  # Characters.
MOST_NAMED = 20
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
        self.partner = release.partners["build"]
        self.foreign_build = dict(release.foreign_build or {"position": None, "since": clock(), "missed": 0})

    @property
    def has_succeeded(self):
        """Whether it is known to have ended well."""
        return self.foreign_build.get("state") == "success"

    def advance(self):
        """Start the build, or look at it once. Returns when it has succeeded; raises Postponed, BuildFailed otherwise."""
        if self.has_succeeded:
            return
        try:
            driver = foreign.driver_named(self.partner["integration"], "build")
            self.output.hide(driver.access.secrets())
            self.look(driver) if self.foreign_build.get("handle") else self.start(driver)
        except ForeignError as error:
            self.missed(error)
        if not self.has_succeeded:
            self.hold_to_time(driver)
            raise Postponed(LOOK_AGAIN_S)

    @property
    def key(self):
        """What the build is known by there."""
        # Another Windlass, or one set up anew, may have a release of the same number: the time tells them apart.
        return f"windlass-release-{self.release.id}-{self.release.created_at}"

    def start(self, driver):
        """Start the build, unless an earlier attempt whose answer was lost has done so."""
        job = self.partner["job"]
        handle = driver.find(job, self.key)
        if handle is None:
            self.output(f"Starting {job} in {driver.access.name}.")
            handle = driver.start(job, self.parameters(), self.key)
        self.write(handle=handle, state="queued", missed=0)

    def parameters(self):
        """Return the parameters of the job: those of the application, else which commit is to be built."""
        values = {
            "commit": self.release.commit or "",
            "ref": self.release.ref or "",
            "release": self.release.version,
            "application": self.release.application.name,
        }
        asked = self.partner.get("parameters")
        return {name: filled(text, values) for name, text in (DEFAULT_PARAMETERS if asked is None else asked).items()}

    def look(self, driver):
        """Read what is new in the log, and how the build is."""
        seen = driver.look(self.foreign_build["handle"], self.foreign_build["position"])
        with database.atomic():  # A worker that dies here has written nothing, and nothing twice.
            if seen.state != self.foreign_build.get("state"):
                where = f" {seen.url}" if seen.url else ""
                self.output(f"{self.partner['job']} in {driver.access.name} is {seen.state}.{where}")
            self.output_reason(seen.why)
            self.output_log(seen.text)
            self.write(handle=seen.handle, position=seen.position, state=seen.state, url=seen.url, missed=0)
        if seen.state in ENDED and seen.state != "success":
            where = f": {seen.url}" if seen.url else "."
            raise BuildFailed(f"{self.partner['job']} in {driver.access.name} ended with {seen.state}{where}")

    def output_reason(self, why):
        """Pass on why it waits: each reason once, and no more of them than people read."""
        why = " ".join(subprocesses.TERMINAL_CODES.sub("", why or "").split())[:LONGEST_WHY]
        shown = self.foreign_build.get("whys", [])
        if why and why not in shown and len(shown) < MOST_WHYS:
            self.output(f"{self.partner['job']} waits: {why}")
            self.foreign_build["whys"] = [*shown, why]

    def output_log(self, text):
        """Pass on what is new in the log, as long as it is no longer than what is kept of any build."""
        lines = subprocesses.TERMINAL_CODES.sub("", text).splitlines()
        left = MOST_LINES - self.foreign_build.get("lines", 0)
        for line in lines[: max(left, 0)]:
            self.output(line)
        if 0 <= left < len(lines):
            self.output(f"Only the first {MOST_LINES} lines of its log are kept.")
        self.foreign_build["lines"] = min(self.foreign_build.get("lines", 0) + len(lines), MOST_LINES + 1)

    def missed(self, error):
        """Put the next look off while the system is away; what asking again cannot mend fails the build."""
        if not error.may_pass:
            raise BuildFailed(error.detail)
        missed = self.foreign_build.get("missed", 0)
        if missed == 0:
            self.output(f"{error.detail} Trying again.")
        self.write(missed=missed + 1)
        self.hold_to_time(None)
        raise Postponed(max(AWAY_S[min(missed, len(AWAY_S) - 1)], error.retry_after_s or 0)) from error

    def hold_to_time(self, driver):
        """Fail a build that takes too long, and stop it where that is possible."""
        if clock() - self.foreign_build["since"] < self.time_limit_s * 1000:
            return
        if driver is not None and self.foreign_build.get("handle"):
            try:
                driver.abort(self.foreign_build["handle"])
            except ForeignError as error:
                self.output(f"It could not be stopped: {error.detail}")
        raise BuildFailed(f"{self.partner['job']} took longer than {self.time_limit_s} s (setting build.foreign_timeout_s).")

    def stop(self):
        """End the build there, also one whose start was never answered; returns None, or a sentence where it may go on.

        Raises Postponed while the system is away, as often as AWAY_S has pauses.
        """
        if self.foreign_build.get("state") in ENDED:
            return None
        job, tried = self.partner["job"], self.foreign_build.get("stops", 0)
        try:
            driver = foreign.driver_named(self.partner["integration"], "build")
            self.output.hide(driver.access.secrets())
            handle = self.foreign_build.get("handle") or driver.find(job, self.key)
            if handle is not None:
                driver.abort(handle)
                self.output(f"{job} in {driver.access.name} was stopped.")
                self.write(state="aborted")
        except NotFound as error:
            return f"{job} could not be stopped: {error.detail}"
        except ForeignError as error:
            wait_s = max(AWAY_S[min(tried, len(AWAY_S) - 1)], error.retry_after_s or 0)
            if not error.may_pass or tried >= len(AWAY_S) or wait_s > LONGEST_WAIT_S:
                return f"{job} could not be stopped: {error.detail}"
            self.output(f"{job} could not be stopped: {error.detail} Trying again.")
            self.write(stops=tried + 1)
            raise Postponed(wait_s) from error
        return None

    def write(self, **changes):
        """Write down how far it is, after what was read of its log."""
        self.foreign_build.update(changes)
        self.output.flush()
        self.keep(foreign_build=dict(self.foreign_build))

    def fetch_tree(self, work):
        """Put the tree of the artifact that is the release's code into the store; returns its digest.

        Raises BuildFailed, and Postponed while the system is away.
        """
        path, handle = self.partner["artifact"], self.foreign_build["handle"]
        with scratch.folder("artifact") as folder, open(folder / "artifact", "w+b") as file:
            try:
                driver = foreign.driver_named(self.partner["integration"], "build")
                self.output.hide(driver.access.secrets())
                self.output(f"Fetching {path} of that build.")
                try:
                    driver.fetch(handle, path, file)
                except ForeignError as error:
                    if error.kind != NOT_FOUND:
                        raise
                    raise BuildFailed(self.lacking(path, driver.artifacts(handle))) from error
            except ForeignError as error:
                self.missed(error)
            work.check()
            file.seek(0)
            return bundles.take_tree(file, only_folder=True)

    def lacking(self, path, files):
        """Return the sentence for a build that left `files`, and not the one at `path`."""
        lacks = f"{self.partner['job']} in {self.partner['integration']} left no {path} (the application's build.artifact)"
        if not files:
            return f"{lacks}, nor any other artifact: have the job archive it."
        names = sorted(file.path for file in files)
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return f"{lacks}. It left {', '.join(names[:MOST_NAMED])}{more}."


def filled(text, values):
    """Return a parameter's text with {commit}, {ref}, {release} and {application} filled in."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)
