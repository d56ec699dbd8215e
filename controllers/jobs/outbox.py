"""The outbox: messages to foreign systems about deploys and releases, written in the transaction that changes them, sent later.

Nothing here asks a foreign system; notifications/actions.py does. Each row's key names its content and receiver, so that
writing it twice changes nothing.
"""

import fnmatch
import hashlib

from config import settings
from controllers import foreign
from controllers.jobs import states
from models import Delivery, Deploy, Integration
from models.db import database, now
from utils.datekit import rfc3339

CHANGELOG, STATUS, MESSAGE, PUBLISH, PROMOTE = "changelog", "commit-status", "message", "publish", "promote"
REQUIRE = "require-states"
TRANSITION, COMMENT, LINK, VERSION = "transition", "comment", "remote-link", "release-version"
COMMIT_STATES = {
    "running": "pending",
    "succeeded": "success",
    "failed": "failure",
    "rolled_back": "failure",
    "cancelled": "failure",
}
DESCRIPTIONS = {
    "pending_approval": "waits for approval",
    "running": "has begun",
    "paused": "is paused",
    "rolling_back": "is going back",
    "succeeded": "has succeeded",
    "failed": "has failed",
    "rolled_back": "was rolled back",
    "cancelled": "was cancelled",
}


def on_created(deploy):
    """Write what follows from a new deploy; call it in the transaction that makes it."""
    write(deploy, [item(deploy, CHANGELOG, deploy.release.source.get("integration"))])
    if required_states(deploy):
        ask_for_states(deploy)
    on_state(deploy, deploy.state)


def required_states(deploy):
    """Return the states that a deploy's issues must be in before it begins, None where that is not asked, or overridden."""
    if deploy.rollback_of_id is not None or deploy.override is not None:
        return None
    return ((deploy.application.tracker or {}).get("require") or {}).get(deploy.environment.name)


def ask_for_states(deploy):
    """Have a worker look now whether a deploy's issues are in the states they must be in, however the look before ended."""
    question = item(deploy, REQUIRE, deploy.application.tracker["integration"])
    insert([question])
    again = {"attempt": 0, "due_at": None, "enqueued_at": None, "ended_at": None}
    Delivery.update(**again).where(Delivery.key == question["key"], Delivery.state == "waiting").execute()
    states.move_all(Delivery, "waiting", Delivery.key == question["key"], **again)


def on_state(deploy, state, reason=None):
    """Write the deliveries about a deploy's new state; call it in the transaction that changes it."""
    configured = {row.name: row for row in Integration.select(Integration.name, Integration.driver, Integration.settings)}
    found = [*commit_status(deploy, state, configured), *messages(deploy, state, reason, configured)]
    if state == "succeeded":
        # The changelog may have been made since the deploy was read.
        found += [*promotion(deploy, configured), *tracker_items(Deploy.get_by_id(deploy.id))]
    write(deploy, found)


def on_changelog(deploy):
    """Write the deliveries that need the changelog, once it is known."""
    if deploy.state == "succeeded":
        write(deploy, tracker_items(deploy))


def on_release(release):
    """Write that a release is to be published; call it in the transaction that makes it ready."""
    artifacts = release.partners.get("artifacts")
    if artifacts:
        path = f"{artifacts['path'].rstrip('/')}/{release.application.name}-{release.version}.tar.gz"
        insert([columns(("release", release.id), PUBLISH, artifacts["integration"], path, release=release.id)])


def write(deploy, items):
    """Insert a deploy's deliveries that are not there yet; a newer status of a commit overtakes those not sent yet."""
    with database.atomic():
        for integration in sorted({found["integration"] for found in items if found["action"] == STATUS}):
            supersede(deploy, STATUS, integration)
        insert(items)


def insert(items):
    """Insert deliveries, without those that were written before."""
    if items:
        Delivery.insert_many(items).on_conflict_ignore().execute()


def supersede(deploy, action, integration):
    """Mark what waits to be sent and is no longer true; what is being sent right now looks at the deploy itself."""
    states.move_all(
        Delivery,
        "superseded",
        Delivery.deploy == deploy,
        Delivery.action == action,
        Delivery.integration == integration,
        Delivery.lease_expires_at.is_null(),
        ended_at=now(),
        error="A newer state was there before this one was sent.",
    )


def item(deploy, action, integration, subject=None, payload=None, about=""):
    """Return the columns of a deploy's delivery; `about` distinguishes what is sent more than once, such as its states."""
    return columns((deploy.id, deploy.retries, about), action, integration, subject, payload, deploy=deploy.id)


def columns(about, action, integration, subject=None, payload=None, deploy=None, release=None):
    """Return the columns of a delivery; whatever has the same `about`, action, integration and subject is the same one."""
    words = (about, action, integration, subject)
    return {
        "key": hashlib.sha256(repr(words).encode()).hexdigest(),
        "deploy": deploy,
        "release": release,
        "integration": integration,
        "action": action,
        "subject": subject,
        "payload": payload or {},
        "state": "waiting",
        "created_at": now(),
    }


