"""Have a release's files on the worker that ships them, and wait for what they come from while that is away.

That is the place that keeps the release, and the package index where a virtualenv has to be built.
"""

from config import settings
from controllers.errors import BuildFailed, StepFailed, WindlassError
from controllers.releases import fetch
from models.db import clock
from store import StoreError
from utils.datekit import rfc3339

AWAY_S = (2, 5, 15, 30, 60)  # Pauses while it is away.


class Origin:
    """What one attempt of a host run does to have its release; `record` takes the output of it."""

    def __init__(self, run, record):
        self.run, self.record = run, record
        self.release = run.deploy.release

    @property
    def is_done(self):
        """Whether the files are here."""
        return fetch.is_here(self.release)

    @property
    def untouched(self):
        """What became of the host, as people read it."""
        return "Nothing was touched" if self.run.before is None else "The host is as the attempt before left it"

    def obtain(self):
        """Fetch the release from where it was published. Raises ForeignError while that is away, StepFailed for all else."""
        try:
            fetch.ensure(self.release, self.output)
        except (WindlassError, BuildFailed, StoreError) as error:
            if getattr(error, "is_away", False):
                raise
            self.record.step("preflight", "failed", str(error))
            raise StepFailed("release-not-here", "preflight", str(error), self.untouched) from error

    def output(self, text):
        """Write a line for people, before the host is touched."""
        self.record.output("preflight", text)

    def pause(self, error):
        """Return (seconds until it is asked again, what to tell people, the run's new `away`) after a ForeignError.

        Raises StepFailed when it was waited for long enough, or wants to be left alone for longer than that.
        """
        away = self.run.away or {"since": clock(), "missed": 0}
        left_s = settings.artifacts.patience_s - (clock() - away["since"]) // 1000
        pause_s = max(min(AWAY_S[min(away["missed"], len(AWAY_S) - 1)], left_s), error.retry_after_s or 0)
        if not 0 < pause_s <= left_s:
            raise self.too_long(error)
        until = rfc3339(away["since"] + settings.artifacts.patience_s * 1000)
        message = (
            f"{self.release.version} cannot be had now: {error.detail} Trying again in {pause_s} s, until {until}; "
            "nothing is done to the host meanwhile."
        )
        return pause_s, self.record.masked(message), {**away, "missed": away["missed"] + 1}

    def too_long(self, error):
        """Return the error of a run that waits no longer."""
        message = (
            f"{self.release.version} could not be had, and a deploy waits no longer than "
            f"{settings.artifacts.patience_s} s for it (setting artifacts.patience_s). The last time: {error.detail}"
        )
        test = f" (windlass integrations test {error.system})" if error.system else ""
        remedy = f"{self.untouched}. See that it answers{test}, then retry the deploy"
        self.record.step("preflight", "failed", message)
        return StepFailed("release-kept-away", "preflight", message, remedy)
