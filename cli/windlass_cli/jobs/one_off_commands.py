"""One-off commands: start one, find one, say how it ended. Nothing here prints."""

from windlass_cli.errors import CommandFailed
from windlass_cli.jobs.rollouts import having

WELL = ("succeeded", "skipped")


def start_command(client, argv, hosts=(), application=None, environment=None, time_limit_s=None):
    """Start a command and return it as it is then.

    It runs on ``hosts``, or where ``application`` runs in ``environment``: then ``hosts`` names some of those, none for all.
    """
    given = {
        "hosts": list(hosts) or None,
        "application": application,
        "environment": environment,
        "time_limit_s": time_limit_s,
    }
    body = {"argv": list(argv), **{name: value for name, value in given.items() if value is not None}}
    return having(client.post("commands", body=body), "id")


def find_command(client, number):
    """Return the command with this number."""
    return having(client.get("commands", number), "id")


def require_success(command):
    """Raise CommandFailed, naming hosts and reasons, unless the command has succeeded on every host."""
    if command.get("state") == "succeeded":
        return
    number = command.get("id")
    details = [_failure_line(run) for run in command.get("hosts") or [] if run.get("state") not in WELL]
    words = {"cancelled": "was cancelled"}
    raise CommandFailed(
        f"Command {number} {words.get(command.get('state'), 'did not succeed on every host')}.",
        details,
        f"See everything: windlass commands show {number} --follow",
    )


def _failure_line(run):
    """Return one line about a host on which the command did not succeed."""
    why = f": {run['message']}" if run.get("message") else ""
    return f"{run.get('host')}: {run.get('state')}{why}"
