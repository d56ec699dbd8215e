"""``windlass deploy`` and ``windlass rollback``."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Command
from windlass_cli.display.displays import title
from windlass_cli.display.formats import state
from windlass_cli.jobs.rollouts import (
    LATEST,
    create_release,
    find_release,
    newest_deploy,
    require_success,
    roll_back,
    start_deploy,
)
from windlass_cli.jobs.watch_rollouts import watch_build, watch_deploy


@click.command(cls=Command)
@options.application
@options.release("release", required=False)
@options.environment("--to", required=True, help="The environment to deploy to.")
@click.option("--ref", metavar="REF", help="Build a release of this branch, tag or commit first.")
@click.option("--package-version", metavar="VERSION", help="Build a release of this version of the package first.")
@click.option("--strategy", metavar="KIND", help="Another strategy than the target's, such as rolling or canary.")
@click.option("--batch", metavar="N|P%", help="How many hosts at a time, or which part of them.")
@click.option("--plan", type=click.IntRange(min=1), metavar="PLAN", help="Do exactly what this plan says; see windlass plan.")
@click.option("--comment", metavar="TEXT", help="Why, for whoever reads the history.")
@click.option("--at", "start_at", metavar="TIME", help="Begin then, such as 2026-12-01T06:00:00Z, and not at once.")
@click.option(
    "--override-freeze",
    "override",
    metavar="REASON",
    help="Begin even during a freeze or before its issues are ready; for administrators.",
)
@options.waiting
@click.pass_obj
def deploy(invocation, application, release, environment, ref, package_version, strategy, batch, manner, deadline, **more):
    """Roll a release out to an environment.

    RELEASE is a version, or "latest" for the newest release that is ready. With --ref or --package-version a release is
    built first, and its build waited for.

    On a terminal you are asked once, unless you say --yes. Without a terminal nothing is asked: the command counts.

    \b
      windlass deploy shop v12 --to production --follow
      windlass deploy shop latest --to staging --wait --timeout 600
      windlass deploy shop --ref main --to staging --follow
    """
    _require_one(release, ref, package_version)
    _require_wait(deadline, manner or ref or package_version)
    client, output = invocation.client, invocation.output
    version = release and find_release(client, application, release)["version"]
    invocation.confirm(f"Deploy {application} {version or ref or package_version} to {environment}?")
    if version is None:
        asked = create_release(client, application, ref, package_version)
        version = watch_build(client, output, application, asked, deadline)["version"]
    changed = strategy_of(strategy, batch)
    finish(client, output, start_deploy(client, application, version, environment, changed, **more), manner, deadline)


@click.command(cls=Command)
@options.application
@options.environment("--in", "--from", required=True, help="The environment to go back in.")
@options.waiting
@click.pass_obj
def rollback(invocation, application, environment, manner, deadline):
    """Go back to the release before the newest deploy of an environment.

    This is a deploy of its own. Where the former release's processes still run, only the switch is needed.

    \b
      windlass rollback shop --in production --follow
    """
    _require_wait(deadline, manner)
    client, output = invocation.client, invocation.output
    newest = newest_deploy(client, application, environment)
    back_to = newest.get("previous_release") or "the release before it"
    invocation.confirm(f"Roll {application} in {environment} back from {newest.get('release')} to {back_to}?")
    finish(client, output, roll_back(client, newest), manner, deadline)


def _require_one(release, ref, package_version):
    """Refuse two answers to the question what to deploy, and none."""
    given = [name for name, value in (("RELEASE", release), ("--ref", ref), ("--package-version", package_version)) if value]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} both say what to deploy: give one of them.")
    if not given:
        raise click.UsageError(f'What is to be deployed? Give a RELEASE ("{LATEST}" for the newest one) or --ref REF.')


def _require_wait(deadline, waits):
    if deadline.seconds is not None and not waits:
        raise click.UsageError("--timeout needs something to wait for: add --wait or --follow.")


def strategy_of(kind, batch):
    """Return the strategy's changes as the API takes them, None without any; ``batch`` is ``2`` or ``25%``."""
    given = {"kind": kind, "batch": number_or_text(batch)}
    return {name: value for name, value in given.items() if value is not None} or None


def number_or_text(text):
    """Return a text of digits as the number it is, any other text, and None, as it is."""
    return int(text) if text and text.isascii() and text.isdigit() else text


def finish(client, output, started, manner, deadline):
    """Show a deploy; with a ``manner`` wait for its end first, and fail when it did not succeed."""
    for warning in started.get("warnings") or []:
        output.warning(warning)
    if manner is None:
        show_deploy(output, started)
        output.hint(f"Follow it: windlass logs {started['id']} --follow")
        return
    ended = watch_deploy(client, output, started, manner, deadline)
    show_deploy(output, ended)
    require_success(client, ended)


def show_deploy(output, deploy):
    """Write a deploy as one line of data, or as JSON."""
    if output.as_json:
        output.json(deploy)
        return
    progress = deploy.get("progress") or {}
    hosts = f"  {progress.get('done', 0)}/{progress['total']} hosts" if progress.get("total") else ""
    output.line(f"deploy {deploy.get('id')}  {title(deploy)}  ", state(deploy.get("state")), hosts)
