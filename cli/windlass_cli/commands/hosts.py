"""``windlass hosts``: the machines."""

import click
from rich.text import Text

from windlass_cli.api.feed import ENDED_STATES
from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Group
from windlass_cli.command_line.option_files import object_of
from windlass_cli.display.formats import DIFF_STYLES, ago, clean, size, state
from windlass_cli.errors import NeedsAnswer, WindlassError
from windlass_cli.jobs.preparations import find_preparation, require_success, start_preparation, watch_preparation

COLUMNS = ("NAME", "ADDRESS", "USER", "ZONE", "TAGS", "STATE")

#: Facts that say nothing to a person.
NOT_SHOWN = {"agent", "clock_ms", "uid"}


@click.group(cls=Group)
def hosts():
    """Add, prepare, check, change and remove hosts."""


@hosts.command("list")
@click.option("--zone", metavar="ZONE", help="Only those in this zone.")
@click.option("--tag", metavar="TAG", help="Only those with this tag.")
@click.pass_obj
def list_hosts(invocation, zone, tag):
    """List the hosts."""
    rows = list(invocation.client.items("hosts", zone=zone, tag=tag))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (
            row.get("name"),
            address_of(row),
            row.get("user"),
            row.get("zone"),
            ",".join(row.get("tags") or []),
            state(row.get("state")),
        )
        for row in rows
    ]
    empty = "There is no such host." if zone or tag else "There is no host yet. Add one: windlass hosts add --help"
    invocation.output.table(COLUMNS, cells, empty)


@hosts.command("show")
@options.host
@click.pass_obj
def show(invocation, host):
    """Show a host with what was last observed there."""
    client, found = invocation.client, invocation.client.get("hosts", host)
    show_host(invocation.output, found)
    _hint_at_key(client, invocation.output, found)


#: What is said of a host, whether it is new or not.
_details = options.together(
    click.option("--address", metavar="ADDRESS", help="Its address or DNS name; its name by default."),
    click.option("--port", type=click.IntRange(1, 65535), help="The port of its SSH server."),
    click.option("--user", metavar="USER", help="The user to log in as; needed with transport ssh."),
    click.option("--zone", metavar="ZONE", help="The zone it is in."),
    click.option("--tag", "tags", metavar="TAG", multiple=True, help="A tag to find it by; may be given several times."),
    click.option("--transport", type=click.Choice(["ssh", "local"]), help="How to reach it."),
    click.option("--root", metavar="DIRECTORY", help="The directory on the host that holds the applications."),
    click.option(
        "--settings",
        metavar="JSON|@FILE",
        help="Its settings (python, nginx, supervisor) as JSON, or a file with them.",
    ),
)


@hosts.command("add")
@click.argument("name")
@_details
@click.option("--host-key", metavar="KEY", help='Its public key, as in "ssh-ed25519 AAAA…", pinned from the start.')
@click.pass_obj
def add(invocation, name, **given):
    """Register a host.

    Then install the zone's public key there, pin the host's own key with "windlass hosts trust", and look with
    "windlass hosts check" whether it has everything.

    \b
      windlass hosts add web1 --address 10.0.0.11 --user deploy --zone dmz --tag web
      windlass hosts add web2 --user deploy --settings @web2.json
    """
    client, output = invocation.client, invocation.output
    added = client.post("hosts", body={"name": name, **_fields_of(**given)})
    show_host(output, added)
    _hint_at_key(client, output, added)


@hosts.command("set")
@options.host
@_details
@click.option("--no-tags", is_flag=True, help="Take its tags away.")
@click.pass_obj
def set_host(invocation, host, no_tags, **given):
    """Change a host. What is not given stays as it is; tags that are given replace the former ones.

    Of the settings, too, the parts that are not given stay. The host's key stays pinned: after a change of address that leads to
    another machine, pin that one's with "windlass hosts trust".

    \b
      windlass hosts set web1 --address 10.0.0.12 --tag web --tag eu
      windlass hosts set web1 --settings '{"nginx": null}'
    """
    if no_tags and given["tags"]:
        raise click.UsageError("--no-tags and --tag exclude each other.")
    body = {**_fields_of(**given), **({"tags": []} if no_tags else {})}
    if not body:
        raise click.UsageError("What is to be changed? Give one of the options.")
    show_host(invocation.output, invocation.client.patch("hosts", host, body=body))


