"""``windlass environments``: staging, production, …"""

import click

from windlass_cli.command_line.invocation import Group


@click.group(cls=Group)
def environments():
    """Say which environments there are, in which order, and how they are protected."""


@environments.command("list")
@click.pass_obj
def list_environments(invocation):
    """List the environments in their order of promotion."""
    rows = list(invocation.client.items("environments"))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    empty = "There is no environment yet. Create one: windlass environments create staging"
    cells = [(row.get("name"), row.get("position"), row.get("approvals"), row.get("promote_from")) for row in rows]
    invocation.output.table(("NAME", "POSITION", "APPROVALS", "PROMOTED FROM"), cells, empty)


@environments.command("create")
@click.argument("name")
@click.option("--position", type=click.IntRange(min=0), help="Its place in the order of promotion; the last by default.")
@click.pass_obj
def create(invocation, name, position):
    """Create an environment."""
    body = {"name": name} if position is None else {"name": name, "position": position}
    made = invocation.client.post("environments", body=body)
    if invocation.as_json:
        invocation.output.json(made)
    else:
        invocation.output.line(f"{made.get('name')} is there.")


@environments.command("set")
@click.argument("name")
@click.option("--position", type=click.IntRange(min=0), help="Its place in the order of promotion.")
@click.option("--approvals", type=click.IntRange(min=0), help="How many other people must agree to a deploy.")
@click.option("--promote-from", metavar="ENVIRONMENT", help="Take only releases that have succeeded there.")
@click.option("--promote-from-anywhere", is_flag=True, help="Take every release.")
@click.pass_obj
def set_environment(invocation, name, position, approvals, promote_from, promote_from_anywhere):
    """Change an environment's place in the order, or its protection.

    Protection is for administrators.

    \b
      windlass environments set production --approvals 1 --promote-from staging
    """
    if promote_from and promote_from_anywhere:
        raise click.UsageError("--promote-from and --promote-from-anywhere exclude each other.")
    given = {"position": position, "approvals": approvals, "promote_from": promote_from}
    body = {key: value for key, value in given.items() if value is not None}
    if promote_from_anywhere:
        body["promote_from"] = None
    if not body:
        raise click.UsageError("What is to be changed? Give one of the options.")
    changed = invocation.client.patch("environments", name, body=body)
    if invocation.as_json:
        invocation.output.json(changed)
        return
    source = f", only what has succeeded in {changed['promote_from']}" if changed.get("promote_from") else ""
    needed = changed.get("approvals") or "no"
    invocation.output.line(f"{changed.get('name')} needs {needed} approval{'' if needed == 1 else 's'}{source}.")


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
