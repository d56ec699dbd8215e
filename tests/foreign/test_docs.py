"""docs/integrations.md lists every driver, in the table of its role, with its credentials and its hooks; and no others."""

import re
from pathlib import Path

import pytest

from controllers import foreign
from controllers.catalog.integrations import ON_HOSTS
from controllers.foreign import credentials as kinds

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "integrations.md").read_text(encoding="utf-8")
SECTIONS = {match[1].lower(): match[2] for match in re.finditer(r"^## ([A-Z]\w+)(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S)}
HOST_ROLES = {"supervisor": "process supervisor", "webserver": "web server"}
KINDS = {kind.name for driver in foreign.drivers().values() for kind in driver.Credentials.kinds}


def cells(line):
    """Return the cells of a table's line."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows(section):
    """Return {driver: {column: cell}} of a section's first table."""
    lines = re.search(r"^\| driver \|.*\n(\|.*\n)+", section, re.M)[0].splitlines()
    table = [dict(zip(cells(lines[0]), cells(line), strict=True)) for line in lines[2:]]
    return {re.match(r"`([a-z-]+)`", row["driver"])[1]: row for row in table}


def kinds_in(cell):
    """Return the kinds of credentials that a cell names; `webhook_url` is the value of the kind webhook-url."""
    return {word.replace("_", "-") for word in re.findall(r"[a-z]+(?:[-_][a-z]+)*", cell)} & KINDS


@pytest.mark.parametrize("role", foreign.ROLES)
def test_the_table_of_a_role_has_its_drivers_and_no_others(role):
    assert set(rows(SECTIONS[role])) == {name for name, driver in foreign.drivers().items() if driver.role == role}


@pytest.mark.parametrize("name", foreign.drivers())
def test_a_driver_is_documented_with_its_credentials_settings_and_hooks(name):
    driver = foreign.drivers()[name]
    row = rows(SECTIONS[driver.role])[name]
    assert kinds_in(row.get("credentials", "none")) == {kind.name for kind in driver.Credentials.kinds}
    assert (row.get("hooks", "no") not in ("no", "")) == driver.takes_hooks
    settings = driver.Settings.model_json_schema().get("properties", {})
    assert not [setting for setting in settings if f"`{setting}" not in DOCUMENT]


def test_every_kind_of_credentials_is_documented_with_its_values():
    section = " ".join(re.search(r"- \*\*Credentials\*\* (.*(?:\n  .*)*)", DOCUMENT)[1].split())
    made = [kind for kind in vars(kinds).values() if isinstance(kind, kinds.Kind)]
    assert not [kind for kind in made if f"`{kind.name}` ({', '.join(f'`{name}`' for name in kind.fields)})" not in section]


def test_what_runs_on_hosts_is_documented_with_its_settings():
    documented = {name: row["role"] for name, row in rows(SECTIONS["on"]).items()}
    assert documented == {item["name"]: HOST_ROLES[item["role"]] for item in ON_HOSTS}
    for item in ON_HOSTS:
        row = rows(SECTIONS["on"])[item["name"]]["of a host's settings"]
        assert all(name in row for part in item["host_settings"].items() for name in (part[0], *(part[1] or ())))
