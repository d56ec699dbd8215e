"""Known-bad releases: one that failed in a target, or that people went back from, no automatism deploys there again.

Nothing is stored: the newest judged deploy of a release to a target tells. People are warned and may go on; when that deploy
succeeds, the release is no longer known to be bad there.
"""

from peewee import Select, fn

from controllers.errors import Conflict
from models import Deploy, Environment, Release

JUDGED = ("succeeded", "failed", "rolled_back")
MOST_SHOWN = 20


def query(application_id, *narrower):
    """Return the query for the deploys that made their release known bad, newest first, releases and environments joined.

    narrower: conditions on the release or the environment, so that the deploys of no others are ranked.
    """
    in_time = [fn.COALESCE(Deploy.started_at, Deploy.created_at).desc(), Deploy.id.desc()]
    place = fn.ROW_NUMBER().over(partition_by=[Deploy.release, Deploy.environment], order_by=in_time)
    judged = Deploy.select(Deploy.id, place.alias("place")).where(
        Deploy.application == application_id, Deploy.state.in_(JUDGED), *narrower
    )
    ranked = judged.alias("ranked")
    newest = Select([ranked], [ranked.c.id]).where(ranked.c.place == 1)
    undone = Deploy.select(Deploy.rollback_of).where(
        Deploy.application == application_id, Deploy.rollback_of.is_null(False), Deploy.state != "cancelled"
    )
    # Going back from a rollback says nothing against the release that the rollback brought.
    was_left = Deploy.rollback_of.is_null() & Deploy.id.in_(undone)
    return (
        Deploy.select(Deploy, Release, Environment)
        .join(Release, on=(Deploy.release == Release.id))
        .switch(Deploy)
        .join(Environment)
        .where(Deploy.id.in_(newest), Deploy.state.in_(("failed", "rolled_back")) | was_left)
        .order_by(Deploy.id.desc())
        .limit(MOST_SHOWN)
    )


def on_release(release):
    """Return where a release is known bad: [{"environment", "deploy", "reason"}], newest first."""
    return [
        {"environment": row.environment.name, **describe(row)} for row in query(release.application_id, Deploy.release == release)
    ]


def on_target(target):
    """Return the releases that are known bad in a target: [{"release", "deploy", "reason"}], newest first."""
    return [
        {"release": row.release.version, **describe(row)}
        for row in query(target.application_id, Deploy.environment == target.environment_id)
    ]


def describe(row):
    """Return the deploy that spoke against its release, and what it says."""
    reason = row.reason if row.state in ("failed", "rolled_back") else "it was rolled back"
    return {"deploy": row.id, "reason": reason}


def of(release, environment):
    """Return the deploy for which a release is known bad in an environment, or None."""
    return query(release.application_id, Deploy.environment == environment, Deploy.release == release).first()


def text_of(row):
    """Return why a release is known bad, as people read it; `row` is the deploy that spoke against it."""
    ended = "failed" if row.state == "failed" else "was rolled back"
    reason = describe(row)["reason"] or "no reason was given"
    return f"{row.release.version} {ended} in {row.environment.name} last time (deploy {row.id}): {reason}"


def warnings(target, release, is_automatic):
    """Return the warnings to people who deploy a release to a target; an automatism is refused with Conflict "latched"."""
    row = of(release, target.environment)
    if row is None:
        return []
    if is_automatic:
        raise Conflict(f"{text_of(row)} A person may deploy it again.", code="latched")
    return [text_of(row)]
