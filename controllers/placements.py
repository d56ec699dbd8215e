"""What was last seen of an application on a host: the observed side of the truth."""

from controllers.rollout.spec import UP
from models import Placement, Release
from models.db import now


def write(deploy, host, application):
    """Keep what a host's agent answered about one application after a deploy or a look."""
    write_seen(deploy.application, deploy.environment, host, application)


def write_seen(application, environment, host, seen):
    """Keep one observation; `seen` is the agent's `application` answer."""
    slot = seen["slots"].get(seen["active"]) if seen["active"] else None
    release = (
        Release.get_or_none(
            Release.application == application, Release.digest == seen["current"], Release.state == "ready"
        )
        if seen["current"]
        else None
    )
    if slot and slot.get("version"):
        release = Release.get_or_none(Release.application == application, Release.version == slot["version"]) or release
    row = {
        "digest": seen["current"],
        "release": release,
        "is_healthy": is_healthy(slot),
        "address": address_of(host, seen, slot),
        "detail": {"active": seen["active"], "slots": seen["slots"]},
        "observed_at": now(),
    }
    (
        Placement.insert(application=application, environment=environment, host=host, **row)
        .on_conflict(
            conflict_target=[Placement.application, Placement.host],
            preserve=[Placement.environment, *(getattr(Placement, name) for name in row)],
        )
        .execute()
    )


def is_healthy(slot):
    """Say whether the active slot serves with all its processes up; None when nothing is there."""
    if slot is None:
        return None
    return bool(slot["serving"]) and all(process["state"] in UP for process in slot["processes"].values())


def address_of(host, seen, slot):
    """Return the URL the application answers at on this host, or None where it has no web process."""
    if slot is None or not slot.get("binding"):
        return None
    nginx = host.settings.get("nginx")
    if not nginx:
        return f"http://127.0.0.1:{seen['ports'][seen['active']]}/" if slot["binding"] == "port" else None
    listen = nginx["listen"]
    return f"http://{listen}/" if ":" in listen else f"http://{host.address}{'' if listen == '80' else ':' + listen}/"
