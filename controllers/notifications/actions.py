"""Send deliveries to foreign systems: one function an action, each through the driver of its role.

A driver looks up what it may have sent before it sends it again, so that an attempt whose answer was lost does no harm.
"""

import hashlib
import os

import scratch
from controllers import foreign
from controllers.errors import Conflict, WindlassError
from controllers.foreign.artifacts.base import Digests
from controllers.foreign.notify.base import Message
from controllers.foreign.source.base import Status
from controllers.jobs import outbox, states
from controllers.notifications import changelogs
from controllers.releases import bundles, compare, fetch
from models import Delivery, Deploy, Release
from models.db import clock

READY_FOR_S = 60  # So long issues that were found ready count as ready.
ASK_AGAIN_S = 30


class NotYet(Exception):
    """What must come before has not happened yet; the message says what. Looked at again after `pause_s` seconds."""

    def __init__(self, message, pause_s=10):
        super().__init__(message)
        self.pause_s = pause_s


class Superseded(Exception):
    """What was to be sent is not true or not needed any more; the message says why."""


def deliver(delivery):
    """Send a delivery; returns what the system gave back (a dict) or None. Raises ForeignError, Superseded."""
    return ACTIONS[delivery.action](delivery)


def system(delivery, role):
    """Return the driver a delivery goes to. Raises ForeignError, NotFound."""
    return foreign.driver_named(delivery.integration, role)


def changelog(delivery):
    """Find out what the deploy brings, and write the deliveries that need it; again while a system is away."""
    made = changelogs.make(delivery.deploy)
    return {"commits": len(made["commits"] or ()), "issues": len(made["issues"])}


def required_states(delivery):
    """Look whether the issues of a deploy are in the states that its environment requires, for its gate.

    The gate asks again once the result has grown old, whatever became of this.
    """
    deploy = Deploy.get_by_id(delivery.deploy_id)
    if deploy.state not in states.DEPLOY_WAITING | {"queued"}:
        raise Superseded("The deploy does not wait for its issues any more.")
    required = outbox.required_states(deploy)
    if required is None or deploy.application.tracker["integration"] != delivery.integration:
        return {"told": "The application requires nothing of this tracker now."}
    try:
        tracker = system(delivery, "tracker")
        issues = [tracker.issue(key) for key in issues_brought(deploy, tracker)]
    except Exception as error:
        own = f"Windlass itself failed: {type(error).__name__}; its worker's log tells more."
        detail = error.detail if isinstance(error, WindlassError) else own
        detail = f"its commits or the states of their issues are not known: {detail}"
        write_issues_check(deploy, max(ASK_AGAIN_S, getattr(error, "retry_after_s", None) or 0), detail)
        raise
    ready = {state.lower() for state in required}
    lacking = [f"{issue.key} is {issue.state}" for issue in issues if issue.state.lower() not in ready]
    if not lacking:
        write_issues_check(deploy, READY_FOR_S)
        return {"issues": len(issues)}
    detail = f"{', '.join(lacking)}; {deploy.environment.name} requires {' or '.join(required)}."
    # A second more for each issue, so that many do not use up what a tracker allows.
    write_issues_check(deploy, ASK_AGAIN_S + len(issues), detail)
    return {"issues": len(issues), "told": detail}


def write_issues_check(deploy, counts_for_s, detail=None):
    """Write down that a deploy's issues are ready, or what keeps it waiting, and for how many seconds that counts."""
    if detail is not None:
        detail += " This is looked at again. An administrator may cancel it and deploy again with an override."
    found = {"ok": detail is None, "told": detail, "until": clock() + int(counts_for_s * 1000)}
    Deploy.update(issues_check=found).where(Deploy.id == deploy.id).execute()


def issues_brought(deploy, tracker):
    """Return the keys of all issues that a deploy's commits name; one that goes back, or is the first, brings none.

    Raises ForeignError, NotFound where its commits are not known, Conflict where these are not all.
    """
    changelog = deploy.changelog or {}
    if changelog.get("commits") is None:
        commits, is_going_back = changelogs.commits_of(deploy)
    else:
        commits, is_going_back = changelog["commits"], changelog["is_going_back"]
    if deploy.previous_release is None or is_going_back:
        return []
    if len(commits) >= compare.MOST_COMMITS:
        raise Conflict(f"{deploy.release.version} brings more commits than Windlass looks at ({compare.MOST_COMMITS}).")
    return changelogs.keys_in(tracker, deploy.application.tracker, commits)


