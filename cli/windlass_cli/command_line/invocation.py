"""One run of the command line: the options that every command has, and the client and output made from them."""

import functools
import sys

import click

from windlass_cli import settings
from windlass_cli.api.client import Client
from windlass_cli.display.output import Output
from windlass_cli.errors import Declined, NeedsAnswer


class Invocation:
    """Holds the options of one run; ``client`` and ``output`` are made when they are first needed."""

    def __init__(self):
        self.url = None
        self.token = None
        self.as_json = False
        self.yes = False
        self.no_input = False

    @functools.cached_property
    def output(self):
        """The Output of this run."""
        return Output(self.as_json)

    @functools.cached_property
    def settings(self):
        """The Settings of this run."""
        return settings.load(self.url, self.token)

    @functools.cached_property
    def client(self):
        """The Client of this run."""
        return self.client_for(self.settings)

    def client_for(self, chosen):
        """Return a client for other Settings than those of this run, and make it the one of this run."""
        self.client = Client(chosen.url, chosen.token)
        return self.client

    @property
    def can_ask(self):
        """Say whether there is a person at a terminal who may be asked."""
        return not self.no_input and sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question):
        """Ask before something that can be undone; raise Declined on no.

        Without a terminal, or with ``--yes`` or ``--no-input``, the command itself counts as the decision.
        """
        if self.yes or not self.can_ask:
            return
        if not click.confirm(question, err=True):
            raise Declined("Nothing was changed.")

    def confirm_for_good(self, question):
        """Ask before something that cannot be undone; raise Declined on no, NeedsAnswer when nobody can be asked."""
        if not self.yes and not self.can_ask:
            raise NeedsAnswer(
                "This cannot be undone, and there is nobody to ask. Nothing was changed.",
                remedy="Add --yes when you are sure.",
            )
        self.confirm(question)


def _remember(context, parameter, value):
    """Store a shared option wherever it stands, before or after the command's name; a later one wins."""
    if value:
        setattr(context.ensure_object(Invocation), parameter.name, value)


def _shared_options():
    """Return fresh parameters for the options of every command."""
    common = {"expose_value": False, "callback": _remember}
    return [
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            help="Write the API's JSON to stdout, errors as JSON to stderr.",
            **common,
        ),
        click.Option(["--yes", "-y"], is_flag=True, help="Answer every question with yes.", **common),
        click.Option(["--no-input"], is_flag=True, help="Never ask anything.", **common),
        click.Option(["--url"], metavar="URL", help="The server [WINDLASS_URL, else as logged in].", **common),
        click.Option(["--token"], metavar="TOKEN", help="Who you are [WINDLASS_TOKEN, else as logged in].", **common),
    ]


class Command(click.Command):
    """A command with the shared options, which its help lists apart from its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.shared = _shared_options()
        self.params.extend(self.shared)

    def format_options(self, ctx, formatter):
        """Write the command's own options, then those of every command."""
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        own = [option for option in options if option not in self.shared]
        for heading, chosen in (("Options", own), ("Options of every command", self.shared)):
            with formatter.section(heading):
                formatter.write_dl([option.get_help_record(ctx) for option in chosen])


class Group(click.Group):
    """A group whose commands have the shared options; the group takes them too."""

    command_class = Command
    group_class = type

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.params.extend(_shared_options())

    def list_commands(self, ctx):
        """Return the names of the commands in the order in which they were added, the usual ones first."""
        return list(self.commands)
