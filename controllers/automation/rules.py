"""Continuous deployment: what a push leads to in targets whose rules want it. No person decides, so the guards are strict.

A rule is {"branch": pattern}, {"tag": pattern} or {"version": pattern} (of a package), with "require_green_build". Each
release that a rule wants becomes a row that waits for its build, and then for the commit's build where that is asked.
"""

import fnmatch
import logging

from packaging.utils import canonicalize_name
from peewee import Case

from controllers import foreign, paging, rows
from controllers.actor import Actor
from controllers.errors import Conflict, WindlassError
from controllers.jobs import leases, queue
from controllers.releases import releases
from controllers.rollout import deploys
from models import Application, Automation, Deploy, Release, Target
from models.db import clock, database, now
from utils.datekit import rfc3339

AUTOMATION = Actor("automation")
WAITED_FOR = frozenset({"locked", "frozen"})  # What hinders now and may be over soon; everything else is final.
LOOK_AGAIN_MS = 10_000  # The first pause; each is twice the one before, because hooks tell what is new anyway.
LOOK_AGAIN_LATER_MS = 60_000
LONGEST_PAUSE_MS = 300_000  # What pauses grow to; a longer one is what a system itself asked for.
GIVE_UP_AFTER_MS = 24 * 3_600_000

log = logging.getLogger(__name__)


# News.


def on_push(integration, push):
    """Make the releases that rules want of a push; returns what was done, as sentences."""
    done = []
    for application in Application.select().order_by(Application.name):
        source = application.source
        if source.get("integration") != integration.name or not source.get("repository"):
            continue
        if not foreign.driver_for(source).is_same_repository(source["repository"], push.repository):
            continue
        wanting = targets_wanting(application, push.kind, push.name)
        if push.commit is None:
            done.append(f"{push.kind} {push.name} of {application.name} was deleted")
        elif wanting:
            release = release_of_commit(application, push)
            done += [want(target, release, rule, f"push to {push.kind} {push.name}") for target, rule in wanting]
        else:
            done.append(f"no target of {application.name} has a rule for {push.kind} {push.name}")
    return done


def on_published(integration, published):
    """Make the releases that rules want of a package's new version; returns what was done, as sentences."""
    done = []
    if not published.package:
        return done
    name = canonicalize_name(published.package)
    for application in Application.select().order_by(Application.name):
        source = application.source
        if source.get("integration") != integration.name or canonicalize_name(source.get("package") or "") != name:
            continue
        for target, rule in targets_wanting(application, "version", published.version):
            release = release_of_version(application, published.version)
            done.append(want(target, release, rule, f"{published.package} {published.version} was published"))
    return done


def on_build(integration, build):
    """Look again at once at what waits for a build that has ended; returns what was done, as sentences.

    What a system asked to be left alone for is not cut short.
    """
    is_ours_to_end = Automation.due_at.is_null() | (Automation.due_at <= now() + LONGEST_PAUSE_MS)
    waiting = Automation.select(Automation.id).join(Release).where(Automation.state == "waiting", is_ours_to_end)
    building = Release.select(Release.id).where(Release.state == "building", Release.foreign_build.is_null(False))
    if build.commit:
        waiting, building = (query.where(Release.commit == build.commit) for query in (waiting, building))
    done = []
    for model, query, task, news in (
        (Automation, waiting, "windlass.automation", {"due_at": None, "attempts": 0}),
        (Release, building, "windlass.build", {"due_at": None}),
    ):
        numbers = [row.id for row in query]
        model.update(**news).where(model.id.in_(numbers)).execute()
        for number in numbers:
            queue.ring(task, number)
        if numbers:
            done.append(f"{len(numbers)} that wait for a build are looked at ({task})")
    return done


