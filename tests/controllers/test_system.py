"""The start of a web process: its first administrator and their token."""

import stat
import threading
from pathlib import Path

import pytest

import config
from controllers import system
from controllers.access import sessions
from controllers.errors import Unauthenticated
from models import Token, User
from models.db import release
from tests.conftest import ADMIN_TOKEN

pytestmark = pytest.mark.both_databases


def start(settings):
    """What a start does for the first administrator; returns the token in the file."""
    with system.one_process_at_a_time():
        system.ensure_administrator(system.first_token())
    return (Path(settings.data) / "admin.token").read_text().strip()


def test_a_token_is_generated_once_and_only_its_owner_can_read_it(database, settings):
    settings.admin.token = ""
    token = start(settings)
    path = Path(settings.data) / "admin.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(token) >= 43
    assert start(settings) == token and Token.select().count() == 1
    assert sessions.by_token(token).is_administrator and token not in repr(list(Token.select().dicts()))


def test_the_setting_is_stronger_and_the_old_token_is_refused(database, settings):
    settings.admin.token = ""
    generated = start(settings)
    settings.admin.token = ADMIN_TOKEN
    assert start(settings) == ADMIN_TOKEN
    assert sessions.by_token(ADMIN_TOKEN).is_administrator and Token.select().count() == User.select().count() == 1
    with pytest.raises(Unauthenticated):
        sessions.by_token(generated)


def test_without_the_setting_the_file_stays_what_it_is(database, settings):
    assert start(settings) == ADMIN_TOKEN
    settings.admin.token = ""
    assert start(settings) == ADMIN_TOKEN


def test_the_users_other_tokens_stay(database, settings):
    start(settings)
    user = User.get()
    Token.create(user=user, name="ci", secret_hash=sessions.digest("another"), created_at=0)
    settings.admin.token = "a-new-one"
    start(settings)
    assert sessions.by_token("another").name == "admin" and sessions.by_token("a-new-one").name == "admin"


def test_a_renamed_or_ended_first_token_works_again_after_a_start(database, settings):
    start(settings)
    Token.update(name="mine", expires_at=1).execute()
    start(settings)
    assert sessions.by_token(ADMIN_TOKEN).is_administrator and Token.select().count() == 1


@pytest.mark.parametrize("token", ["with space", "line\nbreak", "t\u00f6ken"])
def test_a_token_that_no_header_can_carry_is_refused(database, settings, token):
    settings.admin.token = token
    with pytest.raises(config.ConfigError, match=r"'admin\.token'"):
        start(settings)
    assert not (Path(settings.data) / "admin.token").exists() and User.select().count() == 0


def test_processes_that_start_together_agree_on_one_token(database, settings):
    settings.admin.token = ""
    barrier, tokens = threading.Barrier(4), []

    def begin():
        barrier.wait(20)
        tokens.append(start(settings))
        release()

    starters = [threading.Thread(target=begin) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(20)
    assert len(tokens) == 4 and len(set(tokens)) == 1 and Token.select().count() == 1
    assert sorted(path.name for path in Path(settings.data).glob("admin.token*")) == ["admin.token"]
