"""Settings: one table, checked strictly, documented completely."""

import json
import re
from pathlib import Path

import pytest

import config
from config import SETTINGS, ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def file(tmp_path):
    """file(document) writes a configuration file and returns its path."""

    def write(document):
        path = tmp_path / "config.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


def load(path=None, **environ):
    return config.load(path, environ)


def test_later_sources_win(file):
    path = file({"web": {"port": 1234, "host": "192.0.2.1"}})
    loaded = load(path, WINDLASS_WEB_PORT="4321")
    assert (loaded.web.port, loaded.web.host, loaded.web.session_hours) == (4321, "192.0.2.1", 12)


def test_the_file_can_be_named_by_a_variable(file):
    assert load(WINDLASS_CONFIG=str(file({"web": {"port": 1234}}))).web.port == 1234


@pytest.mark.parametrize(
    "document, named",
    [
        ({"web": {"prot": 1}}, "did you mean 'web.port'"),
        ({"wbe": {"port": 1}}, "did you mean 'web.port'"),
        ({"web": 5}, "'web'"),
        ({"web": {"port": "8080"}}, "'web.port' must be a whole number"),
        ({"web": {"port": True}}, "'web.port'"),
        ({"web": {"port": -1}}, "'web.port' must not be negative"),
        ({"web": {"port": 1.5}}, "'web.port'"),
        ({"web": {"port": None}}, "'web.port'"),
        ({"web": {"port": {"number": 1}}}, "web.port.number"),
        ({"log": {"level": "loud"}}, "one of debug, info"),
        ({"worker": {"zones": "a"}}, "'worker.zones' must be a list"),
        ({"worker": {"zones": [1]}}, "'worker.zones'"),
        ({"network": {"allow": ["10.0.0.0/33"]}}, "'network.allow'"),
        ({"web": {"secure_cookies": "yes"}}, "true or false"),
        ("{", "not valid JSON"),
        ("[]", "one JSON object"),
    ],
)
def test_what_cannot_be_used_is_named_and_changes_nothing(file, document, named):
    before = load().web.port
    path = file(document)
    with pytest.raises(ConfigError) as refused:
        load(path, WINDLASS_WEB_PORT="1")
    assert named in str(refused.value) and str(path) in str(refused.value)
    assert config.settings.web.port == before


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        load(tmp_path / "none.json")


@pytest.mark.parametrize("text, zones", [("a, b,", ["a", "b"]), ('["a", "b,c"]', ["a", "b,c"]), ("", []), ("a", ["a"])])
def test_lists_are_json_or_comma_separated(text, zones):
    assert load(WINDLASS_WORKER_ZONES=text).worker.zones == zones


@pytest.mark.parametrize("text, value", [("true", True), ("0", False), ("YES", True), ("no", False)])
def test_switches_are_said_in_words(text, value):
    assert load(WINDLASS_WEB_SECURE_COOKIES=text).web.secure_cookies is value


@pytest.mark.parametrize(
    "variable, text",
    [
        ("WINDLASS_WEB_PORT", "http"),
        ("WINDLASS_WEB_PORT", ""),
        ("WINDLASS_WEB_SECURE_COOKIES", "maybe"),
        ("WINDLASS_WORKER_ZONES", "[1"),
        ("WINDLASS_LOG_LEVEL", "loud"),
        ("WINDLASS_NETWORK_ALLOW", "everything"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variable, text):
    with pytest.raises(ConfigError, match=variable):
        load(**{variable: text})


def test_what_follows_from_other_settings_is_filled_in(tmp_path):
    loaded = load(WINDLASS_DATA=str(tmp_path), WINDLASS_WEB_PORT="1234")
    assert loaded.database.url == f"sqlite:///{tmp_path}/windlass.db" and loaded.secret.key_file == f"{tmp_path}/secret.key"
    assert loaded.web.url == "http://127.0.0.1:1234"
    assert load(WINDLASS_DATA="elsewhere").data == str(ROOT / "elsewhere")


def test_defaults_hold_no_secret_and_settings_do_not_show_theirs():
    assert not [setting.name for setting in SETTINGS if setting.secret and setting.default]
    assert "hunter2" not in repr(load(WINDLASS_ADMIN_TOKEN="hunter2")) and "hunter2" not in repr(config.settings.admin)


@pytest.mark.parametrize("path", sorted((ROOT / "etc").glob("*.json")), ids=lambda path: path.name)
def test_the_files_for_each_role_can_be_used(path):
    assert load(path).database.url


def documented():
    """Return {setting: its row's cells} of the table in docs/configuration.md."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("| `"): row[1:] for row in rows}


def test_every_setting_is_documented_as_it_is():
    expected = {
        setting.name: [f"`{setting.variable}`", f"`{json.dumps(setting.default)}`", re.sub(r"\|", r"\\|", setting.help)]
        for setting in SETTINGS
    }
    assert documented() == expected, "docs/configuration.md: write the rows anew from lib/config.py"