def _fields_of(tags, settings, **plain):
    """Return what was said of a host as the API takes it."""
    body = {member: value for member, value in plain.items() if value is not None}
    if tags:
        body["tags"] = list(tags)
    if settings:
        body["settings"] = object_of("--settings", settings)
    return body


def _hint_at_key(client, output, host):
    """Say which key to install on a host that cannot be used yet, and what to do then."""
    if output.as_json or host.get("transport") == "local" or host.get("state") not in ("new", "unreachable"):
        return
    key = client.get("zones", host["zone"]).get("public_key") if host.get("zone") else None
    if key is None:
        output.hint(f"Zone {host.get('zone')} has no key yet; once a worker of it runs: windlass hosts show {host['name']}")
    else:
        output.hint(f"Let Windlass in: add this line to the file .ssh/authorized_keys of {host.get('user')} on {host['name']}:")
        output.note(key)
    if not host.get("host_key"):
        output.hint(f"Pin the host's own key: windlass hosts trust {host['name']}")


@hosts.command("prepare")
@options.host
@click.option("--user", metavar="USER", help="Who logs in for it; root by default. Any other needs sudo without a password.")
@click.option("--check", is_flag=True, help="Change nothing; only say what would change.")
@click.option("--no-wait", is_flag=True, help="Do not wait for its end.")
@options.timeout
@click.pass_obj
def prepare(invocation, host, user, check, no_wait, deadline):
    """Make a bare Debian host ready for deploys: packages, user, folders, configuration.

    What is as it should be is left alone, so it can be repeated at any time. Before the first time, add the zone's public key
    to .ssh/authorized_keys of USER there, and pin the host's own with "windlass hosts trust".

    \b
      windlass hosts prepare web1
      windlass hosts prepare web1 --user admin --check
    """
    if no_wait and deadline.seconds is not None:
        raise click.UsageError("--timeout is for waiting, and --no-wait does not wait.")
    client, output = invocation.client, invocation.output
    started = start_preparation(client, host, user, check)
    if no_wait:
        _show_preparation(output, started)
        output.hint(f"Follow it: windlass hosts preparation {started['id']} --follow")
        return
    output.note(f"Preparation {started['id']}: {host} as {clean(started.get('user'))}")
    _finish_preparation(output, watch_preparation(client, output, started, deadline))


@hosts.command("preparations")
@click.option("--host", metavar="HOST", help="Only of this host.")
@click.option("--state", "wanted", metavar="STATE", help="Only in this state, such as failed.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to list.")
@click.pass_obj
def list_preparations(invocation, host, wanted, limit):
    """List the preparations of hosts, the newest first."""
    rows = list(invocation.client.items("preparations", host=host, state=wanted, limit=limit))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (
            row.get("id"),
            row.get("host"),
            "check" if row.get("check") else "",
            state(row.get("state")),
            row.get("requested_by"),
            ago(row.get("created_at")),
        )
        for row in rows
    ]
    empty = "There is no such preparation. Make a host ready for deploys: windlass hosts prepare HOST"
    invocation.output.table(("PREPARATION", "HOST", "", "STATE", "REQUESTED BY", "CREATED"), cells, empty)


@hosts.command("preparation")
@click.argument("number", metavar="PREPARATION", type=click.IntRange(min=1))
@click.option("--follow", is_flag=True, help="Show its tasks and wait for its end; the exit code tells the outcome.")
@click.option("--cancel", is_flag=True, help="End it; what it has done by then stays.")
@options.timeout
@click.pass_obj
def preparation(invocation, number, follow, cancel, deadline):
    """Show, follow or cancel the preparation of a host."""
    if deadline.seconds is not None and not follow:
        raise click.UsageError("--timeout needs --follow.")
    client, output = invocation.client, invocation.output
    if cancel:
        client.post("preparations", number, "cancel")
    found = find_preparation(client, number)
    if follow and not cancel:
        _finish_preparation(output, watch_preparation(client, output, found, deadline))
    elif follow:
        _show_preparation(output, watch_preparation(client, output, found, deadline))
    else:
        _show_preparation(output, found)
        if cancel and found.get("state") not in ENDED_STATES:
            output.hint(f"It ends within seconds: windlass hosts preparation {number} --follow")


