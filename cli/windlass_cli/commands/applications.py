"""``windlass applications``: what is deployed."""

import click

from windlass_cli import options
from windlass_cli.invocation import Group


@click.group(cls=Group)
def applications():
    """List, show, create and delete applications."""


@applications.command("list")
@click.pass_obj
def list_applications(invocation):
    """List the applications."""
    rows = list(invocation.client.items("applications"))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    invocation.output.table(
        ("NAME", "SOURCE", "TEAM"),
        [(row.get("name"), told_source(row), row.get("team")) for row in rows],
        "There is no application yet. Create one: windlass applications create --help",
    )


@applications.command("show")
@options.application
@click.pass_obj
def show(invocation, application):
    """Show an application."""
    show_application(invocation.output, invocation.client.get("applications", application))


@applications.command("create")
@click.argument("name")
@click.option("--repository", metavar="URL", help="The git repository it is built from.")
@click.option("--branch", metavar="BRANCH", help="The branch that is built when no other reference is given.")
@click.option("--package", metavar="PACKAGE", help="The package it is installed from, instead of a repository.")
@click.option("--integration", metavar="INTEGRATION", help="The configured system that repository or package is in.")
@click.option("--team", metavar="TEAM", help="The team it belongs to.")
@click.option(
    "--process",
    "processes",
    metavar="NAME=COMMAND",
    multiple=True,
    help="A process and its command, before those of the Procfile; may be given several times.",
)
@click.pass_obj
def create(invocation, name, repository, branch, package, integration, team, processes):
    """Create an application from a git repository or a package.

    \b
      windlass applications create shop --repository https://git.example.org/shop.git --branch main
      windlass applications create httpbin --package httpbin --process 'web=gunicorn --bind unix:$SOCKET httpbin:app'
    """
    if bool(repository) == bool(package):
        raise click.UsageError("Say where it comes from: either --repository URL or --package PACKAGE.")
    if package and branch:
        raise click.UsageError("--branch goes with --repository: a package has versions, no branches.")
    source = {"integration": integration, "repository": repository, "branch": branch, "package": package}
    body = {"name": name, "source": {member: value for member, value in source.items() if value}}
    if team:
        body["team"] = team
    if processes:
        body["processes"] = processes_of(processes)
    show_application(invocation.output, invocation.client.post("applications", body=body))


def processes_of(texts):
    """Return {name: command} of texts such as ``web=gunicorn …``; UsageError for one without a name or command."""
    pairs = [[part.strip() for part in text.split("=", 1)] for text in texts]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise click.UsageError(
            "--process takes a name and a command: --process 'web=gunicorn --bind unix:$SOCKET shop:app'"
        )
    return dict(pairs)


@applications.command("delete")
@options.application
@click.pass_obj
def delete(invocation, application):
    """Delete an application with its releases and history.

    The server refuses that while the application has a target.
    """
    invocation.client.get("applications", application)  # so that nobody is asked about what does not exist
    invocation.confirm_for_good(f"Delete {application} with all its releases and its history, for good?")
    invocation.client.delete("applications", application)
    if invocation.as_json:
        invocation.output.json({"name": application, "deleted": True})
    else:
        invocation.output.line(f"{application} is deleted.")


def show_application(output, application):
    """Write one application as a record, or as JSON."""
    if output.as_json:
        output.json(application)
        return
    output.record(
        (
            ("Name", application.get("name")),
            ("Source", told_source(application)),
            ("Team", application.get("team")),
            *((f"Process {name}", command) for name, command in (application.get("processes") or {}).items()),
        )
    )


def told_source(application):
    """Return where an application comes from, in a few words."""
    source = application.get("source") or {}
    place = source.get("repository") or source.get("package") or ""
    branch = f" ({source['branch']})" if source.get("branch") else ""
    return f"{place}{branch}" + (f" via {source['integration']}" if source.get("integration") else "")
