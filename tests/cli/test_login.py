"""Where the token and the address come from, and where the token may not go."""

import json
import os

import pytest

from tests.cli import standin
from windlass_cli import settings
from windlass_cli.errors import SettingsError
from windlass_cli.settings import clean_token, clean_url


@pytest.fixture
def no_token(monkeypatch, windlass):
    """Nobody set a token in the environment."""
    monkeypatch.delenv("WINDLASS_TOKEN")


def test_a_token_is_tried_and_then_kept_for_oneself_alone(windlass, no_token, settings_path, api):
    answer = windlass("login", "--token", standin.TOKEN)
    assert answer.code == 0
    assert f"Logged in at {api.url} as admin." in answer.out
    assert settings_path.stat().st_mode & 0o777 == 0o600
    assert settings_path.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(settings_path.read_text()) == {"url": api.url, "tokens": {api.url: standin.TOKEN}}
    assert [path.name for path in settings_path.parent.iterdir()] == ["config.json"]
    assert standin.TOKEN not in answer.out + answer.err


def test_after_the_login_neither_address_nor_token_need_be_given(windlass, no_token, monkeypatch):
    assert windlass("login", "--token", standin.TOKEN).code == 0
    monkeypatch.delenv("WINDLASS_URL")
    assert windlass("hosts", "list").code == 0


def test_a_refused_token_is_not_kept(windlass, no_token, settings_path):
    answer = windlass("login", "--token", "wl_wrong")
    assert answer.code == 4
    assert not settings_path.exists()


def test_a_failed_login_leaves_the_former_one(windlass, no_token, settings_path):
    windlass("login", "--token", standin.TOKEN)
    before = settings_path.read_text()
    assert windlass("login", "--token", "wl_wrong").code == 4
    assert settings_path.read_text() == before


def test_the_token_may_come_from_standard_input(command, settings_path):
    answer = command(["login"], stdin=f"{standin.TOKEN}\n".encode(), WINDLASS_TOKEN=None)
    assert answer.code == 0, answer.err
    assert standin.TOKEN in settings_path.read_text()


@pytest.mark.parametrize("arguments", [["login"], ["login", "--no-input"]])
def test_without_any_token_login_says_how_and_does_not_hang(command, arguments):
    answer = command(arguments, stdin=b"", WINDLASS_TOKEN=None)
    assert answer.code == 2
    assert "windlass login < token" in answer.err


def test_a_flag_wins_over_the_environment_and_that_over_the_file(windlass, monkeypatch, api):
    other = standin.StandIn()
    try:
        windlass("login", "--url", other.url, "--token", standin.TOKEN)
        other.requests.clear()
        windlass("status")
        assert (len(api.requests), len(other.requests)) == (1, 0)
        windlass("status", "--url", other.url)
        assert (len(api.requests), len(other.requests)) == (1, 1)
        monkeypatch.delenv("WINDLASS_URL")
        windlass("status")
        assert (len(api.requests), len(other.requests)) == (1, 2)
    finally:
        other.close()


def test_a_kept_token_is_never_sent_to_another_server(windlass, no_token, monkeypatch):
    windlass("login", "--token", standin.TOKEN)
    other = standin.StandIn()
    try:
        answer = windlass("status", "--url", other.url)
        assert answer.code == 4
        assert f"windlass login --url {other.url}" in answer.err
        assert all("Authorization" not in request.headers for request in other.requests)
    finally:
        other.close()


def test_logout_forgets_the_token_of_that_server_alone(windlass, no_token, settings_path, api):
    other = standin.StandIn()
    try:
        windlass("login", "--url", other.url, "--token", standin.TOKEN)
    finally:
        other.close()
    windlass("login", "--token", standin.TOKEN)
    assert windlass("logout").code == 0
    assert json.loads(settings_path.read_text())["tokens"] == {other.url: standin.TOKEN}
    assert windlass("status").code == 4
    assert "No token was kept" in windlass("logout").out