def _finish_preparation(output, ended):
    """Say what a preparation changed, and fail when it did not succeed."""
    if output.as_json:
        output.json(ended)
    require_success(ended)
    host, changed, is_check = clean(ended.get("host")), ended.get("changed") or [], ended.get("check")
    if output.as_json:
        return
    if not changed:
        output.line(f"Nothing {'would change' if is_check else 'changed'}: {host} is as it should be.")
        return
    output.line(f"On {host} {'would change' if is_check else 'changed'}:")
    for name in changed:
        output.line(f"  {clean(name)}")
    if is_check:
        output.hint(f"Do it: windlass hosts prepare {host}")
    else:
        output.hint(f"See whether it has all it needs: windlass hosts check {host}")


def _show_preparation(output, shown):
    """Write one preparation as a record, or as JSON."""
    if output.as_json:
        output.json(shown)
        return
    output.record(
        (
            ("Preparation", shown.get("id")),
            ("Host", shown.get("host")),
            ("User", shown.get("user")),
            ("Dry run", "yes" if shown.get("check") else "no"),
            ("State", state(shown.get("state"))),
            ("Changed", "; ".join(shown.get("changed") or [])),
            ("Message", shown.get("message")),
            ("Requested by", shown.get("requested_by")),
            ("Cancelled by", shown.get("cancel_requested_by")),
            ("Created", shown.get("created_at")),
            ("Ended", shown.get("ended_at")),
        )
    )


@hosts.command("check")
@options.host
@click.pass_obj
def check(invocation, host):
    """Look at a host now: what it is, and what is missing. Fails when there is a problem."""
    client, output = invocation.client, invocation.output
    found = client.post("hosts", host, "check")
    problems = found.get("problems") or []
    if invocation.as_json:
        output.json(found)
    else:
        output.record(_facts(found.get("facts") or {}))
    if problems:
        lines = [line for problem in problems for line in problem_lines(problem)]
        raise WindlassError(f"{host} is not ready for deploys.", lines)
    output.note(f"{host} has all it needs.")


@hosts.command("observe")
@options.host
@click.option("--quick", is_flag=True, help="Only see that deployed files are there, instead of reading them all.")
@click.pass_obj
def observe(invocation, host, quick):
    """Compare a host with what was deployed there, and show how it has drifted. Nothing there changes."""
    found = invocation.client.post("hosts", host, "observe", body={"verify": not quick})
    output = invocation.output
    if invocation.as_json:
        output.json(found)
        return
    _warn_of_problems(output, found)
    show_placements(output, found.get("placements") or [])
    if not any(placed["drift"] for placed in found.get("placements") or []):
        output.note(f"{host} is as it was deployed.")


@hosts.command("trust")
@options.host
@click.option("--fingerprint", metavar="SHA256:…", help="Pin the key with this fingerprint, and no other.")
@click.pass_obj
def trust(invocation, host, fingerprint):
    """Pin a host's key, after comparing its fingerprint with the one shown on the host itself.

    On the host: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    """
    client, output = invocation.client, invocation.output
    if fingerprint is None:
        shown = client.post("hosts", host, "trust", body={"preview": True})
        fingerprint = shown.get("fingerprint")
        output.note(f"{host} shows the key {fingerprint}.")
        if shown.get("pinned") and shown["pinned"].split()[:2] != str(shown.get("host_key")).split()[:2]:
            output.warning(f"Another key is pinned for {host}: either it was installed anew, or something stands between.")
        if not invocation.yes and not invocation.can_ask:
            raise NeedsAnswer(
                "Only you can say whether that is the host's key, and there is nobody to ask.",
                remedy=f"Compare it, then: windlass hosts trust {host} --fingerprint {fingerprint}",
            )
        invocation.confirm("Is that the key you see on the host itself?")
    pinned = client.post("hosts", host, "trust", body={"fingerprint": fingerprint})
    if invocation.as_json:
        output.json(pinned)
        return
    output.line(f"The key {fingerprint} of {host} is pinned.")
    _warn_of_problems(output, pinned)


