"""Credentials are looked up by digest, in one query, by the database's clock."""

import pytest
from peewee import OperationalError

from controllers.access import sessions
from controllers.errors import Unauthenticated
from models import Session, Token, User, db
from models.db import clock
from tests.conftest import ADMIN_TOKEN

pytestmark = pytest.mark.both_databases


@pytest.fixture
def queries(administrator, monkeypatch):
    """The SQL of every query made from here on."""
    made, run = [], db.database.obj.execute_sql
    monkeypatch.setattr(
        db.database.obj, "execute_sql", lambda sql, *rest, **options: made.append(sql) or run(sql, *rest, **options)
    )
    return made


def test_a_token_costs_one_query_once_its_use_is_noted(queries):
    sessions.by_token(ADMIN_TOKEN)
    queries.clear()
    assert sessions.by_token(ADMIN_TOKEN).name == "admin"
    assert len(queries) == 1 and ADMIN_TOKEN not in queries[0]


def test_the_use_of_a_token_is_noted_again_after_a_while(queries):
    sessions.by_token(ADMIN_TOKEN)
    old = clock() - sessions.USE_NOTED_EVERY_MS - 1000
    Token.update(last_used_at=old).execute()
    sessions.by_token(ADMIN_TOKEN)
    assert Token.get().last_used_at > old


def test_a_busy_database_does_not_keep_a_caller_out(administrator, monkeypatch):
    Token.update(last_used_at=None).execute()

    def locked(**_):
        raise OperationalError("database is locked")

    monkeypatch.setattr(sessions.Token, "update", locked)
    assert sessions.by_token(ADMIN_TOKEN).is_administrator


def test_the_clock_of_this_machine_does_not_count(administrator, monkeypatch):
    Token.update(expires_at=clock() + 60_000).execute()
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)
    assert sessions.by_token(ADMIN_TOKEN).name == "admin"


@pytest.mark.parametrize(
    "token", ["", " ", "x", ADMIN_TOKEN + " ", ADMIN_TOKEN.upper(), sessions.digest(ADMIN_TOKEN), "%", "\u2713"]
)
def test_nothing_but_the_token_itself_will_do(administrator, token):
    with pytest.raises(Unauthenticated):
        sessions.by_token(token)


def test_passwords_are_kept_as_argon2id_with_a_salt(database):
    first, second = sessions.hash_password("same"), sessions.hash_password("same")
    assert first.startswith("$argon2id$") and first != second and "same" not in first


def test_a_password_hash_that_cannot_be_read_lets_nobody_in(database):
    User.create(name="ada", password_hash="plain text", created_at=clock())
    with pytest.raises(Unauthenticated):
        sessions.by_password("ada", "plain text")


def test_sessions_that_ended_are_swept_out_at_the_next_login(administrator):
    sessions.begin(administrator)
    Session.update(expires_at=clock() - 1).execute()
    sessions.begin(administrator)
    assert Session.select().count() == 1


def test_a_session_lasts_as_long_as_the_setting_says(administrator, settings):
    settings.web.session_hours = 2
    sessions.begin(administrator)
    assert 7_190_000 < Session.get().expires_at - clock() <= 7_200_000


def test_a_prepared_query_follows_the_models_to_another_database(administrator, tmp_path):
    assert sessions.by_token(ADMIN_TOKEN)
    before = db.database.obj
    other = db.connect_to(f"sqlite:///{tmp_path}/other.db")
    try:
        db.migrate()
        with pytest.raises(Unauthenticated):
            sessions.by_token(ADMIN_TOKEN)
    finally:
        other.close_all()
        db.database.initialize(before)
    assert sessions.by_token(ADMIN_TOKEN)
