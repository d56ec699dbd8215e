"""``windlass targets``: where an application goes, how its rollouts go there, and which variables it gets."""

import click

from windlass_cli.command_line import options
from windlass_cli.command_line.invocation import Group
from windlass_cli.command_line.secret_options import secret_values, secrets_option
from windlass_cli.commands.applications import processes_of
from windlass_cli.commands.rollouts import number_or_text, strategy_of
from windlass_cli.display.formats import ago, state
from windlass_cli.errors import NotFound

#: What a PUT takes; the rest of a target is the server's.
SETTABLE = ("hosts", "strategy", "health", "processes", "server_names", "rules", "configure", "drain_s", "keep_warm")
STRATEGY = ("strategy", "batch", "max_failures", "pause", "bake", "on_failure")
HEALTH = ("health_path", "health_timeout", "health_status")


@click.group(cls=Group)
def targets():
    """Say where an application goes, and with which variables."""


@targets.command("list")
@options.application
@click.pass_obj
def list_targets(invocation, application):
    """List where an application goes."""
    rows = list(invocation.client.items("applications", application, "targets"))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [(row.get("environment"), describe_hosts(row), (row.get("strategy") or {}).get("kind")) for row in rows]
    empty = f"{application} has no target yet. Make one: windlass targets set {application} ENVIRONMENT --host HOST"
    invocation.output.table(("ENVIRONMENT", "HOSTS", "STRATEGY"), cells, empty)


@targets.command("show")
@options.application
@options.environment_argument
@click.pass_obj
def show(invocation, application, environment):
    """Show where an application goes in an environment, and how."""
    show_target(invocation.output, invocation.client.get("applications", application, "targets", environment))


@targets.command("set")
@options.application
@options.environment_argument
@click.option("--host", "hosts", metavar="HOST", multiple=True, help="A host it goes to; may be given several times.")
@click.option(
    "--tag",
    "tags",
    metavar="TAG",
    multiple=True,
    help="Instead: the hosts with this tag; given several times, with all of them.",
)
@click.option("--strategy", metavar="KIND", help="How rollouts go through the hosts: all-at-once, rolling, canary.")
@click.option("--batch", metavar="N|P%", help="How many hosts at a time, or which part of them.")
@click.option("--max-failures", metavar="N|P%", help="How many hosts may fail before the rollout stops.")
@click.option("--pause", metavar="SECONDS|resume", help='Between two waves: so long, or "resume", until somebody resumes.')
@click.option("--bake", type=click.IntRange(min=0), metavar="SECONDS", help="How long each wave must stay healthy.")
@click.option(
    "--on-failure", type=click.Choice(["rollback", "stop", "continue"]), help="What becomes of it when too many failed."
)
@click.option("--health", "health_path", metavar="PATH", help="The path that a new release must answer at before it takes over.")
@click.option("--health-timeout", type=click.IntRange(min=1), help="The seconds within which it must answer.")
@click.option("--health-status", type=click.IntRange(100, 599), help="The status it must answer with.")
@click.option(
    "--server-name",
    "server_names",
    metavar="NAME",
    multiple=True,
    help="A name that nginx serves it under; may be given several times.",
)
@click.option(
    "--process",
    "processes",
    metavar="NAME=COMMAND",
    multiple=True,
    help="A process and its command here, before those of the application; may be given several times.",
)
@click.option("--drain", type=click.IntRange(min=0), metavar="SECONDS", help="How long old connections may take to end.")
@click.option("--keep-warm/--no-keep-warm", default=None, help="Leave the old release up, for quick rollbacks, or end it.")
@click.pass_obj
def set_target(invocation, application, environment, hosts, tags, server_names, processes, drain, keep_warm, **given):
    """Say where an application goes in an environment, and how.

    What is not given stays as it is, or has the server's default in a new target; a list that is given replaces the
    former one.

    \b
      windlass targets set shop production --host web1 --host web2 --strategy rolling --health /health
    """
    if hosts and tags:
        raise click.UsageError("--host and --tag both say which hosts: give one kind of them.")
    path = ("applications", application, "targets", environment)
    before, tag = _target_before(invocation.client, path)
    if not before and not hosts and not tags:
        raise click.UsageError(f"{application} has no target in {environment} yet: say which hosts, by --host or --tag.")
    changes = {
        "hosts": list(hosts) or ({"tags": list(tags)} if tags else None),
        "strategy": _strategy_after(before, **{name: given[name] for name in STRATEGY}),
        "health": _merged(before.get("health"), _health_of(**{name: given[name] for name in HEALTH})),
        "server_names": list(server_names) or None,
        "processes": _merged(before.get("processes"), processes_of(processes)),
        "drain_s": drain,
        "keep_warm": keep_warm,
    }
    body = {**before, **{name: value for name, value in changes.items() if value is not None}}
    show_target(invocation.output, invocation.client.put(*path, body=body, if_match=tag))


