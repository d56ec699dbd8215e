"""``windlass tokens``: what programs and people prove themselves with."""

import click

from windlass_cli.command_line.invocation import Group
from windlass_cli.display.formats import ago

COLUMNS = ("TOKEN", "NAME", "USER", "CREATED", "LAST USED", "EXPIRES")


@click.group(cls=Group)
def tokens():
    """List, create, change and revoke API tokens."""


@tokens.command("list")
@click.pass_obj
def list_tokens(invocation):
    """List your tokens; administrators see everybody's."""
    rows = list(invocation.client.items("tokens"))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (
            row.get("id"),
            row.get("name"),
            row.get("user"),
            ago(row.get("created_at")),
            ago(row.get("last_used_at")) or "never",
            row.get("expires_at") or "never",
        )
        for row in rows
    ]
    invocation.output.table(COLUMNS, cells, "There is no token yet. Create one: windlass tokens create ci")


@tokens.command("create")
@click.argument("name")
@click.option("--expires", metavar="TIME", help="When it ends, such as 2027-01-01T00:00:00Z; never by default.")
@click.option("--user", metavar="USER", help="Whose it is to be; for administrators.")
@click.pass_obj
def create(invocation, name, expires, user):
    """Make a token and write its secret to stdout, this once.

    \b
      windlass tokens create ci --expires 2027-01-01T00:00:00Z > token
    """
    given = {"name": name, "expires_at": expires, "user": user}
    made = invocation.client.post("tokens", body={key: value for key, value in given.items() if value is not None})
    if invocation.as_json:
        invocation.output.json(made)
        return
    invocation.output.note(f"Token {made.get('id')}, {made.get('name')}, of {made.get('user')}. It is never shown again:")
    invocation.output.line(made.get("secret"))


@tokens.command("set")
@click.argument("number", metavar="TOKEN", type=click.IntRange(min=1))
@click.option("--name", metavar="NAME", help="What it is called from now on.")
@click.option("--expires", metavar="TIME", help="When it ends, such as 2027-01-01T00:00:00Z, or never.")
@click.pass_obj
def set_token(invocation, number, name, expires):
    """Change a token's name or end, by its number; its secret stays.

    \b
      windlass tokens set 4 --expires 2027-06-01T00:00:00Z
    """
    body = {"name": name} if name else {}
    if expires:
        body["expires_at"] = None if expires == "never" else expires
    if not body:
        raise click.UsageError("What is to be changed? Give --name or --expires.")
    changed = invocation.client.patch("tokens", number, body=body)
    if invocation.as_json:
        invocation.output.json(changed)
        return
    invocation.output.line(
        f"Token {number}, {changed.get('name')} of {changed.get('user')}, ends {changed.get('expires_at') or 'never'}."
    )


@tokens.command("revoke")
@click.argument("number", metavar="TOKEN", type=click.IntRange(min=1))
@click.pass_obj
def revoke(invocation, number):
    """Revoke a token, by its number: from the next request on it is refused."""
    found = invocation.client.get("tokens", number)  # so that nobody is asked about what does not exist
    invocation.confirm_for_good(f"Revoke the token {number}, {found.get('name')} of {found.get('user')}, for good?")
    invocation.client.delete("tokens", number)
    if invocation.as_json:
        invocation.output.json({"id": number, "revoked": True})
    else:
        invocation.output.line(f"Token {number} is revoked.")
