"""Open the database that the settings name, and bring its schema up to date.

One `database` proxy serves all models. SQLite runs in WAL mode with writers that begin IMMEDIATE, because its busy
time-out does not cover a read transaction that turns into a write. PostgreSQL goes through psycopg 3 and a pool, which
waits cooperatively under gevent.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from peewee import DatabaseProxy, Model, OperationalError, Select, fn
from playhouse.migrations import Runner
from playhouse.pool import PooledSqliteDatabase
from playhouse.postgres_ext import PooledPsycopg3Database

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x77696E64  # "wind": the advisory lock that lets one process at a time migrate.
LOCK_PAUSE_S = 0.005
SQLITE_PRAGMAS = {
    "busy_timeout": 20,
    "journal_mode": "wal",
    "synchronous": "normal",
    "foreign_keys": 1,
    "cache_size": -16000,
}

database = DatabaseProxy()


class BaseModel(Model):
    """What all models share: the database."""

    class Meta:
        database = database
        legacy_table_names = False


class PatientSqliteDatabase(PooledSqliteDatabase):
    """SQLite that waits for another process's write in short sleeps of its own.

    While SQLite itself waits for a lock, the whole process stands still under gevent; during these sleeps other requests
    go on. Only connecting and what begins a write can meet a lock: a transaction (IMMEDIATE), or a statement outside of one.
    """

    def __init__(self, *args, patience_s, **options):
        super().__init__(*args, **options)
        self.patience_s = patience_s

    def connect(self, reuse_if_open=False):
        """Connect; where a process starts or ends with this file, SQLite locks it even against readers for a moment."""
        return self.patiently(super().connect, reuse_if_open)

    def begin(self, lock_type=None):
        """Begin a transaction as soon as no other process writes."""
        self.patiently(super().begin, lock_type)

    def execute_sql(self, sql, params=None):
        """Run one statement, after waiting for its lock where it needs one."""
        run = super().execute_sql
        return run(sql, params) if self.in_transaction() else self.patiently(run, sql, params)

    def rollback(self):
        """Undo a transaction, unless SQLite has done so itself, as it does when the disk is full."""
        if self.connection().in_transaction:
            super().rollback()

    def close_all(self):
        """Close what nobody uses. What other threads use goes back to the pool when they are through with it.

        SQLite crashes the whole process when a connection is closed while another thread runs a statement on it.
        """
        self.close()
        self.close_idle()

    def patiently(self, work, *arguments):
        """Return work(*arguments), tried again while the database is locked, until the patience is over."""
        give_up_at = time.monotonic() + self.patience_s
        while True:
            try:
                return work(*arguments)
            except OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= give_up_at:
                    raise
            time.sleep(LOCK_PAUSE_S)


class DatabaseUrlError(ValueError):
    """`database.url` cannot be used; the message says what it should look like."""


def connect_to(url, pool=20, busy_timeout_s=5):
    """Point all models at the database of a URL (postgresql://… or sqlite:///path); nothing is opened yet.

    `pool` is the most connections this process keeps; `busy_timeout_s` is how long a SQLite writer waits for another.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = url.removeprefix("sqlite:///")
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = PatientSqliteDatabase(
            path,
            pragmas=SQLITE_PRAGMAS,
            max_connections=pool,
            timeout=20,
            lock_type="IMMEDIATE",
            check_same_thread=False,
            patience_s=busy_timeout_s,
        )
    elif parts.scheme in ("postgresql", "postgres"):
        made = PooledPsycopg3Database(
            unquote(parts.path.lstrip("/")),
            user=unquote(parts.username or "") or None,
            password=unquote(parts.password or "") or None,
            host=host_of(parts),
            port=parts.port,
            max_connections=pool,
            stale_timeout=300,
            timeout=20,
        )
    else:
        raise DatabaseUrlError("database.url must start with postgresql:// or sqlite:///.")
    database.initialize(made)
    return made


def host_of(parts):
    """Return the server's address: the URL's host, or a socket folder given as ?host=/path as libpq does."""
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if name == "host":
            return unquote(value)
    return parts.hostname


def is_postgresql():
    """Say whether the models run on PostgreSQL."""
    return isinstance(database.obj, PooledPsycopg3Database)


def now():
    """Return an expression for the database's own clock, in milliseconds since 1970-01-01 UTC.

    Leases and due times are judged by this one clock, so that a worker whose own clock is wrong harms nobody.
    """
    if is_postgresql():
        return fn.FLOOR(fn.DATE_PART("epoch", fn.CLOCK_TIMESTAMP()) * 1000).cast("bigint")
    return ((fn.JULIANDAY("now") - 2440587.5) * 86400000.0).cast("integer")


def clock():
    """Return the database's time, in milliseconds since 1970-01-01 UTC."""
    return database.execute(Select(columns=[now()])).fetchone()[0]


@contextlib.contextmanager
def connection():
    """Hold a pooled connection for the length of a task or request, and give it back whatever happens."""
    opened = database.connect(reuse_if_open=True)
    try:
        yield database
    finally:
        if opened:
            release()


def release():
    """Give this thread's connection back to the pool, undoing a transaction that an exception left open."""
    if database.obj is not None and not database.is_closed():
        database.close()


def forget_connections():
    """Drop connections inherited through fork(); two processes on one socket would garble each other."""
    if database.obj is not None:
        database.obj.dispose()


@contextlib.contextmanager
def migration_lock():
    """Let one process at a time migrate: an advisory lock in PostgreSQL, a lock file beside a SQLite file."""
    if is_postgresql():
        database.execute(Select(columns=[fn.PG_ADVISORY_LOCK(MIGRATION_LOCK)]))
        try:
            yield
        finally:
            database.execute(Select(columns=[fn.PG_ADVISORY_UNLOCK(MIGRATION_LOCK)]))
        return
    descriptor = os.open(f"{database.obj.database}.migrate", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def migrate():
    """Bring the schema up to date; returns the names of the migrations applied now. Raises SchemaMisfit."""
    from models import schema  # It knows all models, and they know this module.

    with connection(), migration_lock():
        runner = Runner(database.obj, str(MIGRATIONS))
        schema.refuse_unknown_migrations(runner)
        applied = runner.up()
        schema.refuse_misfit(database.obj)
        return applied
