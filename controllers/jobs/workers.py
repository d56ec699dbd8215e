"""This worker process: its start, its zones and their keys, its sign of life, its orderly end."""

import logging
import os
import socket
import threading

from config import settings
from controllers import connections, zonekeys
from controllers.jobs import leases
from models import Worker, Zone, db
from version import VERSION

NAME = f"{socket.gethostname()}:{os.getpid()}"
BUSY_TIMEOUT_S = (
    60  # Nobody waits for a worker's answer, and a rollout must not fail because many hosts report at once.
)
FORGET_AFTER_MS = 24 * 3600 * 1000

log = logging.getLogger(__name__)
leaving = threading.Event()


def start():
    """Open the database and bring its schema up to date; called once, before the first task."""
    pool = settings.database.pool + settings.worker.concurrency * 2
    connections.start(pool, BUSY_TIMEOUT_S)


def take_connection():
    """Give the running task a pooled database connection."""
    db.database.connect(reuse_if_open=True)


def give_connection_back():
    """Take the connection from a task that ended, undoing what an exception left open."""
    db.release()


def forget_connections():
    """Drop what a fork inherited."""
    db.forget_connections()


def served_zones():
    """Return the names of the zones whose hosts this worker reaches."""
    if settings.worker.zones != ["*"]:
        return list(settings.worker.zones)
    with db.connection():
        return [zone.name for zone in Zone.select(Zone.name)]


def heartbeats(every_s):
    """Write a heartbeat every `every_s` seconds and see to its zones' keys, until it leaves."""
    while not leaving.is_set():
        try:
            with db.connection():
                write_heartbeat()
        except Exception as error:  # The database may be away for a minute; the next beat tells.
            log.warning("no sign of life could be given: %s", error)
        leaving.wait(every_s)


def write_heartbeat():
    """Write this worker's row and make the keys that its zones still lack."""
    for zone in Zone.select().where(Zone.name.in_(served_zones()), Zone.public_key.is_null()):
        zonekeys.prepare(zone)
    row = {"name": NAME, "zones": settings.worker.zones, "version": VERSION, "seen_at": db.now()}
    Worker.insert(**row).on_conflict(
        conflict_target=[Worker.name], update={key: row[key] for key in ("zones", "version", "seen_at")}
    ).execute()
    Worker.delete().where(Worker.seen_at < db.now() - FORGET_AFTER_MS).execute()


def hand_over():
    """Ask everything this process has under way to stop at once where another worker can go on."""
    leaving.set()
    leases.beat_at_once()
