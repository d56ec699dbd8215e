"""Say to foreign systems what the outbox holds: one function an action, each through the driver of its role.

A driver looks up what it may have said before it says it again, so that an attempt whose answer was lost does no harm.
"""

import hashlib
import os

import scratch
from controllers import changelogs, foreign, outbox, states
from controllers.building import bundles, kept
from controllers.errors import Conflict
from controllers.foreign.artifacts.base import Digests
from controllers.foreign.notify.base import Message
from controllers.foreign.source.base import Status
from models import Delivery, Deploy, Release

LOOK_AT_ISSUES_S = 30


class NotYet(Exception):
    """What must come before has not happened yet; the message says what. Looked at again after `pause_s` seconds."""

    def __init__(self, told, pause_s=10):
        super().__init__(told)
        self.pause_s = pause_s


class Superseded(Exception):
    """What was to be said is not true or not needed any more; the message says why."""


def say(delivery):
    """Say what a delivery holds; returns what the system gave back (a dict) or None. Raises ForeignError, Superseded."""
    return ACTIONS[delivery.action](delivery)


def system(delivery, role):
    """Return the driver a delivery goes to. Raises ForeignError, NotFound."""
    return foreign.driver_named(delivery.integration, role)


def changelog(delivery):
    """Find out what the deploy brings, and write down what could not be said before."""
    made = changelogs.make(delivery.deploy)
    return {"commits": len(made["commits"] or ()), "issues": len(made["issues"])}


def required_states(delivery):
    """Look whether the issues of a deploy are in the states that its environment requires, until they are."""
    deploy = Deploy.get_by_id(delivery.deploy_id)
    states_wanted = outbox.required_states(deploy)
    if states_wanted is None or deploy.state not in states.DEPLOY_WAITING | {"queued"}:
        raise Superseded("The deploy does not wait for its issues any more.")
    if deploy.changelog is None:
        raise NotYet("The deploy's changelog is not known yet.", pause_s=2)
    tracker = system(delivery, "tracker")
    issues = [tracker.issue(issue["key"]) for issue in deploy.changelog["issues"]]
    wanted = {state.lower() for state in states_wanted}
    lacking = [f"{issue.key} is {issue.state}" for issue in issues if issue.state.lower() not in wanted]
    told = f"{', '.join(lacking)}; {deploy.environment.name} requires {' or '.join(states_wanted)}" if lacking else None
    Deploy.update(issues_check={"ok": not lacking, "told": told}).where(Deploy.id == deploy.id).execute()
    if lacking:
        raise NotYet(f"{told}.", pause_s=LOOK_AT_ISSUES_S)
    return {"issues": len(issues)}


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
    told = outbox.TOLD[content["state"]]
    subject = f"{content['application']} {content['release']} in {content['environment']} {told}"
    return receiver.send(
        Message(
            key=f"windlass-{delivery.id}", event=content["event"], subject=subject, text=content["reason"], data=content
        )
    )


def publish(delivery):
    """Put a release's bundle where releases are kept, and write down where it is."""
    release = delivery.release
    kept.ensure(release, lambda text: None)
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


def transition(delivery):
    """Move an issue to the state that the application's tracker settings name."""
    return system(delivery, "tracker").transition(delivery.subject, delivery.payload["to"])


def comment(delivery):
    """Comment on an issue, once."""
    return system(delivery, "tracker").comment(delivery.subject, delivery.payload["text"], delivery.payload["marker"])


def remote_link(delivery):
    """Link an issue to the deploy's page; a later deploy to the same environment changes that link."""
    content = delivery.payload
    return system(delivery, "tracker").link(delivery.subject, content["global_id"], content["url"], content["title"])


def release_version(delivery):
    """Make a version and mark it as released."""
    return system(delivery, "tracker").release_version(
        delivery.payload["project"], delivery.subject, delivery.payload["text"]
    )


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
