"""``windlass webhooks``: URLs that are told what happens."""

import click

from windlass_cli.invocation import Group
from windlass_cli.secrets_in import secret_value

COLUMNS = ("NAME", "URL", "EVENTS", "APPLICATIONS", "ENVIRONMENTS", "STATE")
CHOICES = ("events", "applications", "environments")


@click.group(cls=Group)
def webhooks():
    """List, create and delete URLs that are told what happens."""


@webhooks.command("list")
@click.pass_obj
def list_webhooks(invocation):
    """List the webhooks."""
    rows = list(invocation.client.items("webhooks"))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (
            row.get("name"),
            row.get("url"),
            *(", ".join(row.get(choice) or ["all"]) for choice in CHOICES),
            "left alone" if (row.get("circuit") or {}).get("state") == "open" else "asked",
        )
        for row in rows
    ]
    empty = "There is no webhook yet. Create one: windlass webhooks create chat https://chat.example.net/hooks/1"
    invocation.output.table(COLUMNS, cells, empty)


@webhooks.command("create")
@click.argument("name")
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--event", "events", metavar="EVENT", multiple=True, help="Only this, such as deploy.failed; several times."
)
@click.option(
    "--application", "applications", metavar="APPLICATION", multiple=True, help="Only of this; several times."
)
@click.option(
    "--environment", "environments", metavar="ENVIRONMENT", multiple=True, help="Only in this; several times."
)
@click.option("--ask-secret", is_flag=True, help="Sign with a secret of yours, asked for or read from standard input.")
@click.pass_obj
def create(invocation, name, address, ask_secret, **choices):
    """Tell the URL at ADDRESS what happens, signed; the secret is made and shown this once.

    \b
      windlass webhooks create chat https://chat.example.net/hooks/1 --event deploy.failed
    """
    body = {"name": name, "url": address, **{choice: list(given) for choice, given in choices.items() if given}}
    if ask_secret:
        body["secret"] = secret_value(invocation, "secret")
    made = invocation.client.post("webhooks", body=body)
    if invocation.as_json:
        invocation.output.json(made)
        return
    invocation.output.note(
        f"{made.get('name')} is told from now on. This secret, shown this once, proves what comes from us:"
    )
    invocation.output.line(made.get("secret"))


@webhooks.command("delete")
@click.argument("name")
@click.pass_obj
def delete(invocation, name):
    """Delete a webhook; what waits to be sent to it is given up."""
    invocation.client.get("webhooks", name)  # so that nobody is asked about what does not exist
    invocation.confirm_for_good(f"Delete the webhook {name}, for good?")
    invocation.client.delete("webhooks", name)
    if invocation.as_json:
        invocation.output.json({"name": name, "deleted": True})
    else:
        invocation.output.line(f"{name} is deleted.")
