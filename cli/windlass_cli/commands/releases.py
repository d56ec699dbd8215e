"""``windlass releases``: what can be deployed."""

import click
from rich.text import Text

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Group
from windlass_cli.display.formats import ago, clean, size, state
from windlass_cli.errors import BuildFailed
from windlass_cli.jobs.rollouts import await_build_end, create_release, find_release, having
from windlass_cli.jobs.watch_rollouts import watch_build

COLUMNS = ("VERSION", "STATE", "FROM", "COMMIT", "SIZE", "CREATED")
SHORT = 10  # characters of a commit that tell it from the others


@click.group(cls=Group)
def releases():
    """List, show, create, cancel and compare releases."""


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
            origin_of(row),
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
@click.option("--ref", metavar="REF", help="The branch, tag or commit to build; the application's own branch by default.")
@click.option("--package-version", metavar="VERSION", help="The version of its package; the newest by default.")
@click.option("--upgrade-dependencies", is_flag=True, help="Resolve anew what the application keeps without hashes.")
@click.option("--wait", is_flag=True, help="Wait for the build and show its output; fail when it fails.")
@options.timeout
@click.pass_obj
def create(invocation, application, ref, package_version, upgrade_dependencies, wait, deadline):
    """Build a release.

    \b
      windlass releases create shop --ref main --wait
    """
    if ref and package_version:
        raise click.UsageError("--ref and --package-version both say what to build: give one of them.")
    if deadline.seconds is not None and not wait:
        raise click.UsageError("--timeout needs --wait.")
    client, output = invocation.client, invocation.output
    release = create_release(client, application, ref, package_version, upgrade_dependencies)
    if wait:
        release = _built(client, output, application, release, deadline)
    show_release(output, release)
    if not wait:
        output.hint(f"See how it ends: windlass releases show {application} {release['version']}")


def _built(client, output, application, release, deadline):
    """Return the built release; with ``--json`` a failed one is written to stdout before its error."""
    try:
        return watch_build(client, output, application, release, deadline)
    except BuildFailed as error:
        if output.as_json:
            output.json(error.release)
        raise


@releases.command("cancel")
@options.application
@options.release()
@click.option("--wait", is_flag=True, help="Wait until the build has ended.")
@options.timeout
@click.pass_obj
def cancel(invocation, application, version, wait, deadline):
    """End the build of a release, here and in the system that does it; the release fails.

    \b
      windlass releases cancel shop v12 --wait
    """
    if deadline.seconds is not None and not wait:
        raise click.UsageError("--timeout needs --wait.")
    client, output = invocation.client, invocation.output
    release = having(client.post("applications", application, "releases", version, "cancel"), "version")
    if wait:
        release = await_build_end(client, application, version, lambda event: None, deadline)
    show_release(output, release)
    if release.get("state") == "building":
        output.hint(f"It ends as soon as its build has: windlass releases show {application} {version}")


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
    for heading, lines in describe_changes(changes):
        output.line(Text(heading, style="bold"))
        for line in lines:
            output.line("  ", line)


def describe_changes(changes):
    """Yield (heading, lines) for everything that differs between two releases, and for what the server cannot tell."""
    dependencies = changes.get("dependencies") or {}
    dependency_rows = [{**row, "change": kind} for kind, rows in dependencies.items() for row in rows]
    parts = (
        ("Commits", changes.get("commits"), _commit_line),
        ("Commits that are left out", changes.get("reverted_commits") or [], _commit_line),
        ("Files", changes.get("files"), _file_line),
        ("Dependencies", dependency_rows, _dependency_line),
    )
    python = changes.get("python") or {}
    for heading, rows, line_of in parts:
        if rows:
            yield heading, [line_of(row) for row in rows]
        elif rows is None:
            yield f"{heading}: not known to the server any more", []
    if python.get("from") != python.get("to"):
        yield f"Python {python.get('from')} → {python.get('to')}", []
    elif all(rows == [] for _, rows, _ in parts):
        yield "Nothing differs.", []


def show_release(output, release):
    """Write one release as a record, or as JSON."""
    if output.as_json:
        output.json(release)
        return
    output.record(
        (
            ("Version", release.get("version")),
            ("State", state(release.get("state"))),
            ("From", origin_of(release)),
            ("Commit", release.get("commit")),
            ("Digest", release.get("digest")),
            ("Lock", release.get("lock_digest")),
            ("Size", size(release.get("size_bytes"))),
            ("Cancelled by", release.get("cancel_requested_by")),
            ("Created", release.get("created_at")),
            ("Error", release.get("error")),
        )
    )


def origin_of(release):
    """Return what a release was built from: a git reference or a package's version."""
    return release.get("ref") or release.get("package_version") or ""


def _commit_line(row):
    return "  ".join(filter(None, (clean(row.get("commit"))[:SHORT], clean(row.get("subject")), clean(row.get("author")))))


def _file_line(row):
    return f"{clean(row.get('change')):7}  {clean(row.get('path'))}"


def _dependency_line(row):
    was, now = row.get("from"), row.get("to")
    versions = f"{clean(was)} → {clean(now)}" if was or now else clean(row.get("version"))
    return f"{clean(row.get('change')):7}  {clean(row.get('name'))} {versions}"
