"""``windlass zones``: network segments, each with workers and an SSH key pair of its own."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Group


@click.group(cls=Group)
def zones():
    """Say which network segments there are, and see their public keys."""


@zones.command("list")
@click.pass_obj
def list_zones(invocation):
    """List the zones."""
    rows = list(invocation.client.items("zones"))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [(row.get("name"), row.get("public_key") or "none yet: no worker of this zone runs") for row in rows]
    invocation.output.table(("NAME", "PUBLIC KEY"), cells, "There is no zone. Create one: windlass zones create dmz")


@zones.command("show")
@options.zone
@click.pass_obj
def show(invocation, zone):
    """Write a zone's public key, as it belongs into .ssh/authorized_keys on its hosts.

    \b
      windlass zones show default | ssh root@app1 'cat >> ~deploy/.ssh/authorized_keys'
    """
    _show_key(invocation, invocation.client.get("zones", zone))


@zones.command("create")
@click.argument("name")
@click.pass_obj
def create(invocation, name):
    """Make a zone. A worker that serves it makes its key pair soon after."""
    made = invocation.client.post("zones", body={"name": name})
    if invocation.as_json:
        invocation.output.json(made)
        return
    invocation.output.line(f"{made.get('name')} is there.")
    invocation.output.hint(
        f"See its public key once a worker of it runs (the setting worker.zones): windlass zones show {made.get('name')}"
    )


@zones.command("refresh")
@options.zone
@click.pass_obj
def refresh(invocation, zone):
    """Have a worker tell the public key of the private one that it holds now, when that was replaced."""
    _show_key(invocation, invocation.client.patch("zones", zone, body={"public_key": None}))


@zones.command("delete")
@options.zone
@click.pass_obj
def delete(invocation, zone):
    """Delete a zone; refused while it has hosts. Its key pair stays with the workers that made it."""
    invocation.client.get("zones", zone)  # so that nobody is asked about what does not exist
    invocation.confirm_for_good(f"Delete the zone {zone}, for good?")
    invocation.client.delete("zones", zone)
    if invocation.as_json:
        invocation.output.json({"name": zone, "deleted": True})
    else:
        invocation.output.line(f"{zone} is deleted.")


def _show_key(invocation, zone):
    """Write a zone's public key, or say that there is none yet."""
    if invocation.as_json:
        invocation.output.json(zone)
    elif zone.get("public_key"):
        invocation.output.line(zone["public_key"])
    else:
        name = zone.get("name")
        invocation.output.note(f"{name} has no public key yet.")
        invocation.output.hint(f"Once a worker of it runs: windlass zones show {name}")
