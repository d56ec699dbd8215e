"""Indexes for what is read often in a database with many deploys and releases."""


def up(migrator, db):
    migrator.migrate(
        migrator.add_index("deploy", ("application_id", "id")),
        migrator.add_index("release", ("application_id", "state", "number")),
    )
    db.execute_sql(
        'CREATE INDEX "deploy_newest" ON "deploy" '
        '("application_id", "environment_id", COALESCE("started_at", "created_at"), "id")'
    )


def down(migrator, db):
    migrator.migrate(
        migrator.drop_index("deploy", "deploy_newest"),
        migrator.drop_index("release", "release_application_id_state_number"),
        migrator.drop_index("deploy", "deploy_application_id_id"),
    )
