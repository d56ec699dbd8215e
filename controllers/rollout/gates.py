"""What a deploy must pass: once when it is asked for, and again when it begins, because the world may have changed since.

Rollbacks pass freezes, approvals and promotion, which protect what runs well; locks hold them back like any deploy.
"""

from controllers.errors import Forbidden, Invalid
from controllers.guards import freezes, known_bad, locks, promotion
from controllers.jobs import outbox
from controllers.rollout import maintenance
from models.db import clock
from utils.datekit import to_milliseconds


def admit(actor, target, release, asked, rollback_of=None, is_automatic=False):
    """Return what a new deploy's row gets from its gates: {"state", "start_at", "override", "approvals_needed", "warnings"}.

    `asked` is the wish: "start_at" (an aware datetime) and "override" (a reason) matter here. Every way to ask for a
    deploy goes through here; `is_automatic` marks those in which no person decides. Raises Conflict where a gate is shut,
    Forbidden, Invalid.
    """
    start_at = begin_of(asked)
    locks.require_free(actor, target, start_at)
    override = override_of(actor, asked)
    approvals_needed = 0
    if rollback_of is None:
        approvals_needed = target.environment.approvals
        promotion.require_promoted(target, release)
        if override is None:
            freezes.require_none(target.application.name, target.environment.name, start_at or clock())
    state = "pending_approval" if approvals_needed else "scheduled" if start_at else "queued"
    return {
        "state": state,
        "start_at": start_at,
        "override": override,
        "approvals_needed": approvals_needed,
        "warnings": [*known_bad.warnings(target, release, is_automatic), *maintenance.warnings(target)],
    }


def begin_of(asked):
    """Return when a deploy is to begin, in milliseconds, None for at once. Raises Invalid for a time that has passed."""
    start_at = to_milliseconds(asked.get("start_at"))
    if start_at is not None and start_at <= clock():
        raise Invalid([("start_at", "must be in the future; leave it out to begin at once")])
    return start_at


def override_of(actor, asked):
    """Return why freezes are overridden, or None. Raises Forbidden for anybody but an administrator."""
    override = asked.get("override")
    if override is not None and not actor.is_administrator:
        raise Forbidden("Only an administrator may override a freeze.", code="override-forbidden")
    return override


def require_open(actor, deploy):
    """Raise Conflict where a deploy that has ended must not go on now: code "locked" or "frozen"."""
    locks.require_free_of(actor, deploy.application_id, deploy.environment_id)
    if deploy.rollback_of_id is None and deploy.override is None:
        freezes.require_none(deploy.application.name, deploy.environment.name, clock())


def hindrance(deploy):
    """Return why a deploy that was accepted must not begin now, as people read it, or None; call it when it is to begin."""
    return lock_or_freeze(deploy) or unready_issues(deploy)


def lock_or_freeze(deploy):
    """Return which lock or freeze keeps a deploy from beginning now, as people read it, or None."""
    lock = locks.on(deploy.application_id, deploy.environment_id)
    if lock is not None and lock.holder != deploy.requested_by:
        return f"waits: {locks.text_of(lock)}"
    if deploy.rollback_of_id is None and deploy.override is None:
        found = freezes.covering(deploy.application.name, deploy.environment.name, clock())
        if found:
            return f"waits: {freezes.text_of(*found)}"
    return None


def unready_issues(deploy):
    """Return why a deploy waits for its issues, or None. What a worker found (actions.required_states) counts for a while, so
    that a deploy begins on no old answer.
    """
    if outbox.required_states(deploy) is None:
        return None
    found = deploy.issues_check
    if is_old(found) and (found is None or found["ok"]):
        return f"waits: the tracker {deploy.application.tracker['integration']} is asked about the states of its issues"
    return None if found["ok"] else f"waits: {found['told']}"


def is_old(found):
    """Say whether what was found out about a deploy's issues, if anything, counts no longer."""
    return found is None or found["until"] <= clock()


def renew_issues_check(deploy):
    """Have a worker look at a deploy's issues again, where only they hold it back and what was found counts no longer."""
    is_asked = outbox.required_states(deploy) is not None and is_old(deploy.issues_check)
    if is_asked and lock_or_freeze(deploy) is None:
        outbox.ask_for_states(deploy)
