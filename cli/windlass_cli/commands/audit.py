"""``windlass audit``: who changed what."""

import json

import click

from windlass_cli.command_line.invocation import Command
from windlass_cli.display.formats import clean
from windlass_cli.errors import WindlassError


@click.command(cls=Command)
@click.option("--by", metavar="USER", help="Only what this user did.")
@click.option("--action", metavar="ACTION", help="Such as deploy.create, or deploy for all about deploys.")
@click.option("--subject", metavar="NAME", help="Only what was done to this, such as shop/production.")
@click.option("--since", metavar="TIME", help="Such as 2026-12-01T06:00:00Z.")
@click.option("--until", metavar="TIME", help="Such as 2026-12-02T06:00:00Z.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Most entries shown.")
@click.option("--verify", is_flag=True, help="Instead, prove that no entry was altered, removed or inserted.")
@click.pass_obj
def audit(invocation, limit, verify, **chosen):
    """Show who changed what, newest first. For administrators.

    \b
      windlass audit --by ann --action deploy
      windlass audit --verify
    """
    if verify:
        show_verdict(invocation)
        return
    rows = list(invocation.client.items("audit", limit=limit, **chosen))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (row.get("at"), row.get("actor"), row.get("action"), row.get("subject"), row.get("address"), in_short(row))
        for row in rows
    ]
    invocation.output.table(("AT", "WHO", "WHAT", "OF", "FROM", "WITH"), cells, "Nothing was changed.")


def show_verdict(invocation):
    """Say whether the trail is whole; fail when it is not."""
    verdict = invocation.client.get("audit", "verify")
    if invocation.as_json:
        invocation.output.json(verdict)
    elif verdict.get("ok"):
        invocation.output.line(f"{clean(verdict.get('message'))} The newest seal is {clean(verdict.get('newest_seal'))}.")
    if not verdict.get("ok"):
        raise WindlassError(f"The audit trail was altered. {clean(verdict.get('message'))}")


def in_short(row):
    """Return what else an entry tells, in one line."""
    text = json.dumps(row.get("data") or {}, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:99]}…"
