"""Hosts: machines that applications are deployed to, and what was last seen of them."""

import os
import pwd

import hostkeys
from controllers import etags, paging, rows
from controllers.catalog import zones
from controllers.controller import Controller
from controllers.errors import Invalid
from controllers.fleet import placements
from controllers.jobs.states import COMMAND_RUN_GOING_ON, DEPLOY_ENDED, PREPARATION_GOING_ON
from models import Application, CommandRun, Deploy, Environment, Host, HostRun, Placement, Preparation, Zone
from models.db import clock
from utils.datekit import rfc3339

DEFAULT_ROOT = "/srv/windlass"
DEFAULT_PORT = 22
SIMPLE_FIELDS = ("address", "port", "user", "tags", "transport", "root")


def describe(host):
    """Return a host in the API's shape, with what is on it."""
    return describe_with(host, placements.on_hosts([host.id])[host.id])


def describe_with(host, placed):
    """Return a host in the API's shape; `placed` is what is on it, as placements.on_hosts() has it."""
    return {
        "name": host.name,
        "address": host.address,
        "port": host.port,
        "user": host.user,
        "zone": host.zone.name,
        "tags": host.tags,
        "transport": host.transport,
        "root": host.root,
        "settings": host.settings,
        "state": state_of(host),
        "host_key": host.host_key,
        "host_key_fingerprint": hostkeys.fingerprint(host.host_key),
        "maintenance_reason": host.maintenance_reason,
        "facts": host.facts,
        "problems": host.problems or [],
        "observed_at": rfc3339(host.observed_at),
        "placements": placed,
        "created_at": rfc3339(host.created_at),
        "updated_at": rfc3339(host.updated_at),
    }


def state_of(host):
    """Return what a host is in one word: maintenance, new (never looked at), unreachable, problems or ready."""
    if host.maintenance_reason is not None:
        return "maintenance"
    if host.observed_at is None:
        return "new"
    if host.is_reachable is False:
        return "unreachable"
    return "problems" if host.problems else "ready"


def default_settings(user):
    """Return how things are on a target prepared by etc/provision.sh; a user other than root needs sudo for nginx."""
    sudo = [] if user == "root" else ["sudo", "-n"]
    return {
        "python": "python3",
        "nginx": {"sites": "/etc/windlass/sites", "command": [*sudo, "/usr/sbin/nginx"], "listen": "80"},
        "supervisor": default_supervisor(user, "supervisord"),
    }


def default_supervisor(user, kind):
    """Return how a supervisor of a kind is run: systemd's own for root, the user's own for anybody else."""
    if kind == "supervisord":
        command = ["supervisorctl", "-c", "/etc/windlass/supervisord.conf"]
        return {"kind": kind, "programs": "/etc/windlass/programs", "command": command}
    if user == "root":
        return {"kind": kind, "units": "/etc/systemd/system", "command": ["systemctl"]}
    return {"kind": kind, "units": "~/.config/systemd/user", "command": ["systemctl", "--user"]}


def complete_settings(user, *layers):
    """Return complete settings: the defaults for a user, overlaid by each layer part by part; nginx may be None.

    A supervisor of another kind has defaults of its own. Raises Invalid for a part that the kind does not have.
    """
    defaults = default_settings(user)
    settings = dict(defaults)
    for layer in layers:
        for name, value in layer.items():
            if name == "supervisor" and value.get("kind", settings[name]["kind"]) != settings[name]["kind"]:
                settings[name] = default_supervisor(user, value["kind"])
            settings[name] = {**(settings[name] or defaults[name]), **value} if isinstance(value, dict) else value
    kind = settings["supervisor"]["kind"]
    for part in settings["supervisor"].keys() - default_supervisor(user, kind).keys():
        raise Invalid([(f"settings.supervisor.{part}", f"There is no '{part}' for kind {kind}; name the other kind, too.")])
    return settings


def chosen_settings(settings, user):
    """Return what of complete settings was chosen: all that is not the default for the user, and the kind of supervisor."""
    kind = settings["supervisor"].get("kind", "supervisord")
    defaults = {**default_settings(user), "supervisor": default_supervisor(user, kind)}
    return {
        name: {key: part for key, part in value.items() if key == "kind" or part != defaults[name].get(key)}
        if isinstance(value, dict)
        else value
        for name, value in settings.items()
    }


def tagged(tags, query=None):
    """Return the hosts of a query (default: of all) that have all of these tags, by name.

    Tags are JSON in the database, so Python compares them.
    """
    tags = set(tags)
    return [host for host in (Host.select() if query is None else query).order_by(Host.name) if tags <= set(host.tags)]


def default_user(transport):
    """Return who works on a host when nobody was named: this process's own user for local; over SSH it must be said."""
    if transport == "local":
        return pwd.getpwuid(os.getuid()).pw_name
    raise Invalid([("user", "Name the user that Windlass logs in as on this host.")])


def default_address(transport, name):
    """Return where a host is when nothing was said."""
    return "127.0.0.1" if transport == "local" else name


def forget_what_was_seen(host, changes):
    """Drop facts and problems that were seen elsewhere; a pinned key stays, so that no other machine slips in."""
    if set(changes) & {"address", "port", "transport", "user", "root", "zone", "settings"}:
        host.facts = host.problems = host.is_reachable = host.observed_at = None


def placed_on(host):
    """Return what was last seen running on a host, as [(row, short text)]."""
    placements = (
        Placement.select(Placement, Application, Environment)
        .join(Application)
        .switch(Placement)
        .join(Environment)
        .where(Placement.host == host, Placement.digest.is_null(False))
        .order_by(Application.name)
    )
    return [
        (placement, f"{placement.application.name} in {placement.environment.name}, which runs there") for placement in placements
    ]