def _target_before(client, path):
    """Return (what can be set of the target as it is now, its entity tag), an empty dict and None for a new one."""
    try:
        target, tag = client.get_with_tag(*path)
    except NotFound:
        return {}, None  # when it is the application or environment that is missing, the PUT says so
    return {name: target[name] for name in SETTABLE if target.get(name) is not None}, tag


def _strategy_after(before, strategy, batch, max_failures, pause, bake, on_failure):
    """Return the strategy as it is to be, None when nothing of it changes.

    Another kind begins with that kind's own batch, and its own way with the first host.
    """
    kept = {name: value for name, value in (before.get("strategy") or {}).items() if value is not None}
    if strategy and strategy != kept.get("kind"):
        kept.pop("batch", None)
        kept.pop("healthy_first", None)
    more = {
        "max_failures": number_or_text(max_failures),
        "pause_s": number_or_text(pause),
        "bake_s": bake,
        "on_failure": on_failure,
    }
    changes = {name: value for name, value in more.items() if value is not None}
    return _merged(kept, {**(strategy_of(strategy, batch) or {}), **changes})


def _health_of(health_path, health_timeout, health_status):
    given = {"path": health_path, "timeout_s": health_timeout, "expect_status": health_status}
    return {name: value for name, value in given.items() if value is not None}


def _merged(before, changes):
    """Return ``before`` overlaid by ``changes`` (dicts), None when nothing changes."""
    return {**(before or {}), **changes} if changes else None


@targets.command("delete")
@options.application
@options.environment_argument
@click.pass_obj
def delete(invocation, application, environment):
    """Delete a target with its variables; what runs on its hosts is left alone."""
    path = ("applications", application, "targets", environment)
    invocation.client.get(*path)  # so that nobody is asked about what does not exist
    invocation.confirm_for_good(f"Delete the target of {application} in {environment} with its variables, for good?")
    invocation.client.delete(*path)
    if invocation.as_json:
        invocation.output.json({"application": application, "environment": environment, "deleted": True})
    else:
        invocation.output.line(f"The target of {application} in {environment} is deleted.")


@targets.command("variables")
@options.application
@options.environment_argument
@click.option("--set", "plain", metavar="NAME=VALUE", multiple=True, help="Set a variable; may be given several times.")
@secrets_option("Set a variable that no answer ever shows.")
@click.option("--unset", "unset", metavar="NAME", multiple=True, help="Remove a variable; may be given several times.")
@click.pass_obj
def variables(invocation, application, environment, plain, secrets, unset):
    """Show the variables that an application gets in an environment, after changing some.

    They take effect with the next deploy.

    \b
      windlass targets variables shop production --set WORKERS=4 --unset DEBUG
      windlass targets variables shop production --secret DATABASE_URL < url
      windlass targets variables shop production --secret SECRET_KEY=@key --secret DATABASE_URL=env:URL
    """
    path = ("applications", application, "targets", environment, "variables")
    changes = {**_assignments(plain), **dict.fromkeys(unset)}
    hidden = secret_values(invocation, secrets)
    changes |= {name: {"value": value, "secret": True} for name, value in hidden.items()}
    client = invocation.client
    found = client.patch(*path, body={"variables": changes}) if changes else client.get(*path)
    if invocation.as_json:
        invocation.output.json(found)
        return
    rows = [(name, "(secret)" if isinstance(value, dict) else value) for name, value in (found.get("variables") or {}).items()]
    invocation.output.table(("NAME", "VALUE"), rows, f"{application} has no variables in {environment}.")


