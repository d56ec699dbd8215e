"""Database connections: a process opens the database at its start; a request takes a connection and always gives it back.

What a database driver raises becomes an error of Windlass's own here, so that api/ needs to know no driver.
"""

import logging
import shutil

from peewee import DatabaseError, DataError, InterfaceError, OperationalError
from playhouse.pool import MaxConnectionsExceeded

from config import settings
from controllers.errors import Invalid, Unavailable
from models import db, schema

log = logging.getLogger(__name__)
CANNOT_START = 3  # The exit code by which gunicorn knows that starting the process again is of no use.
TOO_LITTLE_BYTES = 256 * 1024
FULL_DISK = ("disk is full", "No space left on device")  # As SQLite and PostgreSQL put it.


def start(pool, busy_timeout_s):
    """Open the database at the start of a process, and bring its schema up to date.

    Ends the process, saying what to do, when that cannot be done; nobody needs a traceback for it.
    """
    try:
        db.connect_to(settings.database.url, pool=pool, busy_timeout_s=busy_timeout_s)
        db.migrate()
    except (schema.SchemaMisfit, db.DatabaseUrlError) as error:
        log.critical("Windlass does not start: %s", error)
        raise SystemExit(CANNOT_START) from None
    except (OperationalError, InterfaceError) as error:
        detail = " ".join(str(error).split()).rstrip(".?")
        log.critical("Windlass does not start: the database (the setting database.url) does not answer: %s.", detail)
        raise SystemExit(CANNOT_START) from None


def translated(error):
    """Return the error of Windlass's own for one of the database driver's, and any other error as it is."""
    if isinstance(error, MaxConnectionsExceeded):
        return Unavailable("All database connections are in use; try again in a moment.", code="busy", retry_after_s=1)
    if isinstance(error, DatabaseError) and schema.is_misfit(error):
        log.error("the schema does not fit: %s", error)
        return Unavailable(
            "The database has the schema of another version of Windlass. Restart Windlass: it says then what does not fit, and "
            "what to do.",
            code="schema-misfit",
        )
    if isinstance(error, OperationalError) and "locked" in str(error):
        return Unavailable("The database is busy; try again in a moment.", code="busy", retry_after_s=1)
    if isinstance(error, OperationalError) and is_of_full_disk(error):
        return Unavailable(
            "The disk that holds the database is full, so nothing was changed; make room there and try again.",
            code="disk-full",
            retry_after_s=60,
        )
    if isinstance(error, (OperationalError, InterfaceError)):
        return Unavailable("The database does not answer; try again in a moment.", code="database-unavailable", retry_after_s=5)
    if isinstance(error, (DataError, OverflowError)):
        return Invalid([("", "a value is too long or too large to be kept")])
    return error


def is_of_full_disk(error):
    """Say whether a driver's error comes from a full disk: SQLite calls it anything when a file of its own cannot grow."""
    if any(words in str(error) for words in FULL_DISK):
        return True
    return not db.is_postgresql() and shutil.disk_usage(settings.data).free < TOO_LITTLE_BYTES


def give_back():
    """Give the connection back at the end of a request, and before each pause of a stream."""
    db.release()
