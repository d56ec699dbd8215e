"""``windlass run`` and ``windlass commands``: one-off commands on hosts."""

import shlex

import click
from rich.text import Text

from windlass_cli.api.feed import ENDED_STATES, state_of
from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Command, Group
from windlass_cli.display.formats import ago, clean, state
from windlass_cli.jobs.one_off_commands import find_command, require_success, start_command
from windlass_cli.jobs.waiting import await_end, goes_on

SHOWN = 20
COLUMNS = ("COMMAND", "WORDS", "WHERE", "STATE", "HOSTS", "BY", "CREATED")


@click.command(cls=Command)
@click.argument("words", nargs=-1, required=True, metavar="[APPLICATION] -- COMMAND [ARGUMENT]...")
@options.environment("--to", help="Where APPLICATION runs, in this environment: in its release, with its variables.")
@click.option("--host", "hosts", metavar="HOST", multiple=True, help="On this host; may be given several times.")
@click.option(
    "--time-limit",
    "time_limit_s",
    metavar="TIME",
    type=options.Duration(),
    help="End it after 90s, 30m, 1h; 60s by default.",
)
@options.timeout
@click.pass_obj
def run(invocation, words, environment, hosts, time_limit_s, deadline):
    """Run a command on hosts and show what it says. For administrators.

    With APPLICATION and --to it runs on the hosts of that target, in the release that runs there, with its virtualenv and
    variables; --host leaves out all others. Without, it runs on the hosts that --host names, in the user's home.
    No shell reads the words: for pipes and the like run "sh -c".

    Each line of output begins with its host. Exits with 0 when the command ended with status 0 on all hosts, else with 3.

    \b
      windlass run shop --to production -- python manage.py showmigrations
      windlass run --host web-1 --host web-2 -- df -h /
    """
    application, argv = (words[0], words[1:]) if environment else (None, words)
    if not argv:
        raise click.UsageError("What is to be run? Give the command after --, such as: windlass run --host web-1 -- df -h")
    if not environment and not hosts:
        raise click.UsageError("Where? Give APPLICATION and --to ENVIRONMENT, or --host HOST.")
    where = f"where {application} runs in {environment}" if application else f"on {', '.join(hosts)}"
    invocation.confirm(f"Run {shlex.join(argv)} {where}?")
    started = start_command(invocation.client, argv, hosts, application, environment, time_limit_s)
    _watch(invocation, started, deadline)


@click.group(cls=Group)
def commands():
    """List, show and cancel commands that were run on hosts."""


@commands.command("list")
@options.application_filter
@options.environment("--environment", help="Only in this environment.")
@click.option("--host", metavar="HOST", help="Only on this host.")
@click.option("--state", "wanted", metavar="STATE", help="Only in this state, such as running or failed.")
@click.option("--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="How many to list.")
@click.pass_obj
def list_commands(invocation, limit, wanted, **chosen):
    """List commands, the newest first."""
    rows = list(invocation.client.items("commands", limit=limit, state=wanted, **chosen))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    invocation.output.table(COLUMNS, [_row(row) for row in rows], empty="No such command.")


@commands.command("show")
@click.argument("number", metavar="COMMAND", type=click.IntRange(min=1))
@click.option("--follow", is_flag=True, help="Show all its output and wait for its end; the exit code tells the outcome.")
@options.timeout
@click.pass_obj
def show(invocation, number, follow, deadline):
    """Show a command and how it went on each host."""
    found = find_command(invocation.client, number)
    if follow:
        _watch(invocation, found, deadline)
    elif deadline.seconds is not None:
        raise click.UsageError("--timeout needs --follow.")
    else:
        _show(invocation.output, found)


@commands.command("cancel")
@click.argument("number", metavar="COMMAND", type=click.IntRange(min=1))
@click.pass_obj
def cancel(invocation, number):
    """End a command wherever it runs, with all its processes."""
    found = invocation.client.post("commands", number, "cancel")
    _show(invocation.output, found)
    if found.get("state") not in ENDED_STATES:
        invocation.output.hint(f"It ends within seconds: windlass commands show {number} --follow")


class Lines:
    """Shows a command's output as it comes, each line with its host, and on stderr what becomes of the hosts."""

    def __init__(self, output, command):
        self.output = output
        self.width = max([len(clean(run.get("host"))) for run in command.get("hosts") or []], default=0)
        self.outputs = {}

    def event(self, event):
        """Show an event; with ``--json`` its output is only kept."""
        host, text = clean(event.get("host")), event.get("text") or ""
        if event.get("kind") == "output":
            self.outputs[host] = self.outputs.get(host, "") + text
            for line in () if self.output.as_json else clean(text).splitlines():
                self.output.line(Text(f"{host.ljust(self.width)}  ", style="bold"), line)
        elif event.get("kind") == "host" and state_of(event) != "running" and not self.output.as_json:
            why = f": {' '.join(clean(text).split())}" if text else ""
            self.output.note(Text(f"{host.ljust(self.width)}  ", style="bold"), state(state_of(event)), why)

    def note(self, text):
        """Show a note about the connection."""
        self.output.note(text)


def _watch(invocation, command, deadline):
    """Show a command's output up to its end, and fail when it did not succeed everywhere."""
    client, output, number = invocation.client, invocation.output, command["id"]
    lines = Lines(output, command)
    remedy = f"Follow it: windlass commands show {number} --follow   Cancel it: windlass commands cancel {number}"
    with goes_on(f"command {number} goes on", remedy):
        output.note(f"Command {number}: {shlex.join(command.get('argv') or [])}")
        ended = await_end(client, "command", number, lines, deadline)
    if output.as_json:
        hosts = [{**run, "output": lines.outputs.get(run.get("host"), "")} for run in ended.get("hosts") or []]
        output.json({**ended, "hosts": hosts})
    require_success(ended)


def _row(row):
    progress = row.get("progress") or {}
    return (
        row.get("id"),
        _short(shlex.join(row.get("argv") or [])),
        f"{row['application']}/{row.get('environment')}" if row.get("application") else "hosts",
        state(row.get("state")),
        f"{progress.get('done', 0)}/{progress.get('total', 0)}",
        row.get("requested_by"),
        ago(row.get("created_at")),
    )


def _short(text):
    return text if len(text) <= 60 else f"{text[:59]}…"


def _show(output, command):
    """Write a command with its hosts."""
    if output.as_json:
        output.json(command)
        return
    where = f"{command['application']} in {command.get('environment')}" if command.get("application") else None
    output.record(
        (
            ("Command", command.get("id")),
            ("Words", shlex.join(command.get("argv") or [])),
            ("Application", where),
            ("State", state(command.get("state"))),
            ("Time limit", f"{command.get('time_limit_s')} s"),
            ("Requested by", command.get("requested_by")),
            ("Cancelled by", command.get("cancel_requested_by")),
            ("Created", command.get("created_at")),
            ("Ended", command.get("ended_at")),
        )
    )
    output.line()
    rows = [
        (
            run.get("host"),
            state(run.get("state")),
            "" if run.get("exit_code") is None else run["exit_code"],
            run.get("message"),
        )
        for run in command.get("hosts") or []
    ]
    output.table(("HOST", "STATE", "STATUS", "MESSAGE"), rows, empty="It runs on no host.")