def targets_wanting(application, kind, name):
    """Return [(target, rule)] of an application's targets that a rule applies to; the first that fits counts."""
    found = []
    for target in rows.target_query().where(Target.application == application).order_by(Target.id):
        rule = next((rule for rule in target.rules if rule.get(kind) and fnmatch.fnmatchcase(name, rule[kind])), None)
        if rule:
            found.append((target, rule))
    return found


def release_of_commit(application, push):
    """Return the release of a commit: one that is there, ready or building, or a new one."""
    is_it = (Release.commit == push.commit) & (Release.ref == push.name)
    return existing_or_new(application, is_it, ref=push.name, commit=push.commit)


def release_of_version(application, version):
    """Return the release of a package's version: one that is there, ready or building, or a new one."""
    return existing_or_new(application, Release.package_version == version, package_version=version)


def existing_or_new(application, is_it, **columns):
    """Return an application's newest release of which `is_it` holds, or a new one; two hooks at once make one."""
    with database.atomic():
        rows.named_for_change(Application, application.name, "application")
        usable = Release.state.in_(("ready", "building"))
        there = Release.select().where(Release.application == application, usable, is_it)
        release = there.order_by(Release.number.desc()).first()
        if release is not None:
            return release
        release = releases.insert(application, source=application.source, requested_by=AUTOMATION.name, **columns)
    queue.ring("windlass.build", release.id)
    return release


def want(target, release, rule, reason):
    """Write down that a rule wants a release in a target, in place of any that it still waits for; returns a sentence."""
    where = f"{release.version} of {target.application.name} in {target.environment.name}"
    with database.atomic():
        rows.hold_target(target.application_id, target.environment_id)
        if Automation.select().where(Automation.target == target, Automation.release == release).exists():
            return f"{where} was wanted before"
        Automation.update(state="superseded", outcome=f"{release.version} came after it.", ended_at=now()).where(
            Automation.target == target, Automation.state == "waiting"
        ).execute()
        row = Automation.create(
            target=target, release=release, rule=rule, reason=reason, state="waiting", created_at=now()
        )
    queue.ring("windlass.automation", row.id)
    return f"{where} is deployed when it is ready"


# What waits.


def due():
    """Return the ids of automatic deploys that are to be looked at now."""
    is_waiting = (Automation.state == "waiting") & leases.is_free(Automation) & leases.is_due(Automation)
    query = Automation.select(Automation.id).join(Release).where(is_waiting)
    return [row.id for row in query.where(Release.state != "building").order_by(Automation.id).limit(100)]


def ring_due():
    """Ring for the automatic deploys that are to be looked at now."""
    for automation_id in due():
        queue.ring("windlass.automation", automation_id)


def advance(automation_id):
    """Carry an automatic deploy one step further; safe to call at any time."""
    is_due = leases.is_due(Automation)
    is_waiting = Automation.state == "waiting"
    row = leases.claim(Automation, automation_id, is_waiting, is_due, attempts=Automation.attempts + 1)
    if row is None:
        return
    with leases.heartbeats(row, lost=lambda: log.warning("automation %s was taken over", row.id)):
        try:
            settle(row, **decide(row))
        except Exception as error:
            log.exception("automation %s failed inside Windlass", row.id)
            settle(row, "waiting", f"Windlass itself failed: {type(error).__name__}: {error}", LOOK_AGAIN_LATER_MS)


def settle(row, state, outcome=None, again_ms=None, deploy=None):
    """Write down what was decided, if this worker still holds the row."""
    changes = {"state": state, "outcome": outcome}
    if state == "waiting" and clock() - row.created_at > GIVE_UP_AFTER_MS:
        changes.update(state="skipped", outcome=f"given up after a day: {outcome}")
    if changes["state"] == "waiting":
        changes["due_at"] = due_after(row, again_ms or pause_of(row))
    else:
        changes["ended_at"] = now()
    leases.release(row, deploy=deploy, **changes)


def pause_of(row):
    """Return for how many milliseconds a row is left alone that has been looked at so often since there was news."""
    return min(LOOK_AGAIN_MS * 2 ** min(row.attempts - 1, 10), LONGEST_PAUSE_MS)


