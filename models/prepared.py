"""Queries that every request makes: Peewee writes their SQL once, since writing it takes ten times as long as running it."""

from models.db import database

VALUE = "\0value\0"


class Prepared:
    """A query with one value that changes: `build(value)` returns it, `first(value)` runs it.

    The SQL is written anew when the models are pointed at another database.
    """

    def __init__(self, build):
        self.build = build
        self.written_for = None
        self.sql = None
        self.parameters = ()

    def first(self, value):
        """Return the first row as a tuple, as the database gave it, or None."""
        if self.written_for is not database.obj:
            self.sql, self.parameters = self.build(VALUE).sql()
            self.written_for = database.obj
        parameters = [value if parameter == VALUE else parameter for parameter in self.parameters]
        return database.execute_sql(self.sql, parameters).fetchone()
