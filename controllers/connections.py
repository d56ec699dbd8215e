"""A request's hold on the database: taken from the pool at the first query, given back whatever happened.

What a database driver raises becomes an error of Windlass's own here, so that api/ needs to know no driver.
"""

from peewee import DataError, InterfaceError, OperationalError
from playhouse.pool import MaxConnectionsExceeded

from controllers.errors import Invalid, Unavailable
from models import db


def translated(error):
    """Return the error of Windlass's own for one of the database driver's, and any other error as it is."""
    if isinstance(error, MaxConnectionsExceeded):
        return Unavailable("All database connections are in use; try again in a moment.", code="busy", retry_after_s=1)
    if isinstance(error, OperationalError) and "locked" in str(error):
        return Unavailable("The database is busy; try again in a moment.", code="busy", retry_after_s=1)
    if isinstance(error, (OperationalError, InterfaceError)):
        return Unavailable(
            "The database does not answer; try again in a moment.", code="database-unavailable", retry_after_s=5
        )
    if isinstance(error, (DataError, OverflowError)):
        return Invalid([("", "a value is too long or too large to be kept")])
    return error


def give_back():
    """Give the connection back at the end of a request, and before each pause of a stream."""
    db.release()