@targets.command("rules")
@options.application
@options.environment_argument
@click.option("--branch", "branches", metavar="PATTERN", multiple=True, help="Deploy each push to such a branch.")
@click.option("--tag", "tags", metavar="PATTERN", multiple=True, help="Deploy each new tag like this, such as v*.")
@click.option("--version", "versions", metavar="PATTERN", multiple=True, help="Deploy each such version of its package.")
@click.option("--green", is_flag=True, help="Wait for a green build of the commit, for --branch and --tag.")
@click.option("--none", is_flag=True, help="Deploy nothing by itself any more.")
@click.pass_obj
def rules(invocation, application, environment, branches, tags, versions, green, none):
    """Show what is deployed there without anybody asking, after changing it.

    Rules that are given replace the former ones; the first that fits counts.

    \b
      windlass targets rules shop staging --branch main --green
      windlass targets rules shop staging --none
    """
    if none and (branches or tags or versions or green):
        raise click.UsageError("--none and rules exclude each other.")
    if green and not (branches or tags):
        raise click.UsageError("--green needs --branch or --tag.")
    wanted = [{"branch": pattern} for pattern in branches] + [{"tag": pattern} for pattern in tags]
    wanted = [{**rule, "require_green_build": True} if green else rule for rule in wanted]
    wanted += [{"version": pattern} for pattern in versions]
    path = ("applications", application, "targets", environment)
    found = _list_after(invocation.client, path, "rules", wanted if wanted or none else None)
    if invocation.as_json:
        invocation.output.json({"rules": found})
        return
    rows = [
        (kind, rule[kind], "after a green build" if rule.get("require_green_build") else "")
        for rule in found
        for kind in ("branch", "tag", "version")
        if rule.get(kind)
    ]
    invocation.output.table(("NEWS", "PATTERN", ""), rows, f"Nothing is deployed by itself to {environment}.")


@targets.command("playbooks")
@options.application
@options.environment_argument
@click.option(
    "--before",
    "before",
    nargs=3,
    multiple=True,
    metavar="STEP INTEGRATION FILE",
    help="Run it before a step: connect, ship, environment or configure.",
)
@click.option(
    "--after",
    "after",
    nargs=3,
    multiple=True,
    metavar="STEP INTEGRATION FILE",
    help="Run it after a step: preflight, ship, environment or clean.",
)
@click.option("--variable", "variables", metavar="NAME=VALUE", multiple=True, help="Give it to all of them; not for secrets.")
@click.option("--check", is_flag=True, help="Only have them say what they would change.")
@click.option("--none", is_flag=True, help="Run none any more.")
@click.pass_obj
def playbooks(invocation, application, environment, before, after, variables, check, none):
    """Show the playbooks and manifests that run on its hosts in a deploy, after changing them.

    Those that are given replace the former ones; --before and --after may be given several times, and run in this order.

    \b
      windlass targets playbooks shop production --before ship ansible site.yml --after clean puppet tidy.pp
      windlass targets playbooks shop production --none
    """
    places = [("before", *words) for words in before] + [("after", *words) for words in after]
    if none and places:
        raise click.UsageError("--none and playbooks exclude each other.")
    if (variables or check) and not places:
        raise click.UsageError("--variable and --check are for playbooks that are given: --before or --after.")
    more = {"variables": _assignments(variables, "--variable")} if variables else {}
    more |= {"check": True} if check else {}
    wanted = [{"integration": integration, "run": run, when: step, **more} for when, step, integration, run in places]
    path = ("applications", application, "targets", environment)
    found = _list_after(invocation.client, path, "configure", wanted if wanted or none else None)
    if invocation.as_json:
        invocation.output.json({"configure": found})
        return
    rows = [
        (
            f"{when} {entry[when]}",
            entry.get("integration"),
            entry.get("run"),
            ", ".join(f"{name}={value}" for name, value in (entry.get("variables") or {}).items()),
            "only checked" if entry.get("check") else "",
        )
        for entry in found
        for when in ("before", "after")
        if entry.get(when)
    ]
    invocation.output.table(
        ("WHEN", "INTEGRATION", "FILE", "VARIABLES", ""), rows, f"No playbook runs in deploys to {environment}."
    )


