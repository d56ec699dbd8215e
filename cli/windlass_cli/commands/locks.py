"""``windlass lock`` and ``windlass unlock``: keep others from deploying, and let them again."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Command


@click.command(cls=Command)
@options.application
@options.environment("--in", required=True, help="The environment to lock it in.")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for whoever wants to deploy.")
@click.option("--for", "for_s", metavar="TIME", type=options.Duration(), help="End the lock by itself after 90s, 30m, 2h, 1d.")
@click.option("--force", is_flag=True, help="Take over a lock that somebody else holds; the server logs it.")
@click.pass_obj
def lock(invocation, application, environment, reason, for_s, force):
    """Keep everybody else from deploying an application to an environment.

    You still can. Deploys of others that have not begun wait. Locking again changes reason and end.

    \b
      windlass lock shop --in production --reason "database migration" --for 2h
    """
    given = {"reason": reason, "for_s": for_s, "force": force or None}
    body = {name: value for name, value in given.items() if value is not None}
    made = invocation.client.put(*_path(application, environment), body=body)
    if invocation.as_json:
        invocation.output.json(made)
        return
    until = f" until {made['expires_at']}" if made.get("expires_at") else ""
    invocation.output.line(f"{application} in {environment} is locked by {made.get('holder')}{until}: {made.get('reason')}")


@click.command(cls=Command)
@options.application
@options.environment("--in", required=True, help="The environment to unlock it in.")
@click.option("--force", is_flag=True, help="Break a lock that somebody else holds; the server logs it.")
@click.pass_obj
def unlock(invocation, application, environment, force):
    """Let others deploy again."""
    invocation.client.delete(*_path(application, environment), force="true" if force else None)
    if invocation.as_json:
        invocation.output.json({"application": application, "environment": environment, "locked": False})
    else:
        invocation.output.line(f"{application} in {environment} is unlocked.")


def _path(application, environment):
    return "applications", application, "targets", environment, "lock"