@hosts.command("maintenance")
@options.host
@click.option("--off", "is_off", is_flag=True, help="Put it back into service.")
@click.option("--reason", metavar="TEXT", help="Why; needed when taking it out of service.")
@click.pass_obj
def maintenance(invocation, host, is_off, reason):
    """Take a host out of service for deploys, or with --off back in.

    \b
      windlass hosts maintenance web1 --reason "new disk"
      windlass hosts maintenance web1 --off
    """
    if is_off == bool(reason):
        raise click.UsageError("Give --reason TEXT to take it out of service, or --off to put it back.")
    body = {"enabled": False} if is_off else {"enabled": True, "reason": reason}
    show_host(invocation.output, invocation.client.post("hosts", host, "maintenance", body=body))


@hosts.command("remove")
@options.host
@click.pass_obj
def remove(invocation, host):
    """Remove a host from Windlass; what runs on it is not touched."""
    invocation.client.get("hosts", host)  # so that nobody is asked about what does not exist
    invocation.confirm_for_good(f"Remove the host {host}? What runs on it is not touched.")
    invocation.client.delete("hosts", host)
    if invocation.as_json:
        invocation.output.json({"name": host, "removed": True})
    else:
        invocation.output.line(f"{host} is removed.")


def show_host(output, host):
    """Write one host as a record, or as JSON."""
    if output.as_json:
        output.json(host)
        return
    output.record(
        (
            ("Name", host.get("name")),
            ("Address", address_of(host)),
            ("User", host.get("user")),
            ("Zone", host.get("zone")),
            ("Tags", ", ".join(host.get("tags") or [])),
            ("Transport", host.get("transport")),
            ("Root", host.get("root")),
            ("State", state(host.get("state"))),
            ("Maintenance", host.get("maintenance_reason")),
            ("Host key", host.get("host_key")),
            ("Observed", ago(host.get("observed_at"))),
            *_facts(host.get("facts") or {}),
        )
    )
    show_placements(output, host.get("placements") or [])
    _warn_of_problems(output, host)


def show_placements(output, placements):
    """Write what is on a host, how it has drifted from what was deployed there, and what puts it right."""
    for placed in placements:
        names = f"{placed['application']} in {placed['environment']}"
        stale = ", not looked at for long" if placed.get("stale") else ""
        output.line("")
        output.line(f"{names}: {placed['observed'] or 'nothing'}, seen {ago(placed['observed_at'])}{stale}")
        for item in placed["drift"]:
            output.line("  drift      ", Text(clean(item["message"]), style="yellow"))
            for line in clean(item["diff"] or "").splitlines():
                output.line("             ", Text(line, style=DIFF_STYLES.get(line[:1], "")))
        if placed["drift"] and placed.get("recorded"):
            names = f"{placed['application']} {placed['recorded']} --to {placed['environment']}"
            output.hint(f"Put it right: windlass deploy {names}")


def _warn_of_problems(output, host):
    """Write what stands in the way of deploys to a host to stderr."""
    for problem in host.get("problems") or []:
        first, *rest = problem_lines(problem)
        output.warning(first)
        for line in rest:
            output.note(line)


def address_of(host):
    """Return a host's address with its port, unless that is the usual one."""
    return f"{host.get('address')}:{host['port']}" if host.get("port") not in (None, 22) else host.get("address")


def problem_lines(problem):
    """Return a problem of a host as lines: what is wrong, and what to do."""
    if not isinstance(problem, dict):
        return [str(problem)]
    remedy = problem.get("remedy")
    return [str(problem.get("message") or problem.get("code"))] + ([f"  → {remedy}"] if remedy else [])


def _facts(facts):
    """Return the plain facts of a host as names and values, numbers of bytes as people say them."""
    shown = {name: value for name, value in facts.items() if type(value) in (str, int, float) and name not in NOT_SHOWN}
    return [
        (name.removesuffix("_bytes").replace("_", " ").capitalize(), size(value) if name.endswith("_bytes") else value)
        for name, value in shown.items()
    ]
