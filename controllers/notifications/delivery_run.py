"""Carry a delivery out: send it to its system, put it off while that is away, give up where trying again cannot help."""

from controllers.errors import BuildFailed, WindlassError
from controllers.foreign import ForeignError
from controllers.jobs import leases, states
from controllers.jobs.attempt import Attempt
from controllers.jobs.kinds import Kind, declare
from controllers.notifications import actions
from models import Delivery
from models.db import now
from store import StoreError

PAUSES_S = (5, 20, 60, 300, 900, 3600, 3600, 7200, 14_400, 28_800)  # About 17 hours in all, then it is given up.


class DeliveryAttempt(Attempt):
    """One attempt to send one delivery."""

    model, what = Delivery, "delivery"

    @classmethod
    def may_begin(cls):
        """It waits, and its time has come."""
        return (Delivery.state == "waiting") & leases.is_due(Delivery)

    def work(self):
        """Say it, and write down how that ended."""
        try:
            self.end("delivered", answer=actions.deliver(self.row), error=None)
        except actions.Superseded as reason:
            self.end("superseded", error=str(reason))
        except actions.NotYet as reason:
            self.wait(str(reason), reason.pause_s)
        except ForeignError as error:
            self.put_off(error.detail, not error.may_pass, error.retry_after_s)
        except StoreError as error:  # Another worker may hold the release.
            self.put_off(str(error))
        except (WindlassError, BuildFailed) as error:  # No integration any more, say, or another release is kept there.
            self.end("failed", error=str(error))

    def database_away(self, error):
        """What the database does not take again and again must have an end, too."""
        self.broke(self.failure(error))

    def broke(self, message):
        """Windlass made a mistake, which another attempt may not meet."""
        self.put_off(message)

    def end(self, state, **changes):
        """Write down how the delivery ended, if it is still ours."""
        states.move(self.row, state, guard=self.is_held(), ended_at=now(), **leases.FREE, **changes)

    def put_off(self, error, is_hopeless=False, retry_after_s=None):
        """Try again later, not before the system asked for; give up where that cannot help or has been tried long enough."""
        attempt = self.row.attempt
        if is_hopeless or attempt > len(PAUSES_S):
            self.end("failed", error=error)
            return
        self.wait(error, max(PAUSES_S[attempt - 1], retry_after_s or 0), attempt)

    def wait(self, error, pause_s, attempt=0):
        """Look again after `pause_s` seconds; what only had to wait for something else has used up no attempt."""
        self.put_back(int(pause_s * 1000), error=error, attempt=attempt)


KIND = declare(
    Kind(
        "windlass.deliver",
        run=DeliveryAttempt.carry_out,
        model=Delivery,
        is_due=DeliveryAttempt.may_begin,
        most=100,
    )
)
