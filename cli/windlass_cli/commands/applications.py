"""``windlass applications``: what is deployed."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Group
from windlass_cli.command_line.option_files import object_of

PARTNERS = {
    "build": "The job that must have built a commit",
    "artifacts": "Where its releases are published",
    "tracker": "The tracker of its issues",
}
# What each kind of source consists of.
REPOSITORY, PACKAGE = ("repository", "branch"), ("package", "requirements")


@click.group(cls=Group)
def applications():
    """Say what is deployed, and where it comes from."""


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
        [(row.get("name"), describe_source(row), row.get("team")) for row in rows],
        "There is no application yet. Create one: windlass applications create --help",
    )


@applications.command("show")
@options.application
@click.pass_obj
def show(invocation, application):
    """Show an application."""
    show_application(invocation.output, invocation.client.get("applications", application))


#: What is said of an application, whether it is new or not.
_details = options.together(
    click.option("--repository", metavar="URL", help="The git repository it is built from."),
    click.option("--branch", metavar="BRANCH", help="The branch that is built when no other reference is given."),
    click.option("--package", metavar="PACKAGE", help="The package it is installed from, instead of a repository."),
    click.option(
        "--requirement",
        "requirements",
        metavar="REQUIREMENT",
        multiple=True,
        help="More to install beside the package, such as gunicorn>=23; may be given several times.",
    ),
    click.option(
        "--integration",
        metavar="INTEGRATION",
        help="The configured system that repository or package is in.",
    ),
    click.option("--team", metavar="TEAM", help="The team it belongs to."),
    click.option(
        "--process",
        "processes",
        metavar="NAME=COMMAND",
        multiple=True,
        help="A process and its command, before those of the Procfile; may be given several times.",
    ),
    *(
        click.option(f"--{name}", metavar="JSON|@FILE", help=f"{what} as JSON, or a file with it.")
        for name, what in PARTNERS.items()
    ),
)


@applications.command("create")
@click.argument("name")
@_details
@click.pass_obj
def create(invocation, name, **given):
    """Create an application from a git repository or a package.

    \b
      windlass applications create shop --repository https://git.example.org/shop.git --branch main
      windlass applications create httpbin --package httpbin --process 'web=gunicorn --bind unix:$SOCKET httpbin:app'
    """
    if bool(given["repository"]) == bool(given["package"]):
        raise click.UsageError("Say where it comes from: either --repository URL or --package PACKAGE.")
    body = {"name": name, **_changes_of({}, **given)}
    show_application(invocation.output, invocation.client.post("applications", body=body))


@applications.command("set")
@options.application
@_details
@click.option("--no-integration", is_flag=True, help="Its source needs none any more.")
@click.option("--no-process", "without", metavar="NAME", multiple=True, help="Leave this process to the Procfile.")
@click.pass_obj
def set_application(invocation, application, no_integration, without, **given):
    """Change an application. What is not given stays as it is; releases that are there stay as they were built.

    Requirements that are given replace the former ones; null takes a build, artifacts or a tracker away.

    \b
      windlass applications set shop --branch stable
      windlass applications set shop --integration stash --repository https://stash.example.net/scm/shop.git
      windlass applications set shop --tracker '{"integration": "jira", "comment": true}'
    """
    if no_integration and given["integration"]:
        raise click.UsageError("--integration and --no-integration exclude each other.")
    before, tag = invocation.client.get_with_tag("applications", application)
    body = _changes_of(before, **given)
    if no_integration:
        body["source"] = {**body.get("source", _source_before(before)), "integration": None}
    if without:
        processes = body.get("processes", before.get("processes") or {})
        body["processes"] = {name: command for name, command in processes.items() if name not in without}
    if not body:
        raise click.UsageError("What is to be changed? Give one of the options.")
    show_application(invocation.output, invocation.client.patch("applications", application, body=body, if_match=tag))


def _changes_of(before, processes, team, repository, branch, package, requirements, integration, **partners):
    """Return what was said of an application as the API takes it, laid over what it was before."""
    if repository and package:
        raise click.UsageError("--repository and --package both say where it comes from: give one of them.")
    source = {
        "integration": integration,
        "repository": repository,
        "branch": branch,
        "package": package,
        "requirements": list(requirements),
    }
    source = {member: value for member, value in source.items() if value}
    whole = {**_source_before(before, is_package=bool(package), is_repository=bool(repository)), **source}
    if "package" in whole and branch:
        raise click.UsageError("--branch goes with --repository: a package has versions, no branches.")
    if "repository" in whole and requirements:
        raise click.UsageError("--requirement goes with --package: a repository brings its own.")
    body = {"source": whole} if source else {}
    if team:
        body["team"] = team
    if processes:
        body["processes"] = {**(before.get("processes") or {}), **processes_of(processes)}
    return body | {name: object_of(f"--{name}", text) for name, text in partners.items() if text}


def _source_before(before, is_package=False, is_repository=False):
    """Return where an application comes from now, without what another kind of source has no use for."""
    dropped = REPOSITORY if is_package else PACKAGE if is_repository else ()
    return {member: value for member, value in (before.get("source") or {}).items() if value and member not in dropped}


def processes_of(texts):
    """Return {name: command} of texts such as ``web=gunicorn …``; UsageError for one without a name or command."""
    pairs = [[part.strip() for part in text.split("=", 1)] for text in texts]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise click.UsageError("--process takes a name and a command: --process 'web=gunicorn --bind unix:$SOCKET shop:app'")
    return dict(pairs)


@applications.command("refs")
@options.application
@options.chosen_from
@click.pass_obj
def refs(invocation, application, query, limit):
    """List the branches and tags that a release can be made of, with their commits.

    \b
      windlass applications refs shop --query release/
    """
    rows = list(invocation.client.items("applications", application, "refs", query=query, limit=limit))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [(row.get("name"), row.get("kind"), row.get("commit")) for row in rows]
    invocation.output.table(("REF", "KIND", "COMMIT"), cells, f"The repository of {application} has no such branch or tag.")


@applications.command("versions")
@options.application
@options.chosen_from
@click.pass_obj
def versions(invocation, application, query, limit):
    """List the versions of an application's package that a release can be made of, the newest first."""
    rows = list(invocation.client.items("applications", application, "versions", query=query, limit=limit))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [(row.get("version"), "yes" if row.get("is_prerelease") else "", " ".join(row.get("files") or [])) for row in rows]
    invocation.output.table(("VERSION", "PRERELEASE", "FILES"), cells, f"The index has no such version of {application}.")


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
            ("Source", describe_source(application)),
            ("Team", application.get("team")),
            *((name.capitalize(), describe_partner(application.get(name))) for name in PARTNERS),
            *((f"Process {name}", command) for name, command in (application.get("processes") or {}).items()),
        )
    )


def describe_source(application):
    """Return where an application comes from, in a few words."""
    source = application.get("source") or {}
    place = source.get("repository") or source.get("package") or ""
    branch = f" ({source['branch']})" if source.get("branch") else ""
    return f"{place}{branch}" + (f" via {source['integration']}" if source.get("integration") else "")


def describe_partner(partner):
    """Return the system that takes part in an application's releases, in a few words; an empty text for None."""
    rest = [str(value) for name, value in (partner or {}).items() if isinstance(value, str) and name != "integration"]
    return " ".join([f"via {partner['integration']}", *rest]) if partner else ""
