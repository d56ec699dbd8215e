"""``windlass deliveries`` and ``windlass deploys changelog``: what a deploy brings, and who was told."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Command, Group
from windlass_cli.display.formats import ago, clean, state

COLUMNS = ("DELIVERY", "DEPLOY", "INTEGRATION", "ACTION", "SUBJECT", "STATE", "ATTEMPTS", "CREATED", "MESSAGE")
SHOWN = 20
SHORT = 10  # characters of a commit's name
number_of_delivery = click.argument("delivery", metavar="DELIVERY", type=click.IntRange(min=1))


@click.group(cls=Group)
def deliveries():
    """List what other systems were told, and send it again."""


@deliveries.command("list")
@click.option("--deploy", "deploy", metavar="DEPLOY", type=click.IntRange(min=1), help="Only because of this deploy.")
@click.option("--integration", metavar="INTEGRATION", help="Only to this integration or webhook; not with --deploy.")
@click.option(
    "--state",
    "wanted",
    metavar="STATE",
    help="Only in this state: waiting, delivered, failed or superseded; not with --deploy.",
)
@click.option("--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="How many to list.")
@click.pass_obj
def list_deliveries(invocation, deploy, integration, wanted, limit):
    """List deliveries, the newest first.

    \b
      windlass deliveries list --deploy 17
      windlass deliveries list --state failed
    """
    if deploy and (integration or wanted):
        raise click.UsageError("--deploy shows all of a deploy's deliveries: leave out --integration and --state.")
    path = ("deploys", deploy, "deliveries") if deploy else ("deliveries",)
    rows = list(invocation.client.items(*path, limit=limit, integration=integration, state=wanted))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    invocation.output.table(COLUMNS, [_row(row) for row in rows], "No such delivery.")


def _row(row):
    return (
        row.get("id"),
        row.get("deploy"),
        row.get("integration"),
        row.get("action"),
        row.get("subject"),
        state(row.get("state")),
        row.get("attempts"),
        ago(row.get("created_at")),
        row.get("error"),
    )


@deliveries.command("show")
@number_of_delivery
@click.pass_obj
def show(invocation, delivery):
    """Show a delivery; with --json, what is said too."""
    _tell(invocation, invocation.client.get("deliveries", delivery))


@deliveries.command("resend")
@number_of_delivery
@click.pass_obj
def resend(invocation, delivery):
    """Send a delivery again, now, also when it was given up or has been delivered."""
    _tell(invocation, invocation.client.post("deliveries", delivery, "resend"))


def _tell(invocation, found):
    """Write one delivery."""
    if invocation.as_json:
        invocation.output.json(found)
        return
    names = ("id", "application", "release", "environment", "deploy", "integration", "action", "subject")
    fields = {name: found.get(name) for name in names}
    rest = {"state": state(found.get("state")), "attempts": found.get("attempts"), "next attempt": found.get("due_at")}
    invocation.output.record({**fields, **rest, "message": found.get("error")}.items())


@click.command("changelog", cls=Command)
@options.deploy
@click.pass_obj
def changelog(invocation, number):
    """Show what a deploy brings: commits, issues and pull requests since what ran before."""
    found = invocation.client.get("deploys", number, "changelog")
    output = invocation.output
    if invocation.as_json:
        output.json(found)
        return
    for text in found.get("notes") or []:
        output.warning(text)
    is_pending = found.get("state") == "pending"
    output.note("What it brings is being found out: ask again in a moment." if is_pending else _summary(found))
    for commit in found.get("commits") or []:
        output.line(f"{clean(commit.get('commit'))[:SHORT]}  {clean(commit.get('subject'))} ({clean(commit.get('author'))})")
    for issue in found.get("issues") or []:
        output.line(" · ".join(clean(issue[name]) for name in ("key", "title", "state", "url") if issue.get(name)))
    for request in found.get("pull_requests") or []:
        output.line(
            " · ".join(clean(part) for part in (f"#{request.get('number')}", request.get("title"), request.get("url")) if part)
        )


def _summary(found):
    """Return in one line from where to where a deploy goes."""
    before, to, commits = found.get("from"), found.get("to"), found.get("commits")
    if not before:
        return f"{to}; nothing of it ran there before."
    if commits is None:
        return f"{before} → {to}; the commits between them are not known."
    way = "takes away" if found.get("is_going_back") else "brings"
    return f"{before} → {to}: {way} {len(commits)} commit{'' if len(commits) == 1 else 's'}."
