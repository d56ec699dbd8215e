"""``windlass integrations``: the foreign systems."""

import json

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Group
from windlass_cli.command_line.secret_options import secret_values, secrets_option
from windlass_cli.display.formats import ago, circuit_text, state
from windlass_cli.errors import WindlassError

COLUMNS = ("NAME", "DRIVER", "ROLES", "URL", "STATE")
DRIVER_COLUMNS = ("DRIVER", "ROLE", "CREDENTIALS", "HOOKS", "WHAT IT IS")


@click.group(cls=Group)
def integrations():
    """Configure the foreign systems and try them out."""


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
            circuit_text(row.get("circuit") or {}),
        )
        for row in rows
    ]
    invocation.output.table(COLUMNS, cells, "There is no integration yet. Create one: windlass integrations create --help")


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
        **{f"setting {name}": _setting_text(value) for name, value in sorted((found.get("settings") or {}).items())},
        "state": circuit_text(circuit),
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
    found = invocation.client.post("integrations", integration, "test", body={"repository": repository} if repository else {})
    if invocation.as_json:
        invocation.output.json(found)
    else:
        for check in found.get("checks") or []:
            invocation.output.line(f"{'works' if check.get('ok') else 'fails'}  {check.get('name')}: {check.get('message')}")
    if not found.get("ok"):
        raise WindlassError(f"{integration} does not work as it should.")
    version = f" (version {found['version']})" if found.get("version") else ""
    invocation.output.note(f"{integration} works{version}.")


@integrations.command("repositories")
@options.integration
@options.chosen_from
@click.pass_obj
def repositories(invocation, integration, query, limit):
    """List the repositories that an integration can see, as an application's source names them.

    \b
      windlass integrations repositories stash --query web
    """
    rows = list(invocation.client.items("integrations", integration, "repositories", query=query, limit=limit))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [(row.get("name"), row.get("default_branch"), row.get("url")) for row in rows]
    empty = f"{integration} shows no such repository. See what its credentials may: windlass integrations test {integration}"
    invocation.output.table(("REPOSITORY", "DEFAULT BRANCH", "URL"), cells, empty)


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


#: What is said of a system, whether it is new or not.
_details = options.together(
    click.option("--address", metavar="URL", help="Where it is; the driver's own by default."),
    click.option(
        "--credential",
        "plain",
        metavar="NAME=VALUE",
        multiple=True,
        help="One that is no secret: username=deploy.",
    ),
    secrets_option("A credential that is one, such as token."),
    click.option("--setting", "chosen", metavar="NAME=VALUE", multiple=True, help="A setting; the value as JSON or text."),
)


@integrations.command("create")
@click.argument("name")
@click.option("--driver", required=True, metavar="DRIVER", help='What it is, see "windlass integrations drivers".')
@_details
@click.pass_obj
def create(invocation, name, driver, address, plain, secrets, chosen):
    """Configure a foreign system.

    \b
      windlass integrations create stash --driver bitbucket-server --address https://stash.example.net \\
          --secret token < token-file
    """
    credentials = _credentials(invocation, plain, secrets)
    given = {"name": name, "driver": driver, "url": address, "credentials": credentials, "settings": _settings(chosen)}
    made = invocation.client.post("integrations", body={key: value for key, value in given.items() if value})
    if invocation.as_json:
        invocation.output.json(made)
        return
    invocation.output.line(f"{made.get('name')} is there.")
    invocation.output.hint(f"Try it out: windlass integrations test {made.get('name')}")


