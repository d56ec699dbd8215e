"""Windlass itself: its start as a web server, whether it is ready, figures about it."""

import contextlib
import fcntl
import logging
import os
import secrets

from peewee import fn

import config
import logs
from config import data_path, settings
from controllers import connections, paging
from controllers.access.sessions import digest
from controllers.catalog import environments, zones
from controllers.controller import Controller
from controllers.fleet import placements
from controllers.jobs import queue
from models import Deploy, Token, User, Worker, Zone, db
from utils.datekit import rfc3339

ADMINISTRATOR = "admin"
FIRST = "first administrator (admin.token)"  # The name of their token.
HEARTBEAT_S = 5
FRESH_MS = 3 * HEARTBEAT_S * 1000
BROKER_TIMEOUT_S = 2
BUSY_TIMEOUT_S = 3

log = logging.getLogger(__name__)


def start():
    """Make this process a web server: configuration, logging, database, first administrator."""
    config.load()
    logs.setup("web")
    connections.start(settings.database.pool, BUSY_TIMEOUT_S)
    with db.connection(), one_process_at_a_time():
        ensure_administrator(first_token())
        zones.ensure_default()
        environments.ensure_first()


@contextlib.contextmanager
def one_process_at_a_time():
    """Let the web processes of this machine start one after the other where they share files."""
    with open(data_path("start.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def first_token():
    """Return the first administrator's token: the setting's, else that in <data>/admin.token, else a new one.

    It is in that file then. Raises ConfigError for a token that no HTTP header can carry.
    """
    path = data_path("admin.token")
    stored = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    token = settings.admin.token or stored or "wl_" + secrets.token_urlsafe(32)
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise config.ConfigError("'admin.token' must be printable ASCII without spaces: it is sent in an HTTP header.")
    if token != stored:
        write_private(path, token + "\n")
    return token


def write_private(path, text):
    """Write a file that only this user may read, whole or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def ensure_administrator(token):
    """Make the first administrator, or let this token replace the one they had before."""
    with db.database.atomic():
        at = db.clock()
        User.insert(name=ADMINISTRATOR, is_administrator=True, created_at=at).on_conflict_ignore().execute()
        user = User.get(User.name == ADMINISTRATOR)
        Token.delete().where((Token.user == user) & (Token.name == FIRST) & (Token.secret_hash != digest(token))).execute()
        if not Token.update(user=user, expires_at=None).where(Token.secret_hash == digest(token)).execute():
            Token.create(user=user, name=FIRST, secret_hash=digest(token), created_at=at)


class NotReady(Exception):
    """A component cannot do its part; the message says what to do."""


def readiness():
    """Return {"ready", "components"}: would a deploy be carried out now? Each component says in a sentence what it lacks."""
    components = {"database": look(database_state)}
    if components["database"]["ready"]:
        components["workers"] = look(workers_state)
        components["zone_keys"] = look(zone_keys_state)
    components["broker"] = look(broker_state)
    return {"ready": all(component["ready"] for component in components.values()), "components": components}


def look(state):
    """Return {"ready", "detail"} of one component; `state` returns what is well, or raises with what is not."""
    try:
        return {"ready": True, "detail": state()}
    except NotReady as error:
        return {"ready": False, "detail": str(error)}


def database_state():
    """Ask the database for the time."""
    try:
        db.clock()
    except Exception as error:
        raise NotReady("The database does not answer: see the setting database.url.") from error
    return "answers"


def workers_state():
    """Look for workers that gave a sign of life lately."""
    number = len(fresh_workers())
    if not number:
        raise NotReady("No worker gave a sign of life within the last 15 seconds: start one (celery -A tasks worker).")
    return f"{number} alive"


def fresh_workers():
    """Return the rows of the workers that gave a sign of life lately."""
    return list(Worker.select().where(Worker.seen_at >= db.now() - FRESH_MS))


def describe_worker(worker, alive_since):
    """Return a worker in the API's shape."""
    return {
        "name": worker.name,
        "zones": worker.zones,
        "version": worker.version,
        "seen_at": rfc3339(worker.seen_at),
        "alive": worker.seen_at >= alive_since,
    }


def zone_keys_state():
    """Look for zones whose workers have not published their public key yet."""
    served = {zone for worker in fresh_workers() for zone in worker.zones}
    zones = [zone for zone in Zone.select().order_by(Zone.name) if "*" in served or zone.name in served]
    lacking = [zone.name for zone in zones if not zone.public_key]
    if lacking:
        raise NotReady(f"No worker has told the SSH key of: {', '.join(lacking)}.")
    return f"{len(zones)} zones served"


def broker_state():
    """Reach the broker, as a task on its way would."""
    try:
        with queue.celery().connection(connect_timeout=BROKER_TIMEOUT_S) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_TIMEOUT_S)
    except Exception as error:
        raise NotReady("The broker does not answer: see the setting broker.url.") from error
    return "answers"


def figures():
    """Return {"deploys": {state: number}, "workers": number, "drifted": {(application, environment): hosts}} for monitoring."""
    states = Deploy.select(Deploy.state, fn.COUNT(Deploy.id)).group_by(Deploy.state).tuples()
    return {"deploys": dict(states), "workers": len(fresh_workers()), "drifted": placements.drifted()}


class WorkerController(Controller):
    """The workers, as last seen."""

    def listing(self, limit=paging.LIMIT, after=None):
        """Return a page of the workers by name."""
        alive_since = db.clock() - FRESH_MS
        query = self.visible(Worker)
        return paging.page(query, Worker.name, lambda worker: describe_worker(worker, alive_since), limit, after)
