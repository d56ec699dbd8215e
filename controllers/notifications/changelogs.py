"""Changelogs: what a deploy brings against what ran before, found out once by a worker and kept on the deploy.

What a foreign system does not answer is a gap, (what is not known, the error): people read it in the notes. Where asking again
may help, the worker does so later (deliveries.py), and what is known by then is kept.
"""

from controllers import foreign
from controllers.controller import Controller
from controllers.foreign import ForeignError, WindlassError
from controllers.jobs import outbox
from controllers.releases import compare
from controllers.rollout.deploys import DeployController
from models import Delivery, Deploy
from models.db import database

LISTED_ISSUES = 100
NOTHING = {"commits": None, "is_going_back": False, "authors": [], "issues": [], "pull_requests": [], "notes": []}


class ChangelogController(Controller):
    """What deploys bring, for whoever reads it."""

    def get(self, deploy_id):
        """Return a deploy's changelog; its "state" is "pending" while a worker is still to find things out. Raises NotFound."""
        # Looked at first: once it has ended, the deploy that is read after it has the changelog.
        is_its = (Delivery.deploy == deploy_id) & (Delivery.action == outbox.CHANGELOG)
        worker_request = self.visible(Delivery).where(is_its).first()
        return describe(DeployController(self.actor).find(deploy_id), worker_request)


def describe(row, worker_request):
    """Return a deploy's changelog in the API's shape; `worker_request` is the delivery that finds it out, or None."""
    is_pending = worker_request.state == "waiting" if worker_request else row.changelog is None
    missed = [note("The commits", worker_request.error)] if worker_request and worker_request.error else []
    return {
        "deploy": row.id,
        "from": row.previous_release.version if row.previous_release_id else None,
        "to": row.release.version,
        "state": "pending" if is_pending else "ready",
        **(row.changelog or {**NOTHING, "notes": missed}),
    }


def make(deploy):
    """Find out what a deploy brings, keep it, and write what was waiting for it; returns it. Safe to do twice.

    Raises ForeignError where a system may tell more later; without the commits nothing is kept.
    """
    gaps = []
    found = gather(deploy, gaps)
    with database.atomic():
        Deploy.update(changelog=found).where(Deploy.id == deploy.id).execute()
        outbox.on_changelog(Deploy.get_by_id(deploy.id))
    passing = [error for _, error in gaps if may_pass(error)]
    if passing:
        raise max(passing, key=lambda error: error.retry_after_s or 0)
    return found


def gather(deploy, gaps):
    """Return {"commits", "is_going_back", "authors", "issues", "pull_requests", "notes"} of a deploy.

    `commits` is None where they are not known. Raises ForeignError where they may be later.
    """
    earlier = deploy.changelog or NOTHING
    try:
        commits, is_going_back = commits_of(deploy)
    except WindlassError as error:
        if may_pass(error):
            raise
        gaps.append(("The commits", error))
        commits, is_going_back = None, is_older(deploy)
    return {
        "commits": commits,
        "is_going_back": is_going_back,
        "authors": sorted({commit["author"] for commit in commits or ()}),
        "issues": issues_in(deploy.application.tracker, commits or (), earlier["issues"], gaps),
        "pull_requests": pull_requests_of(deploy.release, commits or (), earlier["pull_requests"], gaps),
        "notes": list(dict.fromkeys(note(what, error.detail) for what, error in gaps)),
    }


def note(what, why):
    """Return what people read of a gap."""
    return f"{what} are not known: {why}"


def may_pass(error):
    """Say whether asking again later may help."""
    return isinstance(error, ForeignError) and error.may_pass


def commits_of(deploy):
    """Return (the commits that a deploy brings, newest first, or takes away; whether it takes them away).

    (None, False) where nothing ran before. Raises ForeignError, NotFound where the commits are not known.
    """
    before, after = deploy.previous_release, deploy.release
    if before is None:
        return None, False
    brought = compare.find_commits(before, after, may_fetch=True)
    if brought or before.commit == after.commit:
        return brought, not brought and is_older(deploy)
    return compare.find_commits(after, before, may_fetch=True), True


def is_older(deploy):
    """Say whether a deploy's release is older than the one before: where no commit does, this tells that it goes back."""
    return deploy.release.number < deploy.previous_release.number


def issues_in(tracker, commits, earlier, gaps):
    """Return the issues that commits name: [{"key", "title", "state", "url"}], in the order they are named first.

    `earlier` are those of an earlier look.
    """
    if not tracker:
        return []
    try:
        driver = foreign.driver_named(tracker["integration"], "tracker")
    except WindlassError as error:
        gaps.append(("The issues", error))
        return []
    keys = keys_in(driver, tracker, commits)[:LISTED_ISSUES]
    return list(described(driver, keys, {issue["key"]: issue for issue in earlier}, gaps))


def keys_in(driver, tracker, commits):
    """Return the keys of the issues that commits name, each once, of the project alone that the tracker's settings name."""
    keys = dict.fromkeys(key for commit in commits for key in driver.keys_in(text_of(commit)))
    project = tracker.get("project")
    return [key for key in keys if not project or driver.is_of(key, project)]


def text_of(commit):
    """Return all that a commit says."""
    return commit.get("message") or commit["subject"]


def described(driver, keys, earlier, gaps):
    """Yield issues as the tracker describes them, else as they were known, or with their keys alone.

    A tracker that is away is asked no more.
    """
    is_away = False
    for key in keys:
        issue = earlier.get(key) or {"key": key, "title": None, "state": None, "url": None}
        if not is_away:
            try:
                found = driver.issue(key)
                issue = {"key": found.key, "title": found.title, "state": found.state, "url": found.url}
            except ForeignError as error:
                gaps.append(("Titles and states of issues", error))
                is_away = error.is_away
        yield issue


def pull_requests_of(release, commits, earlier, gaps):
    """Return the pull requests that brought commits, where the source knows such: [{"number", "title", "url", "author"}].

    `earlier` are those of an earlier look.
    """
    if not commits:
        return []
    try:
        driver = foreign.driver_for(release.source)
        return driver.pull_requests(release.source["repository"], [commit["commit"] for commit in commits])
    except WindlassError as error:
        gaps.append(("The pull requests", error))
        return earlier
