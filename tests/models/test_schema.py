"""A database that another version of Windlass made is refused by name, and left as it is."""

import sqlite3

import pytest
from peewee import PeeweeException
from playhouse.migrations import Runner

from controllers import connections
from models import Delivery, User, db, schema
from models.db import clock

pytestmark = pytest.mark.both_databases


@pytest.fixture
def changed(database):
    """Change the schema by SQL for the length of a test, in a transaction that is undone."""
    with database.atomic() as transaction:
        yield database.execute_sql
        transaction.rollback()


@pytest.mark.parametrize(
    "statements, expected",
    [
        (["ALTER TABLE command_run DROP COLUMN message"], "table command_run has no column message"),
        (["DROP TABLE maintenance_host"], "there is no table maintenance_host"),
        (
            ["CREATE TABLE other (id INTEGER)", "DROP TABLE audit_head", "ALTER TABLE audit_entry DROP COLUMN data"],
            "there is no table audit_head; table audit_entry has no column data.",
        ),
        (
            ["DROP TABLE audit_head", "CREATE TABLE audit_head (id INTEGER, extra INTEGER NOT NULL)"],
            "table audit_head demands a value for extra, which is not known here",
        ),
        (['DROP INDEX "user_name"'], "table user does not keep name unique"),
        (
            ["INSERT INTO schema_migration (name, applied) VALUES ('0099_later', CURRENT_TIMESTAMP)"],
            "its migration 0099_later is not known here",
        ),
    ],
)
def test_a_schema_that_does_not_fit_is_refused_and_named(changed, statements, expected):
    User.create(name="ada", created_at=clock())
    for statement in statements:
        changed(statement)
    with pytest.raises(schema.SchemaMisfit) as refused:
        db.migrate()
    assert expected in str(refused.value) and "--data" in str(refused.value)
    assert User.get().name == "ada"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX a_hand_made_one ON command_run (message)",
        "ALTER TABLE command_run ADD COLUMN note TEXT",
        "ALTER TABLE command_run ADD COLUMN note INTEGER NOT NULL DEFAULT 7",
        "CREATE TABLE somebody_elses (id INTEGER)",
    ],
)
def test_what_does_no_harm_is_left_alone(changed, statement):
    changed(statement)
    assert db.migrate() == []


@pytest.mark.parametrize(
    "statement",
    ['SELECT gone FROM "user"', "SELECT 1 FROM gone", "UPDATE gone SET x = 1", 'INSERT INTO "user" (gone) VALUES (1)'],
)
def test_a_query_that_meets_another_schema_says_so(database, statement):
    with db.connection():
        with pytest.raises(PeeweeException) as met:
            database.execute_sql(statement)
        error = connections.translated(met.value)
    assert (error.status, error.code) == (503, "schema-misfit")
    assert "another version" in error.detail and "does not answer" not in error.detail


def test_another_mistake_in_a_query_is_not_taken_for_it(database):
    with db.connection():
        with pytest.raises(PeeweeException) as met:
            database.execute_sql("SELECT FROM WHERE")
        assert not schema.is_misfit(met.value)


def test_a_process_does_not_start_on_another_schema_and_says_what_to_do(settings, migrated_sqlite, caplog):
    path = f"{settings.data}/windlass.db"
    with open(path, "wb") as file:
        file.write(migrated_sqlite.read_bytes())
    with sqlite3.connect(path) as made_by_another:
        made_by_another.execute("INSERT INTO \"user\" (name, is_administrator, created_at) VALUES ('ada', 0, 1)")
        made_by_another.execute("ALTER TABLE host DROP COLUMN facts")
    made_by_another.close()
    try:
        with pytest.raises(SystemExit) as ended:
            connections.start(pool=2, busy_timeout_s=60)
        assert ended.value.code == connections.CANNOT_START
        assert f"The database {path} was made by another version of Windlass: table host has no column facts." in caplog.text
        with db.connection():
            assert User.get().name == "ada"
    finally:
        db.release()
        db.database.obj.close_all()


@pytest.mark.parametrize(
    "url, expected",
    [
        ("mysql://localhost/windlass", "database.url must start with"),
        ("postgresql://ann:hush-hush@127.0.0.1:1/windlass", "(the setting database.url) does not answer"),
    ],
)
def test_a_process_does_not_start_without_a_database_and_says_so(settings, caplog, url, expected):
    before = db.database.obj
    settings.database.url = url
    try:
        with pytest.raises(SystemExit):
            connections.start(pool=2, busy_timeout_s=1)
        assert expected in caplog.text and "hush-hush" not in caplog.text
    finally:
        db.database.initialize(before)


def test_a_database_of_the_first_schema_is_brought_up_to_date_with_all_that_is_in_it(settings):
    """Columns are renamed, and no row is lost to that."""
    opened = db.connect_to(f"sqlite:///{settings.data}/windlass.db")
    runner = Runner(opened, str(db.MIGRATIONS))
    runner.up("0001_initial")
    with sqlite3.connect(f"{settings.data}/windlass.db") as first:
        first.execute(
            "INSERT INTO delivery (key, action, payload, state, attempts, created_at, epoch) "
            "VALUES ('k', 'say', '{}', 'waiting', 3, 1, 7)"
        )
    assert "0002_names" in db.migrate()
    (row,) = Delivery.select()
    assert (row.key, row.attempt, row.epoch, row.enqueued_at) == ("k", 3, 7, None)
    runner.down("0002_names")
    assert opened.execute_sql("SELECT attempts FROM delivery").fetchone() == (3,)
    opened.close_all()
