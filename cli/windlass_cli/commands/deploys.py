"""``windlass deploys``, ``logs`` and ``cancel``: what happens and what happened."""

import click

from windlass_cli.api.feed import ENDED_STATES
from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Command, Group
from windlass_cli.commands.deliveries import changelog
from windlass_cli.commands.rollouts import finish, show_deploy
from windlass_cli.display.formats import ago, clean, size, state
from windlass_cli.jobs.rollouts import find_deploy, host_runs, require_success
from windlass_cli.jobs.watch_rollouts import LOG, watch_deploy

SHOWN = 20
COLUMNS = ("DEPLOY", "APPLICATION", "RELEASE", "ENVIRONMENT", "STATE", "HOSTS", "BY", "CREATED")


@click.group(cls=Group)
def deploys():
    """List and show deploys."""


deploys.add_command(changelog)


@deploys.command("list")
@options.application_filter
@options.environment("--environment", help="Only to this environment.")
@click.option("--state", "wanted", metavar="STATE", help="Only in this state, such as running or failed.")
@click.option("--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="How many to list.")
@click.pass_obj
def list_deploys(invocation, application, environment, wanted, limit):
    """List deploys, the newest first."""
    rows = list(invocation.client.items("deploys", limit=limit, application=application, environment=environment, state=wanted))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    invocation.output.table(COLUMNS, [_row(row) for row in rows], empty="No such deploy.")


def _row(row):
    progress = row.get("progress") or {}
    hosts = f"{progress.get('done', 0)}/{progress.get('total')}" if progress.get("total") is not None else ""
    return (
        row.get("id"),
        row.get("application"),
        row.get("release"),
        row.get("environment"),
        state(row.get("state")),
        hosts,
        row.get("requested_by"),
        ago(row.get("created_at")),
    )


@deploys.command("show")
@options.deploy
@options.waiting
@click.pass_obj
def show(invocation, number, manner, deadline):
    """Show a deploy and every host's part in it.

    With --wait or --follow, wait for its end; the exit code then tells the outcome.
    """
    client, output = invocation.client, invocation.output
    deploy = find_deploy(client, number)
    if manner is not None:
        finish(client, output, deploy, manner, deadline)
        return
    runs = host_runs(client, number)
    if invocation.as_json:
        output.json({**deploy, "hosts": runs})
        return
    output.record(_record(deploy))
    output.line()
    output.table(
        ("HOST", "WAVE", "STATE", "STEP", "SENT", "MESSAGE"),
        [_run_row(run) for run in runs],
        empty="No host takes part.",
    )


def _record(deploy):
    strategy = deploy.get("strategy")
    return (
        ("Deploy", deploy.get("id")),
        ("Application", deploy.get("application")),
        ("Release", deploy.get("release")),
        ("Environment", deploy.get("environment")),
        ("State", state(deploy.get("state"))),
        ("Reason", deploy.get("reason")),
        ("Strategy", strategy.get("kind") if isinstance(strategy, dict) else strategy),
        ("Before", deploy.get("previous_release")),
        ("Requested by", deploy.get("requested_by")),
        ("Comment", deploy.get("comment")),
        ("Created", deploy.get("created_at")),
        ("Started", deploy.get("started_at")),
        ("Ended", deploy.get("ended_at")),
    )


def _run_row(run):
    begun = [step for step in run.get("steps") or [] if step.get("state") != "pending"]
    step = begun[-1] if begun else {}
    message = run.get("message") or step.get("message")
    return (
        run.get("host"),
        run.get("wave"),
        state(run.get("state")),
        step.get("name"),
        size(run.get("bytes_sent")),
        message,
    )


@click.command(cls=Command)
@options.deploy
@click.option("--follow", is_flag=True, help="Go on until the deploy has ended; the exit code tells the outcome.")
@options.timeout
@click.pass_obj
def logs(invocation, number, follow, deadline):
    """Write the log of a deploy.

    With --json one event a line. With --follow the log goes on until the deploy has ended, over broken connections too;
    Ctrl-C stops the following, not the deploy.
    """
    client, output = invocation.client, invocation.output
    if follow:
        ended = watch_deploy(client, output, find_deploy(client, number), LOG, deadline)
        require_success(client, ended)
        return
    if deadline.seconds is not None:
        raise click.UsageError("--timeout needs --follow.")
    if invocation.as_json:
        for event in client.items("deploys", number, "events"):
            output.json_line(event)
        return
    for text in client.text("deploys", number, "log"):
        output.text(clean(text) if output.stdout.is_terminal else text)


@click.command(cls=Command)
@options.deploy
@click.pass_obj
def cancel(invocation, number):
    """Cancel a deploy that has not ended.

    Hosts at work go back; those that have switched stay; no further host begins.
    """
    deploy = invocation.client.post("deploys", number, "cancel") or invocation.client.get("deploys", number)
    show_deploy(invocation.output, deploy)
    if deploy.get("state") not in ENDED_STATES:
        invocation.output.hint(f"It ends as soon as the hosts at work have stopped: windlass logs {number} --follow")
