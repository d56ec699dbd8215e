"""``windlass releases``: what can be deployed."""

import click

from windlass_cli import options
from windlass_cli.commands.rollouts import build
from windlass_cli.errors import BuildFailed
from windlass_cli.invocation import Group
from windlass_cli.output import ago, clean, size, state
from windlass_cli.rollouts import create_release, find_release

COLUMNS = ("VERSION", "STATE", "FROM", "COMMIT", "SIZE", "CREATED")
SHORT = 10  # characters of a commit that tell it from the others


@click.group(cls=Group)
def releases():
    """List, show, create and compare releases."""


@releases.command("list")
@options.application
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to list.")
@click.pass_obj
def list_releases(invocation, application, limit):
    """List the releases of an application, the newest first."""
    rows = list(invocation.client.items("applications", application, "releases", limit=limit))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (
            row.get("version"),
            state(row.get("state")),
            told_origin(row),
            clean(row.get("commit"))[:SHORT],
            size(row.get("size_bytes")),
            ago(row.get("created_at")),
        )
        for row in rows
    ]
    invocation.output.table(
        COLUMNS, cells, empty=f"{application} has no release yet. Make one: windlass releases create {application}"
    )


@releases.command("show")
@options.application
@options.release()
@click.option("--log", is_flag=True, help="Write the output of its build instead.")
@click.pass_obj
def show(invocation, application, version, log):
    """Show a release; "latest" is the newest one that is ready."""
    client, output = invocation.client, invocation.output
    release = find_release(client, application, version)
    if not log:
        show_release(output, release)
        return
    for event in client.items("applications", application, "releases", release["version"], "events"):
        if invocation.as_json:
            output.json_line(event)
        elif event.get("text"):
            output.line(clean(event["text"]).rstrip("\n"))


@releases.command("create")
@options.application
@click.option(
    "--ref", metavar="REF", help="The branch, tag or commit to build; the application's own branch by default."
)
@click.option(
    "--package-version", metavar="VERSION", help="The version of the package, for an application made of one."
)
@click.option("--wait", is_flag=True, help="Wait for the build and show its output; fail when it fails.")
@options.timeout
@click.pass_obj
def create(invocation, application, ref, package_version, wait, deadline):
    """Build a release.

    \b
      windlass releases create shop --ref main --wait
    """
    if ref and package_version:
        raise click.UsageError("--ref and --package-version both say what to build: give one of them.")
    if deadline.seconds is not None and not wait:
        raise click.UsageError("--timeout needs --wait.")
    client, output = invocation.client, invocation.output
    if wait:
        show_release(output, _built(invocation, application, ref, package_version, deadline))
        return
    release = create_release(client, application, ref, package_version)
    show_release(output, release)
    output.hint(f"See how it ends: windlass releases show {application} {release['version']}")


def _built(invocation, application, ref, package_version, deadline):
    """Return the built release; with ``--json`` a failed one is written to stdout before its error."""
    try:
        return build(invocation.client, invocation.output, application, ref, package_version, deadline)
    except BuildFailed as error:
        if invocation.as_json:
            invocation.output.json(error.release)
        raise


@releases.command("compare")
@options.application
@options.release("old", metavar="OLD")
@options.release("new", metavar="NEW")
@click.pass_obj
def compare(invocation, application, old, new):
    """Show what changed from one release to another: commits, files and dependencies."""
    client, output = invocation.client, invocation.output
    pair = [find_release(client, application, version)["version"] for version in (old, new)]
    changes = client.get("applications", application, "releases", pair[0], "compare", pair[1])
    if invocation.as_json:
        output.json(changes)
        return
    for heading, member, told in (
        ("Commits", "commits", _told_commit),
        ("Files", "files", _told_file),
        ("Dependencies", "dependencies", _told_dependency),
    ):
        rows = changes.get(member) or []
        output.line(f"{heading} ({len(rows)})")
        for row in rows:
            output.line("  ", told(row) if isinstance(row, dict) else row)


def show_release(output, release):
    """Write one release as a record, or as JSON."""
    if output.as_json:
        output.json(release)
        return
    output.record(
        (
            ("Version", release.get("version")),
            ("State", state(release.get("state"))),
            ("From", told_origin(release)),
            ("Commit", release.get("commit")),
            ("Digest", release.get("digest")),
            ("Lock", release.get("lock_digest")),
            ("Size", size(release.get("size_bytes"))),
            ("Created", release.get("created_at")),
            ("Error", release.get("error")),
        )
    )


def told_origin(release):
    """Return what a release was built from: a git reference or a package's version."""
    return release.get("ref") or release.get("package_version") or ""


def _told_commit(row):
    commit = clean(row.get("commit") or row.get("id"))[:SHORT]
    subject = clean(row.get("subject") or row.get("message")).partition("\n")[0]
    return "  ".join(part for part in (commit, subject, clean(row.get("author"))) if part)


def _told_file(row):
    return "  ".join(part for part in (clean(row.get("status") or row.get("change")), clean(row.get("path"))) if part)


def _told_dependency(row):
    before, after = clean(row.get("before") or row.get("old")), clean(row.get("after") or row.get("new"))
    return f"{clean(row.get('name'))}  {before or '-'} → {after or '-'}"