def driver_of(configured, name, role):
    """Return the driver class of a configured integration if it has the role, else None."""
    row = configured.get(name)
    driver = foreign.drivers().get(row.driver) if row else None
    return driver if driver is not None and driver.role == role else None


# What is sent, and to whom.


def commit_status(deploy, state, configured):
    """Return the status of the commit in the system the source comes from, where that keeps statuses."""
    source, commit = deploy.release.source, deploy.release.commit
    driver = driver_of(configured, source.get("integration"), "source")
    if state not in COMMIT_STATES or commit is None or driver is None or not driver.has_statuses:
        return []
    environment = deploy.environment.name
    status = {
        "repository": source["repository"],
        "key": f"windlass/{deploy.application.name}/{environment}",
        "state": COMMIT_STATES[state],
        "url": address(deploy),
        "name": f"{deploy.application.name} in {environment}",
        "description": f"{deploy.release.version}: deploy {deploy.id} {DESCRIPTIONS[state]}",
    }
    return [item(deploy, STATUS, source["integration"], commit, status, about=state)]


def messages(deploy, state, reason, configured):
    """Return a message for each integration that is subscribed to this."""
    if state not in DESCRIPTIONS:
        return []
    message = {
        "event": f"deploy.{state}",
        "deploy": deploy.id,
        "application": deploy.application.name,
        "environment": deploy.environment.name,
        "release": deploy.release.version,
        "commit": deploy.release.commit,
        "state": state,
        "reason": reason,
        "requested_by": deploy.requested_by,
        "url": address(deploy),
    }
    return [
        item(deploy, MESSAGE, row.name, None, message, about=f"{state}:{deploy.resumed_wave}")
        for row in configured.values()
        if driver_of(configured, row.name, "notify") and is_subscribed(row.settings or {}, message)
    ]


def is_subscribed(chosen, message):
    """Say whether an integration's settings choose a message: switched on, patterns of events, applications, environments."""
    return chosen.get("enabled", True) and all(
        not chosen.get(several) or any(fnmatch.fnmatchcase(message[one], pattern) for pattern in chosen[several])
        for several, one in (("events", "event"), ("applications", "application"), ("environments", "environment"))
    )


def promotion(deploy, configured):
    """Return the marking of the release's bundle in the system that keeps it, where there is one."""
    artifacts = deploy.release.partners.get("artifacts") or {}
    if driver_of(configured, artifacts.get("integration"), "artifacts") is None:
        return []
    environment = deploy.environment.name
    properties = {
        f"windlass.{environment}.deploy": str(deploy.id),
        f"windlass.{environment}.at": rfc3339(deploy.ended_at),
        f"windlass.{environment}.by": deploy.requested_by,
    }
    return [item(deploy, PROMOTE, artifacts["integration"], deploy.release.version, {"properties": properties})]


def tracker_items(deploy):
    """Return the deliveries of a succeeded deploy to the tracker: for each issue that its commits name, and the version.

    Going back moves no issue, for people decide what becomes of it, and releases no version. Nothing before the changelog
    is known.
    """
    tracker = deploy.application.tracker
    if not tracker or deploy.changelog is None:
        return []
    application, environment, release = deploy.application.name, deploy.environment.name, deploy.release.version
    issues = [issue["key"] for issue in deploy.changelog["issues"]]
    if deploy.changelog["is_going_back"]:
        text = f"Taken back from {environment} with the return of {application} to {release} (deploy {deploy.id})."
        return issue_deliveries(deploy, tracker, issues, text)
    text = f"{application} {release} runs in {environment} (deploy {deploy.id})."
    found = issue_deliveries(deploy, tracker, issues, text, (tracker.get("transitions") or {}).get(environment))
    version = (tracker.get("versions") or {}).get(environment)
    if version and tracker.get("project"):
        name = version.replace("{application}", application).replace("{release}", release)
        about = {"project": tracker["project"], "text": text}
        found.append(item(deploy, VERSION, tracker["integration"], name, about))
    return found


def issue_deliveries(deploy, tracker, issues, text, to=None):
    """Return the deliveries about issues (their keys): the state `to` that each is moved to, a comment, a link."""
    integration, url = tracker["integration"], address(deploy)
    comment = {"text": f"{text} {url}", "marker": f"windlass-deploy-{deploy.id}"}
    place = f"windlass-{deploy.application.name}-{deploy.environment.name}"
    found = []
    for key in issues:
        if to:
            found.append(item(deploy, TRANSITION, integration, key, {"to": to}))
        if tracker.get("comment", True):
            found.append(item(deploy, COMMENT, integration, key, comment))
        if tracker.get("link", True):
            found.append(item(deploy, LINK, integration, key, {"global_id": place, "url": url, "title": text}))
    return found


def address(deploy):
    """Return the address of a deploy's page."""
    return f"{settings.web.url.rstrip('/')}/deploys/{deploy.id}"
