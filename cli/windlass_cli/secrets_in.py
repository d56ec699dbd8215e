"""Values that nobody is to see: typed unseen by a person, or read from standard input."""

import sys

import click

from windlass_cli.errors import NeedsAnswer


def secret_value(invocation, name):
    """Return a secret that a person types unseen, or all of standard input without its last line break.

    Raises NeedsAnswer when there is neither.
    """
    if invocation.can_ask:
        return click.prompt(name, hide_input=True, err=True)
    text = "" if invocation.no_input or sys.stdin.isatty() else sys.stdin.read()
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise NeedsAnswer(
            f"There is no value for {name}. Nothing was changed.", remedy="Give it on standard input: … < file"
        )
    return value
