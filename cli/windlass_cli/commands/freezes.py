"""``windlass freezes``: times in which nobody deploys."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Group
from windlass_cli.display.formats import clean

WEEKLY = ("begins", "ends", "timezone")


@click.group(cls=Group)
def freezes():
    """Say when nobody deploys."""


@freezes.command("list")
@click.pass_obj
def list_freezes(invocation):
    """List the freezes."""
    rows = list(invocation.client.items("freezes"))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [(row.get("name"), _when(row), _scope(row), "yes" if row.get("active") else "-", row.get("reason")) for row in rows]
    invocation.output.table(("FREEZE", "WHEN", "OF", "NOW", "REASON"), cells, "There is no freeze.")


#: When a freeze is and what it is about, whether it is new or not.
_details = options.together(
    click.option(
        "--from",
        "starts_at",
        metavar="TIME",
        help="When it begins, such as 2026-12-20T00:00:00Z; with --until.",
    ),
    click.option("--until", "ends_at", metavar="TIME", help="When it ends."),
    click.option(
        "--weekly",
        nargs=3,
        metavar="BEGIN END ZONE",
        help='Instead, every week: "fri 16:00" "mon 08:00" Europe/Berlin.',
    ),
    click.option("--application", "applications", metavar="APPLICATION", multiple=True, help="Only this; several times."),
    click.option("--environment", "environments", metavar="ENVIRONMENT", multiple=True, help="Only this; several times."),
)


@freezes.command("create")
@click.argument("name", metavar="NAME")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for whoever wants to deploy.")
@_details
@click.pass_obj
def create(invocation, name, **given):
    """Make a freeze: once, or every week. For administrators.

    \b
      windlass freezes create xmas --reason holidays --from 2026-12-20T00:00:00Z --until 2027-01-02T00:00:00Z
      windlass freezes create weekend --reason weekend --weekly "fri 16:00" "mon 08:00" Europe/Berlin
    """
    body = _fields_of(**given)
    if not ("weekly" in body or ("starts_at" in body and "ends_at" in body)):
        raise click.UsageError("Give either --from and --until, or --weekly.")
    _show_freeze(invocation, invocation.client.post("freezes", body={"name": name, **body}))


@freezes.command("set")
@click.argument("name", metavar="NAME")
@click.option("--reason", metavar="TEXT", help="Why, for whoever wants to deploy.")
@_details
@click.option("--everything", is_flag=True, help="Of all applications, in all environments.")
@click.pass_obj
def set_freeze(invocation, name, everything, **given):
    """Change a freeze. What is not given stays as it is. For administrators.

    \b
      windlass freezes set xmas --until 2027-01-05T00:00:00Z
    """
    if everything and (given["applications"] or given["environments"]):
        raise click.UsageError("--everything excludes --application and --environment.")
    body = _fields_of(**given)
    if "weekly" in body:
        body |= {"starts_at": None, "ends_at": None}
    elif "starts_at" in body and "ends_at" in body:
        body["weekly"] = None
    if everything:
        body |= {"applications": None, "environments": None}
    if not body:
        raise click.UsageError("What is to be changed? Give one of the options.")
    _show_freeze(invocation, invocation.client.patch("freezes", name, body=body))


def _fields_of(reason, starts_at, ends_at, weekly, applications, environments):
    """Return what was said of a freeze as the API takes it; UsageError for two times."""
    if weekly and (starts_at or ends_at):
        raise click.UsageError("Give either --from and --until, or --weekly.")
    given = {
        "reason": reason,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "weekly": dict(zip(WEEKLY, weekly, strict=True)) if weekly else None,
        "applications": list(applications) or None,
        "environments": list(environments) or None,
    }
    return {key: value for key, value in given.items() if value is not None}


def _show_freeze(invocation, freeze):
    """Write one freeze as a line, or as JSON."""
    if invocation.as_json:
        invocation.output.json(freeze)
    else:
        invocation.output.line(f"Freeze {clean(freeze.get('name'))}: {_when(freeze)}, of {_scope(freeze)}.")


@freezes.command("delete")
@click.argument("name", metavar="NAME")
@click.pass_obj
def delete(invocation, name):
    """Delete a freeze; what waited for its end goes on. For administrators."""
    invocation.client.delete("freezes", name)
    if invocation.as_json:
        invocation.output.json({"name": name, "deleted": True})
    else:
        invocation.output.line(f"Freeze {name} is deleted.")


def _when(freeze):
    """Return when a freeze holds, in words."""
    weekly = freeze.get("weekly")
    if weekly:
        return clean(f"every week {weekly.get('begins')} to {weekly.get('ends')} {weekly.get('timezone')}")
    return clean(f"{freeze.get('starts_at')} to {freeze.get('ends_at')}")


def _scope(freeze):
    """Return what a freeze is about, in words."""
    parts = [", ".join(freeze.get("applications") or ["everything"])]
    if freeze.get("environments"):
        parts.append(f"in {', '.join(freeze['environments'])}")
    return clean(" ".join(parts))
