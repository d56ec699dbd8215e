"""``windlass integrations``: the foreign systems."""

import click

from windlass_cli import options
from windlass_cli.errors import WindlassError
from windlass_cli.invocation import Group

COLUMNS = ("NAME", "DRIVER", "ROLES", "URL", "STATE")
DRIVER_COLUMNS = ("DRIVER", "ROLE", "CREDENTIALS", "HOOKS", "WHAT IT IS")


@click.group(cls=Group)
def integrations():
    """List the configured foreign systems and try them out."""


@integrations.command("list")
@click.pass_obj
def list_integrations(invocation):
    """List the integrations."""
    rows = list(invocation.client.items("integrations"))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (
            row.get("name"),
            row.get("driver"),
            ",".join(row.get("roles") or []),
            row.get("url"),
            told_circuit(row.get("circuit") or {}),
        )
        for row in rows
    ]
    invocation.output.table(COLUMNS, cells, "There is no integration yet.")


@integrations.command("show")
@options.integration
@click.pass_obj
def show(invocation, integration):
    """Show an integration; of its credentials only the names are known."""
    found = invocation.client.get("integrations", integration)
    if invocation.as_json:
        invocation.output.json(found)
        return
    circuit = found.get("circuit") or {}
    names = found.get("credentials")
    fields = {
        "name": found.get("name"),
        "driver": found.get("driver"),
        "roles": ", ".join(found.get("roles") or []),
        "url": found.get("url"),
        "credentials": "lost: enter them again" if names is None else ", ".join(names) or "none",
        "settings": ", ".join(sorted(found.get("settings") or {})) or "none",
        "state": told_circuit(circuit),
        "reason": circuit.get("reason"),
    }
    invocation.output.record(fields.items())


@integrations.command("test")
@options.integration
@click.option("--repository", metavar="REPOSITORY", help="A repository to look at, of a system that keeps code.")
@click.pass_obj
def test(invocation, integration, repository):
    """Try an integration out. Fails when something does not work.

    \b
      windlass integrations test stash --repository SHOP/web
    """
    found = invocation.client.post(
        "integrations", integration, "test", body={"repository": repository} if repository else {}
    )
    if invocation.as_json:
        invocation.output.json(found)
    else:
        for check in found.get("checks") or []:
            invocation.output.line(
                f"{'works' if check.get('ok') else 'fails'}  {check.get('name')}: {check.get('message')}"
            )
    if not found.get("ok"):
        raise WindlassError(f"{integration} does not work as it should.")
    version = f" (version {found['version']})" if found.get("version") else ""
    invocation.output.note(f"{integration} works{version}.")


@integrations.command("drivers")
@click.pass_obj
def drivers(invocation):
    """List the kinds of systems that an integration can be of."""
    rows = invocation.client.get("integrations", "drivers").get("items") or []
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (
            row.get("name"),
            row.get("role"),
            ",".join(kind["name"] for kind in row.get("credential_kinds") or []),
            "yes" if row.get("takes_hooks") else "",
            row.get("summary"),
        )
        for row in rows
    ]
    invocation.output.table(DRIVER_COLUMNS, cells, "The server knows no driver.")


def told_circuit(circuit):
    """Return whether a system is asked at all, as people read it."""
    if circuit.get("state") == "open":
        return f"left alone until {circuit['until']}" if circuit.get("until") else "credentials refused"
    return "asked"
