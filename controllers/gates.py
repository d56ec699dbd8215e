"""What a deploy must pass: once when it is asked for, and again when it begins, because the world may have changed since."""
from controllers import locks


def require_open(actor, target):
    """Raise Conflict where nobody may deploy to a target now, or only somebody else: code "locked"."""
    locks.require_free(actor, target)


def hindrance(deploy):
    """Return why a deploy that was accepted must not begin now, as people read it, or None."""
    lock = locks.on(deploy.application_id, deploy.environment_id)
    if lock is not None and lock.holder != deploy.requested_by:
        return f"waits: {locks.told(lock)}"
    return None
