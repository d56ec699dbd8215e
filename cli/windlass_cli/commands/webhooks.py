"""``windlass webhooks``: URLs that are told what happens."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Group
from windlass_cli.command_line.secret_options import secret_value
from windlass_cli.display.formats import circuit_text

COLUMNS = ("NAME", "URL", "EVENTS", "APPLICATIONS", "ENVIRONMENTS", "STATE")
CHOICES = ("events", "applications", "environments")


@click.group(cls=Group)
def webhooks():
    """Configure URLs that are told what happens."""


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
            _state_text(row),
        )
        for row in rows
    ]
    empty = "There is no webhook yet. Create one: windlass webhooks create chat https://chat.example.net/hooks/1"
    invocation.output.table(COLUMNS, cells, empty)


@webhooks.command("show")
@click.argument("name")
@click.pass_obj
def show(invocation, name):
    """Show a webhook: where it goes and what it is told."""
    _show_webhook(invocation.output, invocation.client.get("webhooks", name))


#: Which messages a URL is told, and of the secret that proves them.
_choices = options.together(
    click.option(
        "--event",
        "events",
        metavar="EVENT",
        multiple=True,
        help="Only this, such as deploy.failed; several times.",
    ),
    click.option(
        "--application",
        "applications",
        metavar="APPLICATION",
        multiple=True,
        help="Only of this; several times.",
    ),
    click.option(
        "--environment",
        "environments",
        metavar="ENVIRONMENT",
        multiple=True,
        help="Only in this; several times.",
    ),
    click.option("--ask-secret", is_flag=True, help="Sign with a secret of yours, asked for or read from standard input."),
)


@webhooks.command("create")
@click.argument("name")
@click.argument("address", metavar="ADDRESS")
@_choices
@click.pass_obj
def create(invocation, name, address, ask_secret, **choices):
    """Tell the URL at ADDRESS what happens, signed; the secret is made and shown this once.

    \b
      windlass webhooks create chat https://chat.example.net/hooks/1 --event deploy.failed
    """
    body = {"name": name, "url": address, **_given(choices)}
    if ask_secret:
        body["secret"] = secret_value(invocation, "secret")
    made = invocation.client.post("webhooks", body=body)
    if invocation.as_json:
        invocation.output.json(made)
        return
    invocation.output.note(f"{made.get('name')} is told from now on. This secret, shown this once, proves what comes from us:")
    invocation.output.line(made.get("secret"))


@webhooks.command("set")
@click.argument("name")
@click.option("--address", metavar="URL", help="Where it is told; needs --ask-secret.")
@_choices
@click.option("--on/--off", "enabled", default=None, help="Tell it again, or nothing for now.")
@click.pass_obj
def set_webhook(invocation, name, address, ask_secret, enabled, **choices):
    """Change a webhook. What is not given stays as it is; a list that is given replaces the former one.

    \b
      windlass webhooks set chat --environment production
      windlass webhooks set chat --event "*" --environment "*"
      windlass webhooks set chat --address https://chat.example.net/hooks/2 --ask-secret < secret
    """
    body = {**({"url": address} if address else {}), **_given(choices)}
    if enabled is not None:
        body["enabled"] = enabled
    if not body and not ask_secret:
        raise click.UsageError("What is to be changed? Give one of the options.")
    if address and not ask_secret:
        raise click.UsageError("Another address needs a secret with it: add --ask-secret.")
    if ask_secret:
        body["secret"] = secret_value(invocation, "secret")
    _show_webhook(invocation.output, invocation.client.patch("webhooks", name, body=body))


def _given(choices):
    """Return what was said of the messages to tell."""
    return {choice: list(given) for choice, given in choices.items() if given}


def _state_text(webhook):
    """Return whether a URL is told at all, as people read it."""
    return "off" if webhook.get("enabled") is False else circuit_text(webhook.get("circuit") or {})


def _show_webhook(output, webhook):
    """Write one webhook as a record, or as JSON."""
    if output.as_json:
        output.json(webhook)
        return
    circuit = webhook.get("circuit") or {}
    output.record(
        (
            ("Name", webhook.get("name")),
            ("URL", webhook.get("url")),
            *((choice.capitalize(), ", ".join(webhook.get(choice) or ["all"])) for choice in CHOICES),
            ("State", _state_text(webhook)),
            ("Reason", circuit.get("reason")),
            ("Changed", webhook.get("updated_at")),
        )
    )


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