def commit_status(delivery):
    """Set the status of the deploy's commit; one of a deploy that has gone on since is left out."""
    status = dict(delivery.payload)
    if status["state"] == "pending" and Deploy.get_by_id(delivery.deploy_id).state in states.DEPLOY_ENDED:
        raise Superseded("The deploy had ended before this could be sent.")
    repository = status.pop("repository")
    return system(delivery, "source").set_status(repository, delivery.subject, Status(**status))


def message(delivery):
    """Send a message, unless its receiver was switched off since it was written."""
    content, receiver = delivery.payload, system(delivery, "notify")
    if not receiver.access.settings.get("enabled", True):
        raise Conflict(f"{delivery.integration} is switched off: switch it on, and send this again.")
    description = outbox.DESCRIPTIONS[content["state"]]
    subject = f"{content['application']} {content['release']} in {content['environment']} {description}"
    return receiver.send(
        Message(key=f"windlass-{delivery.id}", event=content["event"], subject=subject, text=content["reason"], data=content)
    )


def publish(delivery):
    """Put a release's bundle where releases are kept, and write down where it is."""
    release = delivery.release
    fetch.ensure(release, lambda text: None)
    driver = system(delivery, "artifacts")
    properties = {
        "windlass.application": release.application.name,
        "windlass.release": release.version,
        "windlass.commit": release.commit or "",
        "windlass.digest": release.digest,
    }
    with scratch.folder("bundle") as folder, open(folder / "bundle", "w+b") as file:
        bundles.write(release, file)
        digests = digests_of(file)
        artifact = driver.publish(delivery.subject, file, digests, properties)
        size = file.seek(0, os.SEEK_END)
    bundle = {
        "integration": delivery.integration,
        "path": delivery.subject,
        "sha256": digests.sha256,
        "size_bytes": size,
    }
    Release.update(bundle=bundle).where(Release.id == release.id).execute()
    return {"url": artifact.url, "sha256": digests.sha256}


def digests_of(file):
    """Return the Digests of an open file, which stands at its beginning then."""
    found = {}
    for name in ("sha256", "sha1", "md5"):
        file.seek(0)
        found[name] = hashlib.file_digest(file, lambda name=name: hashlib.new(name, usedforsecurity=False)).hexdigest()
    file.seek(0)
    return Digests(**found)


def promote(delivery):
    """Mark the release's bundle where it is kept; it may still be on its way there."""
    release = delivery.deploy.release
    bundle = release.bundle
    if bundle is None:
        waiting = (Delivery.release == release) & (Delivery.action == outbox.PUBLISH) & (Delivery.state == "waiting")
        if Delivery.select().where(waiting).exists():
            raise NotYet("The release has not been published yet.")
        raise Superseded("The release was not published, so there is nothing to mark.")
    return system(delivery, "artifacts").promote(bundle["path"], delivery.payload["properties"])


def tracker_of_issue(delivery):
    """Return the tracker of an issue. Raises Superseded where a later deploy has commented on it, or taken it back."""
    deploy = delivery.deploy
    later = Deploy.select(Deploy.id, Deploy.changelog).where(
        Deploy.application == deploy.application_id,
        Deploy.environment == deploy.environment_id,
        Deploy.id > deploy.id,
        Deploy.state == "succeeded",
    )
    for row in later:
        if delivery.subject in {issue["key"] for issue in (row.changelog or {}).get("issues", ())}:
            raise Superseded(f"Deploy {row.id} has come after it, and tells of {delivery.subject} what is so now.")
    return system(delivery, "tracker")


def transition(delivery):
    """Move an issue to the state that the application's tracker settings name."""
    return tracker_of_issue(delivery).transition(delivery.subject, delivery.payload["to"])


def comment(delivery):
    """Comment on an issue, once."""
    content = delivery.payload
    return tracker_of_issue(delivery).comment(delivery.subject, content["text"], content["marker"])


def remote_link(delivery):
    """Link an issue to the deploy's page; a later deploy to the same environment changes that link."""
    content = delivery.payload
    return tracker_of_issue(delivery).link(delivery.subject, content["global_id"], content["url"], content["title"])


def release_version(delivery):
    """Make a version and mark it as released."""
    return system(delivery, "tracker").release_version(delivery.payload["project"], delivery.subject, delivery.payload["text"])


ACTIONS = {
    outbox.CHANGELOG: changelog,
    outbox.REQUIRE: required_states,
    outbox.STATUS: commit_status,
    outbox.MESSAGE: message,
    outbox.PUBLISH: publish,
    outbox.PROMOTE: promote,
    outbox.TRANSITION: transition,
    outbox.COMMENT: comment,
    outbox.LINK: remote_link,
    outbox.VERSION: release_version,
}