def due_after(row, pause_ms):
    """Return when a row is due after a pause: at once where news came during this look, unless a system wants its peace."""
    if pause_ms > LONGEST_PAUSE_MS:
        return now() + pause_ms
    return Case(None, [(Automation.attempts == row.attempts, now() + pause_ms)])


def decide(row):
    """Return what becomes of an automatic deploy now: the arguments of `settle`."""
    release = row.release
    if release.state == "building":
        return {"state": "waiting", "outcome": "waits for its build"}
    if release.state == "failed":
        return {"state": "skipped", "outcome": f"the release could not be built: {release.error}"}
    if row.rule.get("require_green_build"):
        verdict = build_verdict(row)
        if verdict is not None:
            return verdict
    return start(row)


def build_verdict(row):
    """Return what becomes of a row whose commit is not known to be green: the arguments of `settle`; None: it is."""
    release = row.release
    try:
        driver = foreign.driver_for(release.source)
        if not driver.has_statuses:
            told = f"{driver.name} knows of no builds: take require_green_build out of the rule"
            return {"state": "skipped", "outcome": told}
        state = driver.build_state(release.source["repository"], release.commit)
    except WindlassError as error:
        asked_ms = 1000 * (getattr(error, "retry_after_s", None) or 0)
        again_ms = max(pause_of(row), LOOK_AGAIN_LATER_MS, asked_ms)
        return {"state": "waiting", "outcome": error.detail, "again_ms": int(again_ms)}
    if state == "success":
        return None
    if state == "failure":
        return {"state": "skipped", "outcome": f"the build of commit {release.commit[:12]} is red"}
    return {"state": "waiting", "outcome": f"waits for a green build of commit {release.commit[:12]}"}


def start(row):
    """Ask for the deploy, as an automatism: what people are only warned of stops it."""
    target, release = row.target, row.release
    made = already_made(row)
    if made is not None:
        return {"state": "deployed", "outcome": f"deploy {made}", "deploy": made}
    asked = {
        "application": target.application.name,
        "environment": target.environment.name,
        "release": release.version,
        "comment": row.reason,
    }
    try:
        made = deploys.create(AUTOMATION, asked, is_automatic=True)["id"]
    except Conflict as error:
        state = "waiting" if error.code in WAITED_FOR else "skipped"
        return {"state": state, "outcome": error.detail, "again_ms": LOOK_AGAIN_LATER_MS}
    except WindlassError as error:
        return {"state": "skipped", "outcome": error.detail}
    return {"state": "deployed", "outcome": f"deploy {made}", "deploy": made}


def already_made(row):
    """Return the id of the deploy that an earlier attempt asked for before its worker died, or None."""
    return (
        Deploy.select(Deploy.id)
        .where(
            Deploy.application == row.target.application_id,
            Deploy.environment == row.target.environment_id,
            Deploy.release == row.release_id,
            Deploy.requested_by == AUTOMATION.name,
            Deploy.created_at >= row.created_at,
        )
        .order_by(Deploy.id)
        .limit(1)
        .scalar()
    )


# Looking.


def listing(actor, application, environment, limit=paging.LIMIT, after=None):
    """Return a page of a target's automatic deploys, newest first. Raises NotFound."""
    target = rows.target(application, environment)
    query = Automation.select(Automation, Release).join(Release).where(Automation.target == target)
    return paging.page(query, Automation.id, describe, limit, after, newest_first=True)


def describe(row):
    """Return an automatic deploy in the API's shape."""
    return {
        "id": row.id,
        "release": row.release.version,
        "deploy": row.deploy_id,
        "rule": row.rule,
        "reason": row.reason,
        "state": row.state,
        "outcome": row.outcome,
        "created_at": rfc3339(row.created_at),
        "ended_at": rfc3339(row.ended_at),
    }
