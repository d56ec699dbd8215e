"""The database under contention: writers wait for each other without stopping the process, connections go back."""

import sqlite3
import threading

import pytest
from peewee import OperationalError

from models import User, db
from models.db import clock

pytestmark = pytest.mark.both_databases


@pytest.fixture
def sqlite(settings, migrated_sqlite):
    """The models on SQLite, and a second connection of another process's kind."""
    path = f"{settings.data}/windlass.db"
    with open(path, "wb") as file:
        file.write(migrated_sqlite.read_bytes())
    opened = db.connect_to(f"sqlite:///{path}", busy_timeout_s=20)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    yield opened, other
    other.close()
    db.release()
    opened.close_all()


def in_transaction():
    with db.database.atomic():
        User.create(name="b", created_at=0)


@pytest.mark.parametrize("write", [lambda: User.create(name="b", created_at=0), in_transaction], ids=["statement", "transaction"])
def test_a_writer_waits_for_another_process_in_sleeps_that_let_others_go_on(sqlite, monkeypatch, write):
    _, other = sqlite
    other.execute("BEGIN IMMEDIATE")
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        assert User.select().count() == 0  # Readers are not held up.
        other.execute("COMMIT") if len(pauses) == 3 else None

    with db.connection():
        monkeypatch.setattr(db.time, "sleep", pause)
        write()
    assert len(pauses) == 3 and User.select().count() == 1


def test_connecting_waits_for_another_process_too(tmp_path, monkeypatch):
    """The first of several processes that start together makes the file a WAL one, and nobody may even read meanwhile."""
    opened = db.connect_to(f"sqlite:///{tmp_path}/windlass.db")
    other = sqlite3.connect(tmp_path / "windlass.db", isolation_level=None)
    other.execute("CREATE TABLE first (id)")
    other.execute("BEGIN EXCLUSIVE")
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        other.execute("COMMIT") if len(pauses) == 3 else None

    monkeypatch.setattr(db.time, "sleep", pause)
    with db.connection():
        assert db.clock() > 0
    assert len(pauses) == 3
    other.close()
    opened.close_all()


def test_patience_ends(sqlite, monkeypatch):
    opened, other = sqlite
    opened.patience_s = 0.05
    other.execute("BEGIN IMMEDIATE")
    with db.connection(), pytest.raises(OperationalError, match="locked"):
        User.create(name="b", created_at=0)
    other.execute("ROLLBACK")
    with db.connection():
        User.create(name="b", created_at=0)
    assert not opened._in_use


def test_concurrent_writers_all_succeed(database):
    def write(number):
        with db.connection():
            for round_number in range(5):
                with database.atomic():
                    User.create(name=f"{number}-{round_number}", created_at=User.select().count())

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert User.select().count() == 20


def test_a_transaction_left_open_is_undone_when_the_connection_goes_back(database):
    with pytest.raises(RuntimeError), db.connection():
        db.database.begin()
        User.create(name="half", created_at=0)
        raise RuntimeError
    assert not database._in_use
    with db.connection():
        assert User.select().count() == 0


def test_the_databases_clock_runs_in_milliseconds(database):
    before = clock()
    assert 1_700_000_000_000 < before <= clock()


def test_an_address_of_no_known_kind_is_refused():
    with pytest.raises(db.DatabaseUrlError, match="postgresql://"):
        db.connect_to("mysql://localhost/windlass")


def test_closing_all_leaves_alone_what_another_thread_uses(sqlite):
    """Closing it under the other thread's statement would crash the process."""
    opened, _ = sqlite
    connected, closed, seen = threading.Event(), threading.Event(), []

    def use():
        with db.connection():
            User.select().count()
            connected.set()
            closed.wait(60)
            seen.append(User.select().count())

    thread = threading.Thread(target=use)
    thread.start()
    connected.wait(60)
    opened.close_all()
    closed.set()
    thread.join(60)
    assert seen == [0] and not opened._in_use
