"""Arguments and options that several commands share, with their completion out of the API."""

import functools
import re

import click

from windlass_cli import settings
from windlass_cli.api.client import Client
from windlass_cli.deadlines import Deadline
from windlass_cli.errors import WindlassError
from windlass_cli.jobs.watch_rollouts import FOLLOW, QUIET

UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType):
    """A length of time such as 90s, 30m, 2h or 1d; becomes seconds."""

    name = "duration"

    def convert(self, value, param, ctx):
        """Return the seconds that ``value`` means."""
        found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", value) if isinstance(value, str) else None
        if isinstance(value, int):
            return value
        if found is None:
            self.fail(f"{value} is no length of time: use 90s, 30m, 2h or 1d.", param, ctx)
        return int(found[1]) * UNIT_S[found[2]]


def _names(path, member="name"):
    """Return a completion function for the names that the API lists at ``path``, a function of the other arguments."""

    def complete(context, parameter, incomplete):
        """Return the names that begin with ``incomplete``."""
        try:
            chosen = settings.load()
            client = Client(chosen.url, chosen.token, pauses_s=())
            found = [str(row.get(member)) for row in client.items(*path(context.params), limit=200)]
        except (WindlassError, KeyError):
            return []  # a completion has nowhere to say what went wrong; the command itself will
        return [name for name in found if name.startswith(incomplete)]

    return complete


_applications = _names(lambda given: ("applications",))
_environments = _names(lambda given: ("environments",))
_integrations = _names(lambda given: ("integrations",))
_hosts = _names(lambda given: ("hosts",))
_zones = _names(lambda given: ("zones",))
_releases = _names(lambda given: ("applications", given["application"], "releases"), "version")
_deploys = _names(lambda given: ("deploys",), "id")

application = click.argument("application", metavar="APPLICATION", shell_complete=_applications)
integration = click.argument("integration", metavar="INTEGRATION", shell_complete=_integrations)
host = click.argument("host", metavar="HOST", shell_complete=_hosts)
zone = click.argument("zone", metavar="ZONE", shell_complete=_zones)
deploy = click.argument("number", metavar="DEPLOY", type=click.IntRange(min=1), shell_complete=_deploys)


def chosen_from(command):
    """Add --query and --limit to a command that lists what another system has to choose from."""
    return together(
        click.option("--query", metavar="TEXT", help="Only those with this in their names."),
        click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many to list."),
    )(command)


def together(*made):
    """Return several options as one decorator, for commands that share them; they keep their order."""

    def add(command):
        """Add the options to a command."""
        for option in reversed(made):
            command = option(command)
        return command

    return add


def release(name="version", **details):
    """Return the argument for a release's version."""
    return click.argument(
        name,
        **{
            "metavar": "RELEASE" if details.get("required", True) else "[RELEASE]",
            "shell_complete": _releases,
            **details,
        },
    )


def environment(*names, **details):
    """Return the option for an environment under the given names."""
    return click.option(*names, "environment", metavar="ENVIRONMENT", shell_complete=_environments, **details)


environment_argument = click.argument("environment", metavar="ENVIRONMENT", shell_complete=_environments)
application_filter = click.option(
    "--application", metavar="APPLICATION", shell_complete=_applications, help="Only of this application."
)


def waiting(command):
    """Add ``--wait``, ``--follow``, ``--timeout``; the command gets ``manner`` and ``deadline``."""

    @click.option("--wait", is_flag=True, help="Wait for the end; the exit code tells the outcome.")
    @click.option("--follow", is_flag=True, help="Wait for the end and show the progress of every host.")
    @timeout
    @functools.wraps(command)
    def with_manner(*args, wait, follow, **kwargs):
        return command(*args, manner=FOLLOW if follow else QUIET if wait else None, **kwargs)

    return with_manner


def timeout(command):
    """Add ``--timeout``; the command gets ``deadline``, which begins when the command does."""

    @click.option(
        "--timeout",
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True),
        help="Wait no longer than this; then exit with 5, while the work goes on.",
    )
    @functools.wraps(command)
    def with_deadline(*args, timeout, **kwargs):
        return command(*args, deadline=Deadline(timeout), **kwargs)

    return with_deadline
