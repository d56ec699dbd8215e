"""Continuous deployment: which releases a target's rules deploy after a push. No person decides, so the guards are strict.

A rule is {"branch": pattern}, {"tag": pattern} or {"version": pattern} (of a package), with "require_green_build". Each
release that a rule deploys becomes a row that waits for its build, and then for the commit's build where that is asked.
"""

import fnmatch

from packaging.utils import canonicalize_name

from controllers import foreign, paging, rows
from controllers.actor import Actor
from controllers.controller import Controller
from controllers.jobs import queue, states
from controllers.releases import releases
from models import Application, Automation, Release, Target
from models.db import database, now
from utils.datekit import rfc3339

AUTOMATION = Actor("automation")
LONGEST_PAUSE_MS = 300_000  # What pauses grow to; a longer one is what a system itself asked for.

# News.


def on_push(integration, push):
    """Make the releases that rules ask for after a push; returns what was done, as sentences."""
    done = []
    for application in Application.select().order_by(Application.name):
        source = application.source
        if source.get("integration") != integration.name or not source.get("repository"):
            continue
        if not foreign.driver_for(source).is_same_repository(source["repository"], push.repository):
            continue
        matching = targets_matching(application, push.kind, push.name)
        if push.commit is None:
            done.append(f"{push.kind} {push.name} of {application.name} was deleted")
        elif matching:
            release = release_of_commit(application, push)
            done += [create_automation(target, release, rule, f"push to {push.kind} {push.name}") for target, rule in matching]
        else:
            done.append(f"no target of {application.name} has a rule for {push.kind} {push.name}")
    return done


def on_published(integration, published):
    """Make the releases that rules ask for after a package's new version; returns what was done, as sentences."""
    done = []
    if not published.package:
        return done
    name = canonicalize_name(published.package)
    for application in Application.select().order_by(Application.name):
        source = application.source
        if source.get("integration") != integration.name or canonicalize_name(source.get("package") or "") != name:
            continue
        for target, rule in targets_matching(application, "version", published.version):
            release = release_of_version(application, published.version)
            done.append(create_automation(target, release, rule, f"{published.package} {published.version} was published"))
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
    for model, query, task, columns in (
        (Automation, waiting, "windlass.automation", {"due_at": None, "attempt": 0}),
        (Release, building, "windlass.build", {"due_at": None}),
    ):
        numbers = [row.id for row in query]
        model.update(**columns).where(model.id.in_(numbers)).execute()
        for number in numbers:
            queue.enqueue(task, number)
        if numbers:
            done.append(f"{len(numbers)} that wait for a build are looked at ({task})")
    return done


def targets_matching(application, kind, name):
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
        rows.for_change(Application.select().where(Application.id == application.id), Application).first()
        usable = Release.state.in_(("ready", "building"))
        there = Release.select().where(Release.application == application, usable, is_it)
        release = there.order_by(Release.number.desc()).first()
        if release is not None:
            return release
        release = releases.insert(application, source=application.source, requested_by=AUTOMATION.name, **columns)
    queue.enqueue("windlass.build", release.id)
    return release


def create_automation(target, release, rule, reason):
    """Write down that a rule wants a release in a target, in place of any that it still waits for; returns a sentence."""
    where = f"{release.version} of {target.application.name} in {target.environment.name}"
    with database.atomic():
        rows.hold_target(target.application_id, target.environment_id)
        if Automation.select().where(Automation.target == target, Automation.release == release).exists():
            return f"{where} was wanted before"
        superseded = {"outcome": f"{release.version} came after it.", "ended_at": now()}
        states.move_all(Automation, "superseded", Automation.target == target, **superseded)
        row = Automation.create(target=target, release=release, rule=rule, reason=reason, state="waiting", created_at=now())
    queue.enqueue("windlass.automation", row.id)
    return f"{where} is deployed when it is ready"


# Looking.


class AutomationController(Controller):
    """The automatic deploys of targets, for whoever looks at them."""

    def listing(self, application, environment, limit=paging.LIMIT, after=None):
        """Return a page of a target's automatic deploys, newest first. Raises NotFound."""
        target = self.target(application, environment)
        query = self.visible(Automation, Automation, Release).join(Release).where(Automation.target == target)
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
