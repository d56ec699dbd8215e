"""Column types that both databases share."""

import json

from peewee import BigIntegerField, TextField


class JSONField(TextField):
    """A JSON value kept as text: the same column in SQLite and PostgreSQL; it is never searched into."""

    def db_value(self, value):
        return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def python_value(self, value):
        return None if value is None else json.loads(value)


class TimeField(BigIntegerField):
    """A point in time in milliseconds since 1970-01-01 UTC, so that the database's clock can be compared with it."""