def _list_after(client, path, member, wanted):
    """Return a list of a target after replacing it by ``wanted``, and nothing else of the target; None replaces nothing."""
    target, tag = client.get_with_tag(*path)
    if wanted is not None:
        before = {name: target[name] for name in SETTABLE if target.get(name) is not None}
        strategy = {name: value for name, value in (before.get("strategy") or {}).items() if value is not None}
        target = client.put(*path, body={**before, "strategy": strategy, member: wanted}, if_match=tag)
    return target.get(member) or []


@targets.command("automations")
@options.application
@options.environment_argument
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to list.")
@click.pass_obj
def automations(invocation, application, environment, limit):
    """List what the rules wanted, the newest first, and what became of it."""
    path = ("applications", application, "targets", environment, "automations")
    rows = list(invocation.client.items(*path, limit=limit))
    if invocation.as_json:
        invocation.output.json({"items": rows})
        return
    cells = [
        (
            row.get("release"),
            state(row.get("state")),
            row.get("deploy"),
            row.get("reason"),
            row.get("outcome"),
            ago(row.get("created_at")),
        )
        for row in rows
    ]
    empty = f"No rule has wanted anything in {environment} yet."
    invocation.output.table(("RELEASE", "STATE", "DEPLOY", "BECAUSE", "OUTCOME", "CREATED"), cells, empty)


def _assignments(texts, option="--set"):
    """Return {name: value} of texts such as ``WORKERS=4``; UsageError for one without a name."""
    pairs = [text.partition("=") for text in texts]
    if not all(name and equals for name, equals, _ in pairs):
        raise click.UsageError(f"{option} takes a name and a value: {option} WORKERS=4")
    return {name: value for name, _, value in pairs}


def describe_hosts(target):
    """Return which hosts a target stands for: their names, or the tags and the names they stand for now."""
    hosts, resolved = target.get("hosts"), ", ".join(target.get("resolved_hosts") or [])
    if isinstance(hosts, dict):
        return f"tagged {', '.join(hosts.get('tags') or [])}: {resolved or 'none'}"
    return ", ".join(hosts or [])


def pace_fields(strategy):
    """Return names and values of how fast a strategy goes, and what it does about failures; what is not so is left out."""
    pause = strategy.get("pause_s")
    failures = strategy.get("max_failures")
    return (
        ("Pause", "until somebody resumes" if pause == "resume" else f"{pause} s" if pause else ""),
        ("Bake", f"{strategy['bake_s']} s" if strategy.get("bake_s") else ""),
        ("On failure", f"{strategy.get('on_failure')}, when more than {failures} of the hosts failed"),
    )


def show_target(output, target):
    """Write one target as a record, or as JSON."""
    if output.as_json:
        output.json(target)
        return
    strategy, health = target.get("strategy") or {}, target.get("health") or {}
    batch = f", {strategy['batch']} at a time" if strategy.get("batch") else ""
    old = "stays up" if target.get("keep_warm") else "is ended"
    status = f", status {health['expect_status']}" if health.get("expect_status") else ""
    output.record(
        (
            ("Application", target.get("application")),
            ("Environment", target.get("environment")),
            ("Hosts", describe_hosts(target)),
            ("Strategy", f"{strategy.get('kind')}{batch}"),
            *pace_fields(strategy),
            ("Health", f"GET {health.get('path')} within {health.get('timeout_s')} s{status}"),
            ("Server names", ", ".join(target.get("server_names") or [])),
            ("Drain", f"{target.get('drain_s')} s, then the old release {old}"),
            *((f"Process {name}", command or "(not run here)") for name, command in (target.get("processes") or {}).items()),
        )
    )
