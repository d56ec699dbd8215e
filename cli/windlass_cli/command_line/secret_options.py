"""Values that nobody is to see: typed unseen by a person, or read from a file, a variable or standard input."""

import os
import sys

import click

from windlass_cli.command_line.option_files import text_of_file
from windlass_cli.errors import NeedsAnswer, WindlassError

ASKED = (None, "-")  # Typed unseen by a person, else all of standard input.
VARIABLE = "env:"


def secrets_option(text):
    """Return the option ``--secret NAME[=FROM]``; ``text`` is its help before how to give the values."""
    return click.option(
        "--secret",
        "secrets",
        metavar="NAME[=FROM]",
        multiple=True,
        help=f"{text} FROM is @FILE, env:VARIABLE or - (standard input); else it is asked for. Several times.",
    )


def secret_values(invocation, texts):
    """Return {name: value} of texts such as ``token``, ``token=-``, ``token=@FILE`` and ``token=env:VARIABLE``.

    Raises UsageError for a text that holds anything else, which it never repeats, NeedsAnswer and WindlassError when a value
    cannot be had.
    """
    sources = {}
    for text in texts:
        name, equals, source = text.partition("=")
        if not name:
            raise click.UsageError("--secret takes a name: --secret token")
        if name in sources:
            raise click.UsageError(f"--secret {name} was given twice.")
        sources[name] = source if equals else None
    for name, source in sources.items():
        if source not in ASKED and not source.startswith(("@", VARIABLE)):
            raise click.UsageError(
                f"--secret {name} takes no value, because others on this machine can see it in the list of processes: "
                f"say where it is by {name}=@FILE, {name}=env:VARIABLE or {name}=- for standard input."
            )
    asked = [name for name, source in sources.items() if source in ASKED]
    if len(asked) > 1 and not invocation.can_ask:
        raise click.UsageError(
            f"Standard input can be one secret only, not {' and '.join(asked)}: say of the others where they are "
            f"by {asked[1]}=@FILE or {asked[1]}=env:VARIABLE."
        )
    return {name: _value_from(invocation, name, source) for name, source in sources.items()}


def secret_value(invocation, name):
    """Return a secret that a person types unseen, or all of standard input without its last line break.

    Raises NeedsAnswer when there is neither.
    """
    if invocation.can_ask:
        return click.prompt(name, hide_input=True, err=True)
    text = "" if invocation.no_input or sys.stdin.isatty() else sys.stdin.read()
    value = _without_line_break(text)
    if not value:
        raise NeedsAnswer(f"There is no value for {name}. Nothing was changed.", remedy="Give it on standard input: … < file")
    return value


def _value_from(invocation, name, source):
    """Return the value of one secret from where it is said to be."""
    if source in ASKED:
        return secret_value(invocation, name)
    if source.startswith(VARIABLE):
        value = os.environ.get(source.removeprefix(VARIABLE), "")
        where = f"The variable {source.removeprefix(VARIABLE)}"
    else:
        value = _without_line_break(text_of_file(source[1:], f"The secret {name}"))
        where = f"The file {source[1:]}"
    if not value:
        raise WindlassError(f"{where} is empty or not there, so there is no value for {name}. Nothing was changed.")
    return value


def _without_line_break(text):
    return text.removesuffix("\n").removesuffix("\r")
