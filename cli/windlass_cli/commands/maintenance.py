"""``windlass maintenance``: show users a page instead of an application, and open it again."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Group
from windlass_cli.display.formats import ago, state

COLUMNS = ("HOST", "STATE", "CHANGED", "")
LOOK_EVERY_S = 0.5


@click.group(cls=Group)
def maintenance():
    """Close an application to its users for a while, and open it again."""


@maintenance.command("on")
@options.application
@options.environment_argument
@click.option("--reason", metavar="TEXT", help="Why, for colleagues.")
@click.option("--message", metavar="TEXT", help="What the page says to users.")
@click.option(
    "--retry-after",
    "retry_after_s",
    metavar="TIME",
    type=options.Duration(),
    help="When users' programs should come back: 90s, 30m, 2h; 5m by default.",
)
@options.timeout
@click.pass_obj
def switch_on(invocation, application, environment, reason, message, retry_after_s, deadline):
    """Answer users with a page and status 503 on every host, until "maintenance off".

    Waits until all hosts do; one that cannot be reached follows when it is back. Deploys go on as usual and leave the
    page where it is.

    \b
      windlass maintenance on shop production --reason "new database" --message "Back at five" --retry-after 30m
    """
    given = {"reason": reason, "message": message, "retry_after_s": retry_after_s}
    body = {name: value for name, value in given.items() if value is not None}
    invocation.client.put(*_path(application, environment), body=body)
    _await_hosts(invocation, application, environment, deadline)


@maintenance.command("off")
@options.application
@options.environment_argument
@options.timeout
@click.pass_obj
def switch_off(invocation, application, environment, deadline):
    """Let users reach the application again; waits until they do on all hosts."""
    invocation.client.delete(*_path(application, environment))
    _await_hosts(invocation, application, environment, deadline)


@maintenance.command("show")
@options.application
@options.environment_argument
@click.pass_obj
def show(invocation, application, environment):
    """Show whether an application is closed, and how far its hosts are."""
    _show(invocation.output, application, environment, invocation.client.get(*_path(application, environment)))


def _await_hosts(invocation, application, environment, deadline):
    """Wait until every host has followed, telling of failures once, then show the outcome."""
    warned = set()
    while True:
        found = invocation.client.get(*_path(application, environment))
        for host in found["hosts"]:
            text = f"{host['host']}: {host['message']}"
            if host["state"] == "failed" and text not in warned:
                warned.add(text)
                invocation.output.warning(f"{text} (it is tried again)")
        if all(host["state"] in ("closed", "open") for host in found["hosts"]):
            break
        deadline.sleep(LOOK_EVERY_S)
    _show(invocation.output, application, environment, found)


def _show(output, application, environment, found):
    """Write a target's maintenance for people, or as JSON."""
    if output.as_json:
        output.json(found)
        return
    if found["enabled"]:
        why = f": {found['reason']}" if found["reason"] else ""
        output.line(f"{application} in {environment} is in maintenance since {found['since']} by {found['holder']}{why}")
        output.hint(f"Open it again: windlass maintenance off {application} {environment}")
    else:
        output.line(f"{application} in {environment} is open.")
    rows = [(host["host"], state(host["state"]), ago(host["changed_at"]), host["message"]) for host in found["hosts"]]
    if rows:
        output.table(COLUMNS, rows, "")


def _path(application, environment):
    return "applications", application, "targets", environment, "maintenance"
