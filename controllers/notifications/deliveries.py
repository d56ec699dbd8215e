"""Deliveries: messages to foreign systems, kept as rows until they have been sent. Never in the way of a rollout.

A row is written in the transaction of what it is about, and carried out by a worker afterwards: claimed, tried again with
growing pauses while the system is away, given up where trying again cannot help. Every one can be looked at and sent again.
"""

from peewee import JOIN, fn

from controllers import paging, rows
from controllers.controller import Controller
from controllers.errors import Conflict, NotFound
from controllers.jobs import queue, states
from controllers.rollout.deploys import DeployController
from models import Application, Delivery, Deploy, Environment, Release
from models.db import clock
from utils.datekit import rfc3339


class DeliveryController(Controller):
    """Deliveries, for whoever looks at them or has one sent again."""

    def with_names(self):
        """Return the query for deliveries with what describing them needs."""
        return (
            self.visible(Delivery, Delivery, Deploy, Environment, Release, Application)
            .join(Deploy, JOIN.LEFT_OUTER)
            .join(Environment, JOIN.LEFT_OUTER)
            .join_from(Delivery, Release, JOIN.LEFT_OUTER, on=(Release.id == fn.COALESCE(Delivery.release, Deploy.release)))
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
            again = {"attempt": 0, "due_at": None, "enqueued_at": None, "error": None, "ended_at": None}
            if row.state == "waiting":
                Delivery.update(**again).where(Delivery.id == row.id).execute()
            else:
                states.move(row, "waiting", **again)
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
