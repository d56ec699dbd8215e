"""Deliveries: what is to be said to foreign systems, kept as rows until it has been said. Never in the way of a rollout.

A row is written in the transaction of what it is about, and carried out by a worker afterwards: claimed, tried again with
growing pauses while the system is away, given up where trying again cannot help. Every one can be looked at and sent again.
"""

from peewee import JOIN, fn

from controllers import audit, paging, rows
from controllers.errors import Conflict, NotFound
from controllers.jobs import queue, states
from models import Application, Delivery, Deploy, Environment, Release
from models.db import clock
from utils.datekit import rfc3339

# Looking.


def query():
    """Return the query for deliveries with what describing them needs."""
    return (
        Delivery.select(Delivery, Deploy, Environment, Release, Application)
        .join(Deploy, JOIN.LEFT_OUTER)
        .join(Environment, JOIN.LEFT_OUTER)
        .join_from(Delivery, Release, JOIN.LEFT_OUTER, on=(Release.id == fn.COALESCE(Delivery.release, Deploy.release)))
        .join(Application, JOIN.LEFT_OUTER)
    )


def listing(actor, limit=paging.LIMIT, after=None, integration=None, state=None, deploy=None):
    """Return a page of deliveries, newest first."""
    found = query()
    for column, wanted in ((Delivery.integration, integration), (Delivery.state, state), (Delivery.deploy, deploy)):
        if wanted is not None:
            found = found.where(column == wanted)
    return paging.page(found, Delivery.id, describe, limit, after, newest_first=True)


def of_deploy(actor, deploy_id, limit=paging.LIMIT, after=None):
    """Return a page of what was said because of one deploy, newest first. Raises NotFound."""
    if not Deploy.select().where(Deploy.id == deploy_id).exists():
        raise NotFound(f"There is no deploy {deploy_id}.")
    return listing(actor, limit, after, deploy=deploy_id)


def find(delivery_id):
    """Return a delivery's row; raises NotFound."""
    row = query().where(Delivery.id == delivery_id).get_or_none()
    if row is None:
        raise NotFound(f"There is no delivery {delivery_id}.")
    return row


def get(actor, delivery_id):
    """Return one delivery with what was to be said. Raises NotFound."""
    row = find(delivery_id)
    return {**describe(row), "payload": row.payload}


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


def resend(actor, delivery_id):
    """Say it again, now: one that was given up, waits for its next attempt, or was delivered. Raises NotFound, Conflict."""
    with audit.change(actor, "delivery.resend", delivery_id):
        row = rows.for_change(Delivery.select().where(Delivery.id == delivery_id), Delivery).get_or_none()
        if row is None:
            raise NotFound(f"There is no delivery {delivery_id}.")
        if row.lease_expires_at is not None and row.lease_expires_at > clock():
            raise Conflict(f"Delivery {delivery_id} is being sent right now; look again.", code="delivery-under-way")
        if row.state == "superseded":
            raise Conflict(
                f"Delivery {delivery_id} was overtaken by a newer one; send that.", code="delivery-superseded"
            )
        again = {"attempt": 0, "due_at": None, "error": None, "ended_at": None}
        if row.state == "waiting":
            Delivery.update(**again).where(Delivery.id == row.id).execute()
        else:
            states.move(row, "waiting", **again)
    queue.enqueue("windlass.deliver", row.id)
    return get(actor, delivery_id)
