"""docs/cli.md tells every command, option and exit code, and no others."""

import re

import click
import pytest

from tests.cli.conftest import ROOT
from windlass_cli import errors
from windlass_cli.main import windlass as root_command

DOCUMENT = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = {
    match[1]: match[2] for match in re.finditer(r"^#{2,3} (windlass[a-z ]*)\n(.*?)(?=^#{2,3} |\Z)", DOCUMENT, re.M | re.S)
}
SHARED = {"--json", "--yes", "--no-input", "--url", "--token", "--help"}


def commands(group=root_command, path="windlass"):
    """Yield (path, command) for every command and group below the root."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


COMMANDS = dict(commands())


def options(command):
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


def test_every_command_has_its_section_and_every_section_its_command():
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("path", [path for path, command in COMMANDS.items() if not isinstance(command, click.Group)])
def test_a_section_tells_exactly_the_options_of_its_command(path):
    told = set(re.findall(r"^- .*(?:\n  .*)*", SECTIONS[path], re.M))
    names = {name for line in told for name in re.findall(r"`(--[a-z-]+)", line)}
    assert names == options(COMMANDS[path]) - SHARED


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself_and_all_its_options(path):
    command = COMMANDS[path]
    assert command.help
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))


def test_the_options_of_every_command_are_told_once_for_all():
    table = DOCUMENT.split("**Options of every command**")[1].split("**Settings.**")[0]
    assert set(re.findall(r"`(--[a-z-]+)", table)) == SHARED


def test_every_exit_code_is_told():
    table = DOCUMENT.split("**Exit codes.**")[1].split("**Connections.**")[0]
    codes = {getattr(errors, name) for name in dir(errors) if name.startswith("EXIT_")}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)} == codes


def test_every_fab_task_and_its_options_are_told():
    part = DOCUMENT.split("\n## fab\n")[1]
    source = (ROOT / "fabfile.py").read_text(encoding="utf-8")
    for name, arguments in re.findall(r"^@task.*?^def (\w+)\(context, (.*?)\):", source, re.M | re.S):
        assert f"fab {name}" in part
        assert all(re.search(rf"--(no-)?{argument.partition('=')[0]}\b", part) for argument in arguments.split(", "))
