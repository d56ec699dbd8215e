"""Locks: one person keeps everybody else from deploying to a target, with a reason and maybe an end, in database time."""

import logging

from controllers import etags
from controllers.controller import Controller
from controllers.errors import Conflict, Invalid, NotFound, PreconditionFailed
from models import Application, Environment, Lock, Target
from models.db import clock, now
from utils.datekit import rfc3339, to_milliseconds

log = logging.getLogger(__name__)


def describe(lock):
    """Return a lock in the API's shape."""
    return {
        "holder": lock.holder,
        "reason": lock.reason,
        "created_at": rfc3339(lock.created_at),
        "expires_at": rfc3339(lock.expires_at),
    }


def query(at):
    """Return the query for the locks that hold at `at` (milliseconds, or an expression in database time), targets joined."""
    return (
        Lock.select(Lock, Target, Application, Environment)
        .join(Target)
        .join(Application)
        .switch(Target)
        .join(Environment)
        .where(Lock.expires_at.is_null() | (Lock.expires_at > at))
    )


def on(application_id, environment_id, at=None):
    """Return the lock on a target now, or at `at` (milliseconds), or None."""
    return (
        query(now() if at is None else at)
        .where(Target.application == application_id, Target.environment == environment_id)
        .first()
    )


def on_targets(target_ids):
    """Return {target id: lock} of the targets that are locked now, in one query."""
    return {lock.target_id: lock for lock in query(now()).where(Lock.target.in_(target_ids))}


def text_of(lock):
    """Return a lock as people read it: what is locked, by whom, why, until when."""
    until = f" until {rfc3339(lock.expires_at)}" if lock.expires_at else ""
    return f"{lock.target.application.name} in {lock.target.environment.name} is locked by {lock.holder}{until}: {lock.reason}"


def refusal(lock, remedy):
    """Return the Conflict "locked" for somebody whom a lock is in the way of."""
    return Conflict(f"{text_of(lock)} {remedy}", code="locked", **describe(lock))


def require_free(actor, target, at=None):
    """Raise Conflict "locked" if somebody else's lock holds on a target now, or at `at`."""
    require_free_of(actor, target.application_id, target.environment_id, at)


def require_free_of(actor, application_id, environment_id, at=None):
    """Raise Conflict "locked" as `require_free`, the target being named by ids."""
    lock = on(application_id, environment_id, at)
    if lock is not None and lock.holder != actor.name:
        raise refusal(lock, f"Ask {lock.holder} to unlock it, or break the lock.")


def end_of(fields, at):
    """Return when a lock made at `at` ends, in milliseconds, or None. Raises Invalid for a time that has passed."""
    if fields.get("for_s") is not None:
        return at + fields["for_s"] * 1000
    expires_at = to_milliseconds(fields.get("expires_at"))
    if expires_at is not None and expires_at <= at:
        raise Invalid([("expires_at", "must be in the future")])
    return expires_at


def require_match(if_match, lock):
    """Raise PreconditionFailed unless the header If-Match allows a change; it matches no lock that is not there."""
    if lock is not None:
        etags.require_match(if_match, describe(lock))
    elif if_match is not None:
        raise PreconditionFailed("There is no lock; leave If-Match out to make it.")


def broken_of(actor, lock):
    """Return whose lock is broken, as it is written down."""
    is_broken = lock is not None and lock.holder != actor.name
    return {"broken_lock_of": lock.holder, "its_reason": lock.reason} if is_broken else {}


def require_leave_to_break(actor, lock, force):
    """Raise Conflict "locked" where a lock is somebody else's and is not to be broken."""
    if lock is not None and lock.holder != actor.name and not force:
        raise refusal(lock, 'Send "force": true to break the lock.')


def note_broken(actor, lock):
    """Log that somebody broke the lock of somebody else."""
    if lock is not None and lock.holder != actor.name:
        log.warning("%s broke a lock: %s", actor.name, text_of(lock))


class LockController(Controller):
    """The lock on a target, as people take, change and break it."""

    def get(self, application, environment):
        """Return the lock on a target. Raises NotFound when there is none."""
        return describe(self.find(application, environment)[1])

    def put(self, application, environment, fields, if_match=None):
        """Lock a target for the actor, or change their lock; returns (lock, whether it is new).

        `fields`: "reason", maybe "expires_at" (an aware datetime) or "for_s" (seconds from now), and "force" to take over
        what somebody else holds. Raises Conflict "locked", Invalid, NotFound, PreconditionFailed.
        """
        with self.change("lock.put", f"{application}/{environment}", **fields) as more:
            target = self.target(application, environment, to_change=True)
            before = on(target.application_id, target.environment_id)
            require_match(if_match, before)
            require_leave_to_break(self.actor, before, fields.get("force"))
            is_renewed = before is not None and before.holder == self.actor.name
            more.update(broken_of(self.actor, before))
            at = clock()
            row = {
                "holder": self.actor.name,
                "reason": fields["reason"],
                "expires_at": end_of(fields, at),
                "created_at": before.created_at if is_renewed else at,
            }
            Lock.insert(target=target, **row).on_conflict(conflict_target=[Lock.target], update=row).execute()
            lock = on(target.application_id, target.environment_id)
        note_broken(self.actor, before)
        return describe(lock), not is_renewed

    def delete(self, application, environment, force=False):
        """Take a lock away; somebody else's only with `force`. Raises NotFound, Conflict "locked"."""
        with self.change("lock.delete", f"{application}/{environment}") as more:
            target, lock = self.find(application, environment, to_change=True)
            require_leave_to_break(self.actor, lock, force)
            more.update(broken_of(self.actor, lock))
            Lock.delete().where(Lock.target == target).execute()
        note_broken(self.actor, lock)

    def find(self, application, environment, to_change=False):
        """Return (target, lock on it); raises NotFound when it is not locked, or there is no such target."""
        target = self.target(application, environment, to_change)
        lock = on(target.application_id, target.environment_id)
        if lock is None:
            raise NotFound(f"{application} in {environment} is not locked.")
        return target, lock