@pytest.mark.parametrize("text", ["not json", "[]", '{"url": 7}', '{"tokens": ["x"]}', '{"tokens": {"http://a": 1}}', ""])
def test_a_broken_settings_file_is_told_and_not_overwritten(windlass, settings_path, text):
    settings_path.parent.mkdir(parents=True)
    settings_path.write_text(text)
    settings_path.chmod(0o600)
    for arguments in (["status"], ["login", "--token", standin.TOKEN]):
        answer = windlass(*arguments)
        assert answer.code == 1
        assert str(settings_path) in answer.err and "windlass login" in answer.err
    assert settings_path.read_text() == text


def test_a_token_that_others_may_read_is_refused_with_the_remedy(windlass, no_token, settings_path):
    windlass("login", "--token", standin.TOKEN)
    settings_path.chmod(0o644)
    answer = windlass("status")
    assert answer.code == 1
    assert f"chmod 600 {settings_path}" in answer.err


def test_members_of_a_newer_client_survive_a_login(windlass, no_token, settings_path):
    windlass("login", "--token", standin.TOKEN)
    kept = json.loads(settings_path.read_text())
    settings_path.write_text(json.dumps({**kept, "colour": "blue"}))
    windlass("login", "--token", standin.TOKEN)
    assert json.loads(settings_path.read_text())["colour"] == "blue"


def test_a_settings_file_that_is_a_link_stays_one(windlass, no_token, settings_path, tmp_path):
    settings_path.parent.mkdir(parents=True)
    settings_path.symlink_to(tmp_path / "dotfiles.json")
    assert windlass("login", "--token", standin.TOKEN).code == 0
    assert settings_path.is_symlink() and standin.TOKEN in (tmp_path / "dotfiles.json").read_text()


def test_a_settings_folder_that_cannot_be_made_is_told(windlass, no_token, tmp_path):
    (tmp_path / "config").write_text("a file in the way")
    answer = windlass("login", "--token", standin.TOKEN)
    assert answer.code == 1
    assert "config.json" in answer.err and "Traceback" not in answer.err


def test_an_unencrypted_server_elsewhere_is_warned_of():
    assert settings.is_unprotected("http://windlass.example.org")
    assert not any(
        map(
            settings.is_unprotected,
            ("https://windlass.example.org", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:80"),
        )
    )


@pytest.mark.parametrize(
    "given, used",
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://w.example.org/", "https://w.example.org"),
        ("https://w.example.org/api/v1/", "https://w.example.org"),
        ("https://example.org/windlass/", "https://example.org/windlass"),
        (" HTTPS://W.Example.org:443 ", "https://w.example.org"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_addresses_are_brought_into_one_form(given, used):
    assert clean_url(given) == used


@pytest.mark.parametrize(
    "given",
    [
        "",
        "windlass.example.org",
        "ftp://example.org",
        "http://",
        "http://a:b@example.org",
        "http://example.org:port",
        "http://example.org/?x=1",
        "http://example.org/#x",
        "http://[::1",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_address_is_refused(given):
    with pytest.raises(SettingsError):
        clean_url(given)


@pytest.mark.parametrize("given", ["two words", "line\r\nX-Evil: 1", "tökén", "", "a\x00b"])
def test_what_cannot_be_a_token_never_gets_into_a_header(given):
    with pytest.raises(SettingsError):
        clean_token(given)


def test_the_token_is_not_shown_where_settings_are():
    assert standin.TOKEN not in repr(settings.Settings("http://a", standin.TOKEN))


def test_the_settings_are_in_the_home_folder_without_xdg(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert settings.file_path({}) == tmp_path / ".config" / "windlass" / "config.json"
    assert settings.file_path({"XDG_CONFIG_HOME": "relative"}) == tmp_path / ".config" / "windlass" / "config.json"
    assert os.fspath(settings.file_path({"XDG_CONFIG_HOME": "/x"})) == "/x/windlass/config.json"
