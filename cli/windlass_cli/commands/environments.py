"""``windlass environments``: staging, production, …"""

import click

from windlass_cli.invocation import Group


@click.group(cls=Group)
def environments():
    """List, create and delete environments."""


@environments.command("list")
@click.pass_obj
def list_environments(invocation):
    """List the environments in their order of promotion."""
    rows = list(invocation.client.items("environments"))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    empty = "There is no environment yet. Create one: windlass environments create staging"
    invocation.output.table(("NAME", "POSITION"), [(row.get("name"), row.get("position")) for row in rows], empty)


@environments.command("create")
@click.argument("name")
@click.option(
    "--position", type=click.IntRange(min=0), help="Its place in the order of promotion; the last by default."
)
@click.pass_obj
def create(invocation, name, position):
    """Create an environment."""
    body = {"name": name} if position is None else {"name": name, "position": position}
    made = invocation.client.post("environments", body=body)
    if invocation.as_json:
        invocation.output.json(made)
    else:
        invocation.output.line(f"{made.get('name')} is there.")


@environments.command("delete")
@click.argument("name")
@click.pass_obj
def delete(invocation, name):
    """Delete an environment.

    The server refuses that while something is or was deployed to it.
    """
    invocation.client.get("environments", name)  # so that nobody is asked about what does not exist
    invocation.confirm_for_good(f"Delete the environment {name}, for good?")
    invocation.client.delete("environments", name)
    if invocation.as_json:
        invocation.output.json({"name": name, "deleted": True})
    else:
        invocation.output.line(f"{name} is deleted.")
