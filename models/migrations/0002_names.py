"""Tables and columns carry the field's names, and every leased row has the same columns."""

from peewee import BigIntegerField

TABLES = (("closure", "maintenance_host"), ("errand", "worker_request"))
COLUMNS = (
    ("host_run", "rung_at", "enqueued_at"),
    ("maintenance_host", "rung_at", "enqueued_at"),
    ("command_run", "rung_at", "enqueued_at"),
    ("command_run", "told_bytes", "recorded_bytes"),
    ("preparation", "rung_at", "enqueued_at"),
    ("plan_host", "rung_at", "enqueued_at"),
    ("host", "look_rung_at", "look_enqueued_at"),
    ("worker_request", "request", "payload"),
    ("release", "attempts", "attempt"),
    ("hook", "attempts", "attempt"),
    ("automation", "attempts", "attempt"),
    ("delivery", "attempts", "attempt"),
)
ADDED = (
    ("hook", "due_at"),
    ("hook", "enqueued_at"),
    ("automation", "enqueued_at"),
    ("delivery", "enqueued_at"),
    ("release", "enqueued_at"),
)


def up(migrator, db):
    migrator.migrate(*(migrator.rename_table(old, new) for old, new in TABLES))
    migrator.migrate(*(migrator.rename_column(table, old, new) for table, old, new in COLUMNS))
    migrator.migrate(*(migrator.add_column(table, name, BigIntegerField(null=True)) for table, name in ADDED))


def down(migrator, db):
    migrator.migrate(*(migrator.drop_column(table, name) for table, name in ADDED))
    migrator.migrate(*(migrator.rename_column(table, new, old) for table, old, new in COLUMNS))
    migrator.migrate(*(migrator.rename_table(new, old) for old, new in TABLES))
