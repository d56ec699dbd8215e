"""``windlass approve``, ``pause``, ``resume``, ``retry`` and ``skip``: change the course of a deploy."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Command
from windlass_cli.commands.plans import show_plan
from windlass_cli.commands.rollouts import finish, show_deploy
from windlass_cli.display.formats import state
from windlass_cli.jobs.rollouts import complete_plan, having

host_argument = click.argument("host", metavar="HOST")


@click.command(cls=Command)
@options.deploy
@click.option("--comment", metavar="TEXT", help="What you say to it, for whoever reads the history.")
@click.option("--digest", metavar="TEXT", help="Agree only if its plan has this digest.")
@options.timeout
@click.pass_obj
def approve(invocation, number, comment, digest, deadline):
    """Show what a deploy that somebody else asked for will change, and agree to exactly that.

    In a protected environment it begins when as many people have agreed as the environment needs.
    """
    client, output = invocation.client, invocation.output
    deploy = having(client.get("deploys", number), "id")
    if deploy["state"] == "pending_approval":
        plan = complete_plan(client, having(client.get("plans", deploy["plan"]), "id"), deadline)
        digest = digest or plan["digest"]
        if not output.as_json:
            show_plan(output, plan)
            output.line("")
    invocation.confirm(f"Approve deploy {number}?")
    body = {name: value for name, value in (("comment", comment), ("digest", digest)) if value}
    approved = client.post("deploys", number, "approve", body=body)
    show_deploy(output, approved)
    approvals = approved.get("approvals") or {}
    lacking = approvals.get("needed", 0) - len(approvals.get("given") or [])
    if lacking > 0:
        output.hint(f"It needs {lacking} more approval{'s' if lacking > 1 else ''}.")


@click.command(cls=Command)
@options.deploy
@click.pass_obj
def pause(invocation, number):
    """Pause a running deploy.

    Hosts at work go on to their end; no other begins until it is resumed.
    """
    show_deploy(invocation.output, invocation.client.post("deploys", number, "pause"))
    invocation.output.hint(f"Let it go on: windlass resume {number}")


@click.command(cls=Command)
@options.deploy
@options.waiting
@click.pass_obj
def resume(invocation, number, manner, deadline):
    """Let a paused deploy go on with its next wave."""
    _go_on(invocation, number, "resume", manner, deadline)


@click.command(cls=Command)
@options.deploy
@click.option("--host", metavar="HOST", help="Only this host, while the deploy is paused.")
@options.waiting
@click.pass_obj
def retry(invocation, number, host, manner, deadline):
    """Try hosts of a deploy again.

    Of a failed deploy, all hosts that failed or were left out. With --host one of a paused deploy, which is tried as soon
    as the deploy is resumed.
    """
    if host is None:
        _go_on(invocation, number, "retry", manner, deadline)
        return
    if manner is not None:
        raise click.UsageError("A paused deploy has no end to wait for: leave out --wait and --follow, then resume it.")
    _show_run(invocation, number, invocation.client.post("deploys", number, "hosts", host, "retry"))


@click.command(cls=Command)
@options.deploy
@host_argument
@click.pass_obj
def skip(invocation, number, host):
    """Leave a host of a paused deploy out.

    It has not begun, or it failed; it no longer counts as failed then.
    """
    _show_run(invocation, number, invocation.client.post("deploys", number, "hosts", host, "skip"))


def _go_on(invocation, number, change, manner, deadline):
    """Let a deploy go on by ``resume`` or ``retry``; show it, or wait for its end."""
    if deadline.seconds is not None and manner is None:
        raise click.UsageError("--timeout needs something to wait for: add --wait or --follow.")
    deploy = invocation.client.post("deploys", number, change)
    finish(invocation.client, invocation.output, deploy, manner, deadline)


def _show_run(invocation, number, run):
    """Write one host's part in a deploy."""
    if invocation.as_json:
        invocation.output.json(run)
        return
    invocation.output.line(f"{run.get('host')}  ", state(run.get("state")))
    invocation.output.hint(f"Let the deploy go on: windlass resume {number}")
