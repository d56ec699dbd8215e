"""Carry an automatic deploy one step further: wait for its build and for its commit to be green, then ask for the deploy."""

from peewee import Case, fn

from controllers import foreign
from controllers.automation.rules import AUTOMATION, LONGEST_PAUSE_MS
from controllers.errors import Conflict, WindlassError
from controllers.jobs import leases, states
from controllers.jobs.attempt import Attempt
from controllers.jobs.kinds import Kind, declare
from controllers.rollout.deploys import DeployController
from models import Automation, Deploy, Release
from models.db import clock, now

WAITED_FOR = frozenset({"locked", "frozen"})  # What hinders now and may be over soon; everything else is final.
LOOK_AGAIN_MS = 10_000  # The first pause; each is twice the one before, because hooks tell what is new anyway.
LOOK_AGAIN_LATER_MS = 60_000
GIVE_UP_AFTER_MS = 24 * 3_600_000


class AutomationAttempt(Attempt):
    """One look at an automatic deploy that waits."""

    model, what = Automation, "automation"

    @classmethod
    def may_begin(cls):
        """It waits, and its time has come."""
        return (Automation.state == "waiting") & leases.is_due(Automation)

    def work(self):
        """Decide what becomes of it, and write that down."""
        self.settle(**self.decide())

    def database_away(self, error):
        """What the database does not take again and again must have an end, too."""
        self.broke(self.failure(error))

    def broke(self, message):
        """Windlass made a mistake, which a later look may not meet."""
        self.settle("waiting", message, LOOK_AGAIN_LATER_MS)

    # Deciding: each returns the arguments of `settle`.

    def decide(self):
        """Return what becomes of the automatic deploy now."""
        release = self.row.release
        if release.state == "building":
            return {"state": "waiting", "outcome": "waits for its build"}
        if release.state == "failed":
            return {"state": "skipped", "outcome": f"the release could not be built: {release.error}"}
        if self.row.rule.get("require_green_build"):
            verdict = self.build_verdict()
            if verdict is not None:
                return verdict
        return self.start()

    def build_verdict(self):
        """Return what becomes of one whose commit is not known to be green; None: it is."""
        release = self.row.release
        try:
            driver = foreign.driver_for(release.source)
            if not driver.has_statuses:
                outcome = f"{driver.name} knows of no builds: take require_green_build out of the rule"
                return {"state": "skipped", "outcome": outcome}
            state = driver.build_state(release.source["repository"], release.commit)
        except WindlassError as error:
            asked_ms = 1000 * (getattr(error, "retry_after_s", None) or 0)
            again_ms = max(self.pause_ms, LOOK_AGAIN_LATER_MS, asked_ms)
            return {"state": "waiting", "outcome": error.detail, "again_ms": int(again_ms)}
        if state == "success":
            return None
        if state == "failure":
            return {"state": "skipped", "outcome": f"the build of commit {release.commit[:12]} is red"}
        return {"state": "waiting", "outcome": f"waits for a green build of commit {release.commit[:12]}"}

    def start(self):
        """Ask for the deploy, as an automatism: what people are only warned of stops it."""
        if Automation.get_by_id(self.row.id).state != "waiting":
            return {"state": "superseded", "outcome": self.row.outcome}
        made = self.already_made()
        if made is not None:
            return {"state": "deployed", "outcome": f"deploy {made}", "deploy": made}
        asked = {
            "application": self.row.target.application.name,
            "environment": self.row.target.environment.name,
            "release": self.row.release.version,
            "comment": self.row.reason,
        }
        try:
            made = DeployController(AUTOMATION).create(asked, is_automatic=True)["id"]
        except Conflict as error:
            state = "waiting" if error.code in WAITED_FOR else "skipped"
            return {"state": state, "outcome": error.detail, "again_ms": LOOK_AGAIN_LATER_MS}
        except WindlassError as error:
            return {"state": "skipped", "outcome": error.detail}
        return {"state": "deployed", "outcome": f"deploy {made}", "deploy": made}

    def already_made(self):
        """Return the id of the deploy that an earlier attempt asked for before its worker died, or None."""
        return (
            Deploy.select(Deploy.id)
            .where(
                Deploy.application == self.row.target.application_id,
                Deploy.environment == self.row.target.environment_id,
                Deploy.release == self.row.release_id,
                Deploy.requested_by == AUTOMATION.name,
                Deploy.created_at >= self.row.created_at,
            )
            .order_by(Deploy.id)
            .limit(1)
            .scalar()
        )

    # Writing it down.

    def settle(self, state, outcome=None, again_ms=None, deploy=None):
        """Write down what was decided, if the row is still ours."""
        if state == "waiting" and clock() - self.row.created_at > GIVE_UP_AFTER_MS:
            state, outcome = "skipped", f"given up after a day: {outcome}"
        if state == "waiting":
            changes = {"due_at": self.due_after(again_ms or self.pause_ms), "enqueued_at": None, "outcome": outcome}
            is_settled = leases.release(self.row, Automation.state == "waiting", **changes)
        else:
            changes = {"outcome": outcome, "deploy": deploy, "ended_at": now(), **leases.FREE}
            is_settled = states.move(self.row, state, guard=self.is_held(), **changes)
        if not is_settled:  # A newer release has superseded it during this look; what was done by then is written down.
            leases.release(self.row, **({"deploy": deploy} if deploy else {}))

    @property
    def pause_ms(self):
        """For how many milliseconds a row is left alone that has been looked at so often since something happened."""
        return min(LOOK_AGAIN_MS * 2 ** min(self.row.attempt - 1, 10), LONGEST_PAUSE_MS)

    def due_after(self, pause_ms):
        """Return when the row is due after a pause: at once where something happened during this look, which set the count back,
        unless a system wants to be left alone for long.
        """
        if pause_ms > LONGEST_PAUSE_MS:
            return now() + pause_ms
        return Case(None, [(Automation.attempt == self.row.attempt, now() + pause_ms)])


def is_due():
    """Return the condition that a look is worth it: there is a release, built or failed."""
    built = Release.select(Release.id).where(Release.id == Automation.release, Release.state != "building")
    return AutomationAttempt.may_begin() & fn.EXISTS(built)


KIND = declare(Kind("windlass.automation", run=AutomationAttempt.carry_out, model=Automation, is_due=is_due, most=100))
