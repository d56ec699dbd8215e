"""Tables and columns carry the field's names, every leased row has the same columns, and looks at hosts have their own rows."""

import json

from peewee import BigIntegerField, ForeignKeyField, IntegerField, Model, TextField

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
WATCH = ("looked_at", "tried_at", "watched")


def models_of(db):
    """Return the models of this migration's two tables, as they are between both schemas."""

    class HostRun(Model):
        looked_at = BigIntegerField(null=True)
        tried_at = BigIntegerField(null=True)
        watched = TextField(null=True)

        class Meta:
            database = db
            table_name = "host_run"

    class HostWatch(Model):
        host_run = ForeignKeyField(HostRun, unique=True, on_delete="CASCADE")
        looked_at = BigIntegerField(null=True)
        tried_at = BigIntegerField()
        missed = IntegerField(default=0)
        pids = TextField(null=True)

        class Meta:
            database = db
            table_name = "host_watch"

    return HostRun, HostWatch


def up(migrator, db):
    migrator.migrate(*(migrator.rename_table(old, new) for old, new in TABLES))
    migrator.migrate(*(migrator.rename_column(table, old, new) for table, old, new in COLUMNS))
    migrator.migrate(*(migrator.add_column(table, name, BigIntegerField(null=True)) for table, name in ADDED))
    host_run, host_watch = models_of(db)
    db.create_tables([host_watch])
    for row in host_run.select().where(host_run.tried_at.is_null(False)):
        found = json.loads(row.watched or "{}")
        host_watch.create(
            host_run=row.id,
            looked_at=row.looked_at,
            tried_at=row.tried_at,
            missed=found.get("missed", 0),
            pids=found.get("pids") and json.dumps(found["pids"]),
        )
    migrator.migrate(*(migrator.drop_column("host_run", name) for name in WATCH))


def down(migrator, db):
    migrator.migrate(
        *(migrator.add_column("host_run", name, BigIntegerField(null=True)) for name in WATCH[:2]),
        migrator.add_column("host_run", WATCH[2], TextField(null=True)),
    )
    host_run, host_watch = models_of(db)
    for row in host_watch.select():
        watched = json.dumps({"missed": row.missed, "pids": row.pids and json.loads(row.pids)})
        found = {"looked_at": row.looked_at, "tried_at": row.tried_at, "watched": watched}
        host_run.update(found).where(host_run.id == row.host_run_id).execute()
    migrator.migrate(migrator.drop_table("host_watch"))
    migrator.migrate(*(migrator.drop_column(table, name) for table, name in ADDED))
    migrator.migrate(*(migrator.rename_column(table, new, old) for table, old, new in COLUMNS))
    migrator.migrate(*(migrator.rename_table(new, old) for old, new in TABLES))
