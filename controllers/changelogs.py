"""Changelogs: what a deploy brings against what ran before, found out once by a worker and kept on the deploy."""

from controllers import deploys, foreign, outbox
from controllers.building import compare
from controllers.foreign import ForeignError
from models import Deploy
from models.db import database

LISTED_ISSUES = 100


def get(actor, deploy_id):
    """Return a deploy's changelog; its "state" is "pending" until a worker has made it. Raises NotFound."""
    row = deploys.find(deploy_id)
    names = {
        "deploy": row.id,
        "from": row.previous_release.version if row.previous_release_id else None,
        "to": row.release.version,
    }
    if row.changelog is None:
        nothing = {
            "commits": None,
            "is_going_back": False,
            "authors": [],
            "issues": [],
            "pull_requests": [],
            "notes": [],
        }
        return {**names, "state": "pending", **nothing}
    return {**names, "state": "ready", **row.changelog}


def make(deploy):
    """Find out what a deploy brings, keep it, and write what was waiting for it; returns it. Safe to do twice."""
    found = gather(deploy)
    with database.atomic():
        Deploy.update(changelog=found).where(Deploy.id == deploy.id).execute()
        outbox.on_changelog(Deploy.get_by_id(deploy.id))
    return found


def gather(deploy):
    """Return {"commits", "is_going_back", "authors", "issues", "pull_requests", "notes"} of a deploy.

    `commits` is None where they are not known; what a foreign system would not tell is named in the notes.
    """
    notes = []
    commits, is_going_back = commits_of(deploy)
    return {
        "commits": commits,
        "is_going_back": is_going_back,
        "authors": sorted({commit["author"] for commit in commits or ()}),
        "issues": issues_in(deploy.application.tracker, commits or (), notes),
        "pull_requests": pull_requests_of(deploy.release, commits or (), notes),
        "notes": notes,
    }


def commits_of(deploy):
    """Return (the commits that a deploy brings, newest first, or takes away; whether it takes them away)."""
    before, after = deploy.previous_release, deploy.release
    if before is None:
        return None, False
    commits = compare.commits_between(before, after)
    if commits == [] and before.commit != after.commit:
        return compare.commits_between(after, before), True
    return commits, False


def issues_in(tracker, commits, notes):
    """Return the issues that commits name: [{"key", "title", "state", "url"}], in the order they are named first."""
    if not tracker:
        return []
    try:
        driver = foreign.driver_named(tracker["integration"], "tracker")
    except foreign.WindlassError as error:
        notes.append(error.detail)
        return []
    keys = list(dict.fromkeys(key for commit in commits for key in driver.keys_in(text_of(commit))))
    wanted = tracker.get("project")
    return [look_up(driver, key, notes) for key in keys if not wanted or driver.is_of(key, wanted)][:LISTED_ISSUES]


def text_of(commit):
    """Return all that a commit says."""
    return commit.get("message") or commit["subject"]


def look_up(driver, key, notes):
    """Return an issue as the tracker describes it, or with its key alone where the tracker does not say."""
    try:
        issue = driver.issue(key)
    except ForeignError as error:
        if error.detail not in notes:
            notes.append(error.detail)
        return {"key": key, "title": None, "state": None, "url": None}
    return {"key": issue.key, "title": issue.title, "state": issue.state, "url": issue.url}


def pull_requests_of(release, commits, notes):
    """Return the pull requests that brought commits, where the source knows such: [{"number", "title", "url", "author"}]."""
    if not commits:
        return []
    try:
        driver = foreign.driver_for(release.source)
        return driver.pull_requests(release.source["repository"], [commit["commit"] for commit in commits])
    except foreign.WindlassError as error:
        notes.append(error.detail)
        return []
