"""The command ``windlass``: its groups, and how every run of it ends."""

import os
import sys

import click

from windlass_cli import __version__
from windlass_cli.command_line.invocation import Group, Invocation
from windlass_cli.commands.applications import applications
from windlass_cli.commands.audit import audit
from windlass_cli.commands.completion import completion
from windlass_cli.commands.deliveries import deliveries
from windlass_cli.commands.deploys import cancel, deploys, logs
from windlass_cli.commands.environments import environments
from windlass_cli.commands.freezes import freezes
from windlass_cli.commands.hosts import hosts
from windlass_cli.commands.integrations import integrations
from windlass_cli.commands.locks import lock, unlock
from windlass_cli.commands.login import login, logout, whoami
from windlass_cli.commands.maintenance import maintenance
from windlass_cli.commands.plans import plan
from windlass_cli.commands.releases import releases
from windlass_cli.commands.rollouts import deploy, rollback
from windlass_cli.commands.running import commands, run
from windlass_cli.commands.status import status
from windlass_cli.commands.steering import approve, pause, resume, retry, skip
from windlass_cli.commands.targets import targets
from windlass_cli.commands.tokens import tokens
from windlass_cli.commands.webhooks import webhooks
from windlass_cli.commands.zones import zones
from windlass_cli.errors import EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, WindlassError
from windlass_cli.versions import is_newer


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "-V", "--version", prog_name="windlass")
def windlass():
    """Deploy Python applications to your own servers.

    Begin with "windlass login", then "windlass status". Data goes to stdout, everything else to stderr.

    Exit codes: 0 done, 1 error, 2 usage, 3 rollout or command failed, 4 not allowed, 5 wait timed out,
    6 client too old, 130 interrupted.
    """


COMMANDS = (
    *(status, plan, deploy, rollback, logs, cancel, deploys, deliveries),
    *(approve, pause, resume, retry, skip),
    *(lock, unlock, freezes, maintenance),
    *(run, commands, audit),
    *(releases, applications, targets, environments, zones, hosts, integrations, webhooks),
    *(login, logout, whoami, tokens, completion),
)
for _command in COMMANDS:
    windlass.add_command(_command)


def main(arguments=None):
    """Run the command line ``arguments`` (``sys.argv`` without them) and return the exit code; never raises."""
    invocation = Invocation()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows "?" instead of ending in a traceback
    try:
        code = windlass.main(arguments, prog_name="windlass", standalone_mode=False, obj=invocation)
        _hint_at_newer_client(invocation)
        sys.stdout.flush()
        return code if isinstance(code, int) else EXIT_DONE
    except WindlassError as error:
        invocation.output.error(error)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted.", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has had enough (windlass logs 17 | head); nothing more can be written there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR


def _hint_at_newer_client(invocation):
    """Say once per run that the server would like to see a newer client."""
    client = invocation.__dict__.get("client")
    if client and client.desired and is_newer(client.desired, client.version):
        invocation.output.hint(
            f"windlass-cli {client.desired} is out; this is {client.version}: pip install --upgrade windlass-cli"
        )


def entry():
    """The console script."""
    sys.exit(main())
