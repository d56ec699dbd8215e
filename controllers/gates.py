"""What a deploy must pass: once when it is asked for, and again when it begins, because the world may have changed since."""
from controllers import latches, locks


def admit(actor, target, release, is_automatic=False):
    """Return what a new deploy's row gets from its gates: {"warnings"}. Raises Conflict where one of them is shut.

    Every way to ask for a deploy goes through here; `is_automatic` marks those in which no person decides.
    """
    require_open(actor, target)
    return {"warnings": latches.warnings(target, release, is_automatic)}


def require_open(actor, target):
    """Raise Conflict where nobody may deploy to a target now, or only somebody else: code "locked"."""
    locks.require_free(actor, target)


def hindrance(deploy):
    """Return why a deploy that was accepted must not begin now, as people read it, or None."""
    lock = locks.on(deploy.application_id, deploy.environment_id)
    if lock is not None and lock.holder != deploy.requested_by:
        return f"waits: {locks.told(lock)}"
    return None
