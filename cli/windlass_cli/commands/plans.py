"""``windlass plan``: see what a deploy would change, host by host."""

import click
from rich.text import Text

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Command
from windlass_cli.commands.rollouts import strategy_of
from windlass_cli.display.formats import DIFF_STYLES, clean, size
from windlass_cli.errors import EXIT_DONE, WindlassError
from windlass_cli.jobs.rollouts import find_release, make_plan

CHANGES = 2  # The exit code for "something is to be done", where it was asked for.
SHOWN_FILES = 20
SIGNS = (("added", "+", "green"), ("changed", "~", "yellow"), ("removed", "-", "red"))


@click.command(cls=Command)
@options.application
@options.release()
@options.environment("--to", required=True, help="The environment to deploy to.")
@click.option("--strategy", metavar="KIND", help="Another strategy than the target's, such as rolling or canary.")
@click.option("--batch", metavar="N|P%", help="How many hosts at a time, or which part of them.")
@click.option(
    "--detailed-exitcode",
    "is_detailed",
    is_flag=True,
    help="Exit with 2 when something is to be done, with 0 when nothing is.",
)
@options.timeout
@click.pass_obj
def plan(invocation, application, version, environment, strategy, batch, is_detailed, deadline):
    """Show what a deploy would change on every host, and change nothing.

    A deploy of the plan does exactly that; where a host has changed in the meantime, it stops before touching it.

    \b
      windlass plan shop v12 --to production
      windlass deploy shop v12 --to production --plan 7 --follow
    """
    client, output = invocation.client, invocation.output
    release = find_release(client, application, version)["version"]
    made = make_plan(client, application, release, environment, strategy_of(strategy, batch), deadline)
    output.json(made) if output.as_json else show_plan(output, made)
    if made["state"] == "failed":
        details = [f"{error['host']}: {error['message']}. {error['remedy']}" for error in made["errors"]]
        raise WindlassError(f"Plan {made['id']} is not complete: {len(details)} of its hosts could not be looked at.", details)
    if not made["unchanged"]:
        output.hint(f"Do exactly this: windlass deploy {application} {release} --to {environment} --plan {made['id']}")
    return CHANGES if is_detailed and not made["unchanged"] else EXIT_DONE


def show_plan(output, made):
    """Write a plan for people; hosts on which the same happens are told of together."""
    output.line(f"plan {made['id']}  {made['application']} {made['release']} → {made['environment']}")
    closed = made.get("maintenance")
    if closed:
        output.line(f"in maintenance since {closed['since']} by {closed['holder']}: a deploy leaves the page in place")
    for item in made.get("skipped", ()):
        output.line(f"{item['host']} is left out: {clean(item['reason'])}")
    for names, host in alike(made["hosts"]):
        output.line("")
        output.line(Text(clean(", ".join(names)), style="bold"))
        show_host(output, host)


def alike(hosts):
    """Return [(names, one of them)] of hosts on which the same changes."""
    groups = {}
    for host in hosts:
        what = {name: value for name, value in host.items() if name not in ("host", "digest", "observed")}
        groups.setdefault(repr(what), []).append(host)
    return [([host["host"] for host in group], group[0]) for group in groups.values()]


def show_host(output, host):
    """Write what happens on a host."""
    for item in host.get("configure", ()):
        only = " (only says what it would change)" if item["check"] else ""
        output.line(f"  run        {item['integration']}: {clean(item['run'])} {item['when']}{only}")
    if host["unchanged"]:
        output.line(f"  unchanged: it already runs {host['new_release']}")
        return
    for repair in host.get("repairs", ()):
        output.line("  repair     ", Text(clean(f"{repair['path']} of the {repair['tree']}"), style="yellow"))
    output.line(
        f"  release    {host['current_release'] or 'nothing'} → {host['new_release']}, {size(host['bytes_to_send'])} to send"
    )
    show_files(output, host["files"])
    show_packages(output, host["packages"])
    for kind, sign, style in SIGNS:
        for name in host["variables"][kind]:
            output.line("  variable   ", Text(f"{sign} {clean(name)}", style=style))
    for word in ("start", "stop"):
        names = ", ".join(f"{process['name']} (slot {process['slot']})" for process in host["processes"][word])
        if names:
            output.line(f"  {word:<10} {names}")
    for item in host["configuration"]:
        output.line(f"  configuration {item['file']}")
        for line in item["diff"].splitlines():
            output.line("    ", Text(clean(line), style=DIFF_STYLES.get(line[:1], "")))


def show_files(output, files):
    """Write the files of the release that differ, the first of each kind."""
    if files is None:
        output.line("  files      not known: what runs there now was not built here")
        return
    for kind, sign, style in SIGNS:
        for file in files[kind][:SHOWN_FILES]:
            output.line("  file       ", Text(f"{sign} {clean(file['path'])}", style=style), f"  {size(file['size'])}")
        more = files["counts"][kind] - len(files[kind][:SHOWN_FILES])
        if more:
            output.line(f"  file       {sign} and {more} more {kind}")


def show_packages(output, packages):
    """Write the locked packages that differ."""
    if packages is None:
        output.line("  packages   not known: what runs there now was not built here")
        return
    for package in packages["added"]:
        output.line("  package    ", Text(clean(f"+ {package['name']} {package['version']}"), style="green"))
    for package in packages["upgraded"]:
        output.line("  package    ", Text(clean(f"~ {package['name']} {package['from']} → {package['to']}"), style="yellow"))
    for package in packages["removed"]:
        output.line("  package    ", Text(clean(f"- {package['name']} {package['version']}"), style="red"))