def naming(host):
    """Return the targets that name this host, as [(row, short text)]."""
    return [
        (target, f"the target of {target.application.name} in {target.environment.name}")
        for target in rows.target_query().order_by(Application.name, Environment.name)
        if isinstance(target.hosts, list) and host.name in target.hosts
    ]


def going_to(host):
    """Return the deploys, commands and preparations that are under way to this host, as [(row, short text)]."""
    deploys = (
        Deploy.select(Deploy.id).join(HostRun).where(HostRun.host == host, Deploy.state.not_in(DEPLOY_ENDED)).order_by(Deploy.id)
    )
    commands = CommandRun.select(CommandRun.id, CommandRun.command).where(
        CommandRun.host == host, CommandRun.state.in_(COMMAND_RUN_GOING_ON)
    )
    preparations = Preparation.select(Preparation.id).where(Preparation.host == host, Preparation.state.in_(PREPARATION_GOING_ON))
    return [
        *((deploy, f"deploy {deploy.id}, which is under way") for deploy in deploys),
        *((run, f"command {run.command_id}, which is under way") for run in commands.order_by(CommandRun.command)),
        *((row, f"preparation {row.id}, which is under way") for row in preparations),
    ]


class HostController(Controller):
    """Hosts as people register, change and delete them, and take them out of service."""

    def hosts(self):
        """Return the query for the hosts that the actor may see, their zones joined."""
        return self.visible(Host, Host, Zone).join(Zone)

    def listing(self, limit=paging.LIMIT, after=None, zone=None, tag=None):
        """Return a page of hosts by name, of one zone or with one tag if asked for."""
        query = self.hosts()
        if zone is not None:
            query = query.where(Zone.name == zone)
        if tag is not None:
            query = query.where(Host.id.in_([host.id for host in tagged([tag], query)]))
        page = paging.page(query, Host.name, lambda host: host, limit, after)
        placed = placements.on_hosts([host.id for host in page["items"]])
        return {**page, "items": [describe_with(host, placed[host.id]) for host in page["items"]]}

    def get(self, name):
        """Return one host."""
        names = self.visible(Host, Host.name)
        return describe(rows.found(self.hosts().where(Host.name == name), "host", name, names))

    def create(self, fields):
        """Register a host; returns it. Raises Invalid (unknown zone, missing user) and Conflict (name is taken)."""
        transport = fields.get("transport", "ssh")
        user = fields.get("user") or default_user(transport)
        with self.change("host.create", fields["name"], **fields), rows.once("a host", fields["name"]):
            made_at = clock()
            return describe(
                Host.create(
                    name=fields["name"],
                    zone=self.zone_named(fields.get("zone", zones.DEFAULT)),
                    transport=transport,
                    user=user,
                    address=fields.get("address") or default_address(transport, fields["name"]),
                    port=fields.get("port", DEFAULT_PORT),
                    root=fields.get("root", DEFAULT_ROOT),
                    tags=fields.get("tags") or [],
                    settings=complete_settings(user, fields.get("settings") or {}),
                    host_key=fields.get("host_key"),
                    created_at=made_at,
                    updated_at=made_at,
                )
            )

    def update(self, name, changes, if_match=None):
        """Change a host; returns it. Raises Invalid, PreconditionFailed, and Conflict (root in use)."""
        with self.change("host.update", name, **changes):
            host = self.named(Host, name, "host", to_change=True)
            etags.require_match(if_match, describe(host))
            self.refuse_moving_root(host, changes)
            chosen = chosen_settings(host.settings, host.user)
            for field in SIMPLE_FIELDS:
                setattr(host, field, changes.get(field, getattr(host, field)))
            if "zone" in changes:
                host.zone = self.zone_named(changes["zone"])
            host.settings = complete_settings(host.user, chosen, changes.get("settings") or {})
            forget_what_was_seen(host, changes)
            host.updated_at = clock()
            host.save()
            return describe(host)

    def zone_named(self, name):
        """Return a zone's row; raises Invalid on the field `zone`."""
        zone = self.visible(Zone).where(Zone.name == name).first()
        if zone is None:
            raise Invalid([("zone", f"There is no zone '{name}'; make it first.")])
        return zone

    def refuse_moving_root(self, host, changes):
        """Raise Conflict when a change would leave running applications behind under the old root."""
        if changes.get("root", host.root) != host.root:
            self.refuse_while_used(f"Root {host.root} of host {host.name}", placed_on(host))

    def delete(self, name):
        """Delete a host; refused with Conflict while a target names it or a deploy goes to it; history keeps its name."""
        with self.change("host.delete", name):
            host = self.named(Host, name, "host", to_change=True)
            self.refuse_while_used(f"Host {name}", [*naming(host), *going_to(host)])
            HostRun.update(host_name=name).where(HostRun.host == host).execute()
            host.delete_instance()

    def set_maintenance(self, name, fields):
        """Take a host out of service ({"reason"}) or put it back ({"enabled": False}); returns it."""
        with self.change("host.maintenance", name, **fields):
            host = self.named(Host, name, "host", to_change=True)
            host.maintenance_reason = fields["reason"] if fields.get("enabled", True) else None
            host.updated_at = clock()
            host.save()
            return describe(host)

    def pin(self, name, host_key):
        """Pin a host's public key without asking the host, whatever was pinned before; returns the host."""
        with self.change("host.trust", name, fingerprint=hostkeys.fingerprint(host_key)):
            host = self.named(Host, name, "host", to_change=True)
            host.host_key = host_key
            host.updated_at = clock()
            host.save()
            return describe(host)
