"""Preparations of bare hosts: ask for one, look at it, follow it, cancel it. preparation_run.py carries them out."""

from controllers import events, idempotency, paging, rows
from controllers.controller import Controller
from controllers.errors import Conflict, NotFound
from controllers.jobs import leases, queue, states, transitions
from models import Host, Preparation
from models.db import now
from utils.datekit import rfc3339

DEFAULT_USER = "root"


def describe(row):
    """Return a preparation in the API's shape."""
    return {
        "id": row.id,
        "host": row.host_name,
        "user": row.login_user,
        "check": row.is_check,
        "state": row.state,
        "changed": row.changed,
        "message": row.message,
        "requested_by": row.requested_by,
        "cancel_requested_by": row.cancel_requested_by,
        "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at),
        "ended_at": rfc3339(row.ended_at),
    }


def refuse_unfit(host):
    """Raise Conflict for a host that cannot be prepared now; its row is held."""
    if host.transport != "ssh":
        raise Conflict(
            f"Host {host.name} is the machine of its worker itself: prepare it there with etc/provision.sh target.",
            code="not-over-ssh",
        )
    if not host.host_key:
        raise Conflict(
            f"Nobody has pinned the key of host {host.name}, so it could be any machine: "
            f"compare it and pin it first (windlass hosts trust {host.name}).",
            code="host-untrusted",
        )
    other = going_on(host).first()
    if other is not None:
        raise Conflict(
            f"Preparation {other.id} of host {host.name} goes on: wait for its end, or cancel it.",
            code="being-prepared",
            preparation=other.id,
        )


def going_on(host):
    """Return the query for the preparations of a host that have not ended."""
    return Preparation.select().where(Preparation.host == host, Preparation.state.in_(states.PREPARATION_GOING_ON))


def cancelled_by(preparation_id):
    """Return who wants a preparation to end, None if nobody does."""
    return Preparation.select(Preparation.cancel_requested_by).where(Preparation.id == preparation_id).scalar()


def topic(preparation_id):
    """Return the name of a preparation's history."""
    return f"preparation-{preparation_id}"


def is_last(event):
    """Say whether an event is the end of a preparation."""
    return event["kind"] == "preparation" and event["data"]["state"] not in states.PREPARATION_GOING_ON


def changed_tasks(preparation_id):
    """Return the names of the tasks that changed something, in all attempts, in their order."""
    found, after = [], 0
    while page := events.read(topic(preparation_id), after):
        after = page[-1]["number"]
        found += [event["text"] for event in page if event["kind"] == "task" and event["data"]["state"] == "changed"]
    return list(dict.fromkeys(found))


class PreparationController(Controller):
    """Preparations as people ask for them, follow and cancel them."""

    def listing(self, limit=paging.LIMIT, after=None, host=None, state=None):
        """Return a page of preparations, newest first."""
        query = self.visible(Preparation)
        if host is not None:
            query = query.where(Preparation.host_name == host)
        if state is not None:
            query = query.where(Preparation.state == state)
        return paging.page(query, Preparation.id, describe, limit, after, newest_first=True)

    def find(self, preparation_id, to_change=False):
        """Return a preparation's row, held until the transaction ends if it is `to_change`; raises NotFound."""
        query = self.visible(Preparation).where(Preparation.id == preparation_id)
        row = (rows.for_change(query, Preparation) if to_change else query).first()
        if row is None:
            raise NotFound(f"There is no preparation {preparation_id}.")
        return row

    def get(self, preparation_id):
        """Return one preparation."""
        return describe(self.find(preparation_id))

    def create(self, name, fields):
        """Have a host made ready for deploys, as {"user"} (root unless given); with {"check": True} only see what would change.

        Returns the preparation. Raises NotFound, and Conflict: "not-over-ssh", "host-untrusted", or "being-prepared" where
        another one goes on.
        """
        user, is_check = fields.get("user", DEFAULT_USER), fields.get("check", False)
        with self.change("host.prepare", name, user=user, check=is_check) as more:
            host = self.named(Host, name, "host", to_change=True)
            refuse_unfit(host)
            row = Preparation.create(
                host=host,
                host_name=host.name,
                login_user=user,
                is_check=is_check,
                state="pending",
                requested_by=self.actor.name,
                created_at=now(),
            )
            data = {"state": "pending", "check": is_check}
            events.append(topic(row.id), [{"kind": "preparation", "host": host.name, "data": data}])
            idempotency.note_made("preparation", row.id)
            more.update(preparation=row.id)
        queue.enqueue("windlass.prepare_host", row.id, zone=host.zone.name)
        return self.get(row.id)

    def cancel(self, preparation_id):
        """Ask a preparation to end; what it has done by then stays. Raises NotFound, Conflict when it has ended."""
        with self.change("host.prepare.cancel", preparation_id):
            row = self.find(preparation_id, to_change=True)
            if row.state not in states.PREPARATION_GOING_ON:
                raise Conflict(f"Preparation {preparation_id} has {row.state} and cannot be cancelled.", code="not-cancellable")
            if row.cancel_requested_by is None:
                Preparation.update(cancel_requested_by=self.actor.name).where(Preparation.id == row.id).execute()
            if row.state == "pending":
                transitions.move_preparation(
                    row,
                    "cancelled",
                    guard=leases.is_free(Preparation),
                    message=f"cancelled by {self.actor.name} before it began",
                    changed=[],
                )
            Preparation.update(due_at=None, enqueued_at=None).where(Preparation.id == row.id).execute()
        return self.get(preparation_id)

    def history(self, preparation_id, after=0, limit=200):
        """Return a page of a preparation's events that come after number `after`."""
        return events.page(topic(self.find(preparation_id).id), after, limit)

    def follow(self, preparation_id, after=0):
        """Return an iterator over a preparation's events as they come, with None as heartbeat, ending after its end."""
        row = self.find(preparation_id)
        return events.follow_work(topic(row.id), after, row.state not in states.PREPARATION_GOING_ON, is_last)
