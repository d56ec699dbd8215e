"""``windlass status``: what should run where, and what does."""

import click
from rich.text import Text

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Command
from windlass_cli.display.formats import clean, state

COLUMNS = ("APPLICATION", "ENVIRONMENT", "DESIRED", "OBSERVED", "HEALTH", "DRIFT", "DEPLOY")


@click.command(cls=Command)
@options.application_filter
@options.environment("--environment", help="Only of this environment.")
@click.pass_obj
def status(invocation, application, environment):
    """Show what should run where, and what does.

    One row per application and environment: the release that should run there, the one that was seen on all hosts
    ("-" when they differ), health, drift, the newest deploy with its state, and a lock if there is one. What the drift
    is goes to stderr.
    """
    show_status(invocation.client, invocation.output, application, environment)


def show_status(client, output, application=None, environment=None):
    """Write the status of all targets, or of those of one application or environment."""
    rows = list(client.items("status", application=application, environment=environment))
    if output.as_json:
        output.json({"items": rows})
        return
    is_any_locked = any(row.get("lock") for row in rows)
    empty = "There is no such target." if application or environment else "No application has a target yet."
    output.table([*COLUMNS, "LOCK"] if is_any_locked else COLUMNS, [_row(row, is_any_locked) for row in rows], empty)
    for row in rows:
        for line in _trouble_lines(row):
            output.warning(f"{row.get('application')} in {row.get('environment')}: {line}")
        if row.get("drift_count"):
            names = f"{row['application']} {row['desired']} --to {row['environment']}"
            output.hint(f"See the difference: windlass hosts show HOST; put it right: windlass deploy {names}")


def _row(row, with_lock):
    desired, observed = clean(row.get("desired")) or "-", clean(row.get("observed")) or "-"
    return (
        row.get("application"),
        row.get("environment"),
        desired,
        Text(observed, style="yellow" if observed != desired else ""),
        state(row.get("health") or "-"),
        Text("yes" if row.get("drift") else "-", style="yellow" if row.get("drift") else ""),
        _newest_deploy(row),
        *([(row.get("lock") or {}).get("holder") or "-"] if with_lock else []),
    )


def _trouble_lines(row):
    """Return sentences on what is not as it should be, or may not be."""
    closed, unreachable = row.get("maintenance"), row.get("unreachable")
    return [
        *([f"in maintenance since {closed['since']} by {closed['holder']}"] if closed else []),
        *([row["drift_detail"]] if row.get("drift_detail") else []),
        *([f"cannot be reached: {', '.join(unreachable)}"] if unreachable else []),
        *(["not looked at for long; is a worker of its zone running?"] if row.get("stale") else []),
    ]


def _newest_deploy(row):
    """Return number and state of the newest deploy."""
    number = (row.get("deploy") or {}).get("id")
    return Text(f"{clean(number)} " if number else "") + state(row.get("state") or "-")
