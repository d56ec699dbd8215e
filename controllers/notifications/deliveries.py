"""Deliveries: what is to be said to foreign systems, kept as rows until it has been said. Never in the way of a rollout.

A row is written in the transaction of what it is about, and carried out by a worker afterwards: claimed, tried again with
growing pauses while the system is away, given up where trying again cannot help. Every one can be looked at and sent again.
"""

import logging

from peewee import JOIN, fn

from controllers import paging, rows
from controllers.build_work import BuildFailed
from controllers.controller import Controller
from controllers.errors import Conflict, NotFound, WindlassError
from controllers.foreign import ForeignError
from controllers.jobs import leases, queue, transitions
from controllers.notifications import actions
from controllers.rollout.deploys import DeployController
from models import Application, Delivery, Deploy, Environment, Release
from models.db import clock, now
from store import StoreError
from utils.datekit import rfc3339

PAUSES_S = (5, 20, 60, 300, 900, 3600, 3600, 7200, 14_400, 28_800)  # About 17 hours in all, then it is given up.
MOST_ENQUEUED = 100

log = logging.getLogger(__name__)


# Carrying out.


def due():
    """Return the ids of deliveries that may be tried now and that no living worker has, oldest first."""
    is_waiting = (Delivery.state == "waiting") & leases.is_free(Delivery) & leases.is_due(Delivery)
    query = Delivery.select(Delivery.id).where(is_waiting)
    return [row.id for row in query.order_by(Delivery.id).limit(MOST_ENQUEUED)]


def enqueue_due():
    """Enqueue the deliveries that are due."""
    for delivery_id in due():
        queue.enqueue("windlass.deliver", delivery_id)


def carry_out(delivery_id):
    """Say one thing to its system if that is due and nobody else does; safe to call at any time."""
    is_due = leases.is_due(Delivery)
    row = leases.claim(Delivery, delivery_id, Delivery.state == "waiting", is_due, attempt=Delivery.attempt + 1)
    if row is None:
        return
    with leases.heartbeats(row, lost=lambda: log.warning("delivery %s was taken over", row.id)):
        try:
            finish(row, "delivered", answer=actions.say(row), error=None)
        except actions.Superseded as reason:
            finish(row, "superseded", error=str(reason))
        except actions.NotYet as reason:
            wait(row, str(reason), reason.pause_s)
        except ForeignError as error:
            put_off(row, error.detail, not error.may_pass, error.retry_after_s)
        except StoreError as error:  # Another worker may hold the release.
            put_off(row, str(error), False, None)
        except (WindlassError, BuildFailed) as error:  # No integration any more, say, or another release is kept there.
            finish(row, "failed", error=str(error))
        except Exception as error:
            log.exception("delivery %s failed inside Windlass", row.id)
            put_off(row, f"Windlass itself failed: {type(error).__name__}: {error}", False, None)


def finish(row, state, **changes):
    """Write down how a delivery ended, if this worker still holds it."""
    transitions.move_delivery(row, state, guard=leases.is_held(row), **leases.FREE, **changes)


def put_off(row, error, is_hopeless, retry_after_s):
    """Try again later, not before the system asked for; give up where that cannot help or has been tried long enough."""
    if is_hopeless or row.attempt > len(PAUSES_S):
        finish(row, "failed", error=error)
        return
    wait(row, error, max(PAUSES_S[row.attempt - 1], retry_after_s or 0), attempt=row.attempt)


def wait(row, error, pause_s, attempt=0):
    """Look again after `pause_s` seconds; what only had to wait for something else has used up no attempt."""
    leases.release(row, error=error, due_at=now() + int(pause_s * 1000), attempt=attempt)


# Looking, and sending again.


class DeliveryController(Controller):
    """Deliveries, for whoever looks at them or has one sent again."""

    def with_names(self):
        """Return the query for deliveries with what describing them needs."""
        return (
            self.visible(Delivery, Delivery, Deploy, Environment, Release, Application)
            .join(Deploy, JOIN.LEFT_OUTER)
            .join(Environment, JOIN.LEFT_OUTER)
            .join_from(
                Delivery, Release, JOIN.LEFT_OUTER, on=(Release.id == fn.COALESCE(Delivery.release, Deploy.release))
            )
            .join(Application, JOIN.LEFT_OUTER)
        )

    def listing(self, limit=paging.LIMIT, after=None, integration=None, state=None, deploy=None):
        """Return a page of deliveries, newest first."""
        found = self.with_names()
        for column, value in ((Delivery.integration, integration), (Delivery.state, state), (Delivery.deploy, deploy)):
            if value is not None:
                found = found.where(column == value)
        return paging.page(found, Delivery.id, describe, limit, after, newest_first=True)

    def of_deploy(self, deploy_id, limit=paging.LIMIT, after=None):
        """Return a page of the deliveries because of one deploy, newest first. Raises NotFound."""
        DeployController(self.actor).find(deploy_id)
        return self.listing(limit, after, deploy=deploy_id)

    def find(self, delivery_id):
        """Return a delivery's row; raises NotFound."""
        row = self.with_names().where(Delivery.id == delivery_id).get_or_none()
        if row is None:
            raise NotFound(f"There is no delivery {delivery_id}.")
        return row

    def get(self, delivery_id):
        """Return one delivery with its payload. Raises NotFound."""
        row = self.find(delivery_id)
        return {**describe(row), "payload": row.payload}

    def resend(self, delivery_id):
        """Say it again, now: one that was given up, waits for its next attempt, or was delivered. Raises NotFound, Conflict."""
        with self.change("delivery.resend", delivery_id):
            row = rows.for_change(self.visible(Delivery).where(Delivery.id == delivery_id), Delivery).first()
            if row is None:
                raise NotFound(f"There is no delivery {delivery_id}.")
            refuse_unfit(row)
            again = {"attempt": 0, "due_at": None, "error": None, "ended_at": None}
            if row.state == "waiting":
                Delivery.update(**again).where(Delivery.id == row.id).execute()
            else:
                transitions.move_delivery(row, "waiting", **again)
        queue.enqueue("windlass.deliver", row.id)
        return self.get(delivery_id)


def refuse_unfit(row):
    """Raise Conflict for a delivery that is being sent right now, or that a newer one has overtaken; its row is held."""
    if row.lease_expires_at is not None and row.lease_expires_at > clock():
        raise Conflict(f"Delivery {row.id} is being sent right now; look again.", code="delivery-under-way")
    if row.state == "superseded":
        raise Conflict(f"Delivery {row.id} was overtaken by a newer one; send that.", code="delivery-superseded")


def describe(row):
    """Return a delivery in the API's shape."""
    return {
        "id": row.id,
        "deploy": row.deploy_id,
        "application": row.release.application.name,
        "release": row.release.version,
        "environment": row.deploy.environment.name if row.deploy_id else None,
        "integration": row.integration,
        "action": row.action,
        "subject": row.subject,
        "state": row.state,
        "attempts": row.attempt,
        "error": row.error,
        "answer": row.answer,
        "due_at": rfc3339(row.due_at) if row.state == "waiting" else None,
        "created_at": rfc3339(row.created_at),
        "ended_at": rfc3339(row.ended_at),
    }
