"""Secrets stay secret: sealed at rest, hidden in every text, under a key that only this user can read."""

import json
import logging
import stat
import threading
from pathlib import Path

import pytest

import secretbox
from secretbox import Secret, SecretBoxError, derived_key, open_sealed, seal


def test_what_is_sealed_can_be_opened_and_not_read(settings):
    sealed = seal("pass wörd")
    assert "pass" not in sealed and seal("pass wörd") != sealed
    assert open_sealed(sealed) == "pass wörd"


def test_the_key_is_made_once_for_this_user_alone(settings):
    seal("x")
    path = Path(settings.secret.key_file)
    key = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secretbox.box_of.cache_clear()
    seal("y")
    assert path.read_bytes() == key and [file.name for file in path.parent.iterdir()] == ["secret.key"]


def test_two_that_start_at_once_agree_on_one_key(settings):
    barrier, sealed = threading.Barrier(8), []

    def start():
        barrier.wait(20)
        secretbox.read_or_make_key(Path(settings.secret.key_file))
        sealed.append(secretbox.Fernet(secretbox.read_or_make_key(Path(settings.secret.key_file))).encrypt(b"x").decode())

    starters = [threading.Thread(target=start) for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(20)
    assert [open_sealed(token) for token in sealed] == ["x"] * 8


@pytest.mark.parametrize(
    "change", [lambda token: token[:-4] + "AAAA", lambda token: token[1:], lambda token: "", lambda token: "nonsense"]
)
def test_what_was_changed_is_not_opened(settings, change):
    with pytest.raises(SecretBoxError, match="put back the key"):
        open_sealed(change(seal("x")))


def test_another_installations_secret_is_not_opened(settings, tmp_path):
    sealed = seal("x")
    settings.secret.key_file = str(tmp_path / "other.key")
    with pytest.raises(SecretBoxError):
        open_sealed(sealed)


def test_a_file_that_holds_no_key_is_named_and_left_alone(settings):
    Path(settings.secret.key_file).write_text("not a key")
    with pytest.raises(SecretBoxError, match=r"secret\.key"):
        seal("x")
    assert Path(settings.secret.key_file).read_text() == "not a key"


def test_a_key_file_that_cannot_be_made_is_named(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.secret.key_file = str(tmp_path / "file" / "key")
    with pytest.raises(SecretBoxError, match=r"secret\.key_file"):
        seal("x")


def test_derived_keys_differ_by_purpose_and_tell_nothing_of_the_key(settings):
    assert derived_key("a") == derived_key("a") != derived_key("b") and len(derived_key("a")) == 32
    assert derived_key("a") not in Path(settings.secret.key_file).read_bytes()


def test_a_secret_hides_itself_everywhere(caplog):
    secret = Secret("hunter2")
    logging.getLogger("test").warning("%s %r %s", secret, secret, [secret])
    texts = [str(secret), repr(secret), f"{secret}", f"{secret!r:>20}", str({"a": secret}), caplog.text]
    assert not [text for text in texts if "hunter2" in text]
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert secret.reveal() == "hunter2"


def test_secrets_compare_by_what_they_hold():
    assert Secret("a") == Secret("a") != Secret("b") and Secret("a") != "a" and len({Secret("a"), Secret("a")}) == 1
    assert bool(Secret("a")) and not Secret("")