@integrations.command("set")
@options.integration
@_details
@click.option("--no-credentials", is_flag=True, help="Take its credentials away.")
@click.option("--unset", metavar="NAME", multiple=True, help="Take a setting away; several times.")
@click.pass_obj
def set_integration(invocation, integration, address, plain, secrets, chosen, no_credentials, unset):
    """Change a foreign system. What is not given stays as it is.

    Credentials that are given take the place of all it had. Another address needs them again: they are not sent to a place
    that they were not meant for.

    \b
      windlass integrations set stash --secret token=@new-token
      windlass integrations set jenkins --address https://ci.example.net --credential username=deploy --secret token
    """
    if no_credentials and (plain or secrets):
        raise click.UsageError("--no-credentials and credentials exclude each other.")
    if not any((address, plain, secrets, chosen, no_credentials, unset)):
        raise click.UsageError("What is to be changed? Give one of the options.")
    body = {"url": address} if address else {}
    if plain or secrets or no_credentials:
        body["credentials"] = _credentials(invocation, plain, secrets) or None
    fresh = _settings(chosen)
    tag = None
    if fresh or unset:
        before, tag = invocation.client.get_with_tag("integrations", integration)
        body["settings"] = _without(unset, {**(before.get("settings") or {}), **fresh})
    changed = invocation.client.patch("integrations", integration, body=body, if_match=tag)
    if invocation.as_json:
        invocation.output.json(changed)
        return
    invocation.output.line(f"{integration} is changed.")
    invocation.output.hint(f"Try it out: windlass integrations test {integration}")


def _credentials(invocation, plain, secrets):
    """Return the credentials of the options --credential and --secret."""
    return {**_pairs(plain, "--credential username=deploy"), **secret_values(invocation, secrets)}


def _settings(chosen):
    """Return the settings of the options --setting."""
    return {name: _value(text) for name, text in _pairs(chosen, "--setting project=SHOP").items()}


def _without(names, settings):
    """Return settings without some; WindlassError for one that is not there."""
    for name in names:
        if name not in settings:
            raise WindlassError(
                f"There is no setting {name} to take away. Nothing was changed.",
                [f"Set are: {', '.join(sorted(settings)) or 'none'}"],
            )
    return {name: value for name, value in settings.items() if name not in names}


def _pairs(texts, example):
    """Return {name: value} of texts such as ``name=value``; UsageError for one without a name."""
    pairs = [text.partition("=") for text in texts]
    if not all(name and equals for name, equals, _ in pairs):
        raise click.UsageError(f"Give a name and a value: {example}")
    return {name: value for name, _, value in pairs}


def _value(text):
    """Return what a text means as JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@integrations.command("delete")
@options.integration
@click.pass_obj
def delete(invocation, integration):
    """Delete an integration with its credentials; refused while an application uses it."""
    invocation.client.get("integrations", integration)  # so that nobody is asked about what does not exist
    invocation.confirm_for_good(f"Delete the integration {integration} with its credentials, for good?")
    invocation.client.delete("integrations", integration)
    if invocation.as_json:
        invocation.output.json({"name": integration, "deleted": True})
    else:
        invocation.output.line(f"{integration} is deleted.")


@integrations.command("hook")
@options.integration
@click.option("--close", is_flag=True, help="Take no more hooks of it.")
@click.pass_obj
def hook(invocation, integration, close):
    """Open the address where a system tells us of pushes and builds; for administrators.

    Writes the address, then the secret, which is shown this once and takes the place of the one before.
    """
    if close:
        invocation.client.delete("integrations", integration, "hook")
        if invocation.as_json:
            invocation.output.json({"name": integration, "hook": None})
        else:
            invocation.output.line(f"No more hooks of {integration} are taken.")
        return
    invocation.confirm(f"Make a new secret for the hooks of {integration}? One that it had ends.")
    made = invocation.client.post("integrations", integration, "hook", body={})
    if invocation.as_json:
        invocation.output.json(made)
        return
    invocation.output.note(made.get("setup"))
    invocation.output.line(made.get("url"))
    invocation.output.line(made.get("secret"))


@integrations.command("hooks")
@options.integration
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to list.")
@click.pass_obj
def hooks(invocation, integration, limit):
    """List the hooks that came, the newest first, and what followed from each."""
    rows = list(invocation.client.items("integrations", integration, "hooks", limit=limit))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (row.get("id"), row.get("event"), state(row.get("state")), ago(row.get("received_at")), row.get("outcome"))
        for row in rows
    ]
    empty = f"No hook of {integration} has come. Open its address: windlass integrations hook {integration}"
    invocation.output.table(("HOOK", "EVENT", "STATE", "RECEIVED", "OUTCOME"), cells, empty)


def _setting_text(value):
    """Return a setting's value as --setting takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
