"""Promotion: an environment takes only what has succeeded in the one before it, and still counts as good there."""

from controllers.errors import Conflict
from controllers.guards import known_bad
from models import Deploy, Environment


def require_promoted(target, release):
    """Raise Conflict "not-promoted" unless a target's environment takes releases from anywhere, or this one was promoted."""
    source = Environment.get_or_none(Environment.id == target.environment.promote_from_id)
    if source is None:
        return
    to, name = target.environment.name, target.application.name
    was_there = (
        Deploy.select().where(Deploy.release == release, Deploy.environment == source, Deploy.state == "succeeded").exists()
    )
    if not was_there:
        raise Conflict(
            f"{to} takes only what has succeeded in {source.name}: deploy {name} {release.version} there first.",
            code="not-promoted",
            promote_from=source.name,
        )
    bad = known_bad.of(release, source)
    if bad:
        raise Conflict(
            f"{to} takes only what has succeeded in {source.name}, and {known_bad.text_of(bad)}",
            code="not-promoted",
            promote_from=source.name,
        )
