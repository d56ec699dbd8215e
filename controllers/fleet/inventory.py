"""The hosts as an Ansible dynamic inventory: where they are and which groups they are in, and nothing secret."""

import hashlib
import re
from collections import defaultdict

from controllers.controller import Controller
from controllers.errors import Invalid
from controllers.fleet.hosts import HostController, state_of
from controllers.fleet.targets import hosts_among
from models import Host


def variables_of(host):
    """Return a host's variables: how it is reached, the public key that it must show, and what Windlass calls things there."""
    reached = (
        {"ansible_connection": "local"}
        if host.transport == "local"
        else {"ansible_host": host.address, "ansible_port": host.port, "ansible_user": host.user}
    )
    # Ansible looks for an interpreter itself; only one at a certain place is worth naming.
    python = host.settings["python"]
    return {
        **reached,
        **({"ansible_python_interpreter": python} if python.startswith("/") else {}),
        "windlass_host_key": host.host_key,
        "windlass_root": host.root,
        "windlass_state": state_of(host),
        "windlass_tags": host.tags,
        "windlass_zone": host.zone.name,
    }


def members_of(hosts, targets):
    """Return {(what, name…): [names of hosts]} for zones, tags and targets; a target without hosts has its group too."""
    members = defaultdict(list)
    for host in hosts:
        members["zone", host.zone.name].append(host.name)
        for tag in host.tags:
            members["tag", tag].append(host.name)
    for target in targets:
        names = [host.name for host in hosts_among(hosts, target.hosts)]
        members["target", target.application.name, target.environment.name] = names
    return members


def groups_of(host, application, environment):
    """Return the names of the groups that a host is in while an application is deployed to it."""
    keys = [("zone", host.zone.name), *(("tag", tag) for tag in host.tags), ("target", application, environment)]
    return tuple(map(group_name, keys))


def group_names(members):
    """Return {group: hosts}, each of `members` under a name that Ansible takes.

    Where two would have the same name (shop in eu-production, shop-eu in production), each gets the beginning of a digest
    behind it: a playbook must not reach the hosts of both.
    """
    keys_by_name = defaultdict(list)
    for key in members:
        keys_by_name[group_name(key)].append(key)
    return {
        name if len(keys) == 1 else f"{name}_{hashlib.sha256(repr(key).encode()).hexdigest()[:8]}": members[key]
        for name, keys in keys_by_name.items()
        for key in keys
    }


def group_name(key):
    """Return the name of a group: letters, digits and underscores, not beginning with a digit."""
    words = key[1:] if key[0] == "target" else key
    name = re.sub(r"[^A-Za-z0-9_]", "_", "_".join(words))
    return f"_{name}" if name[0].isdigit() else name


class InventoryController(Controller):
    """The hosts that somebody may see, for Ansible."""

    def ansible(self):
        """Return all hosts as Ansible wants a script's --list: groups with their hosts, and the variables of each in _meta.

        Groups are zone_<zone>, tag_<tag> and <application>_<environment>; what Ansible allows in no group's name becomes "_".
        """
        hosts = list(HostController(self.actor).hosts().order_by(Host.name))
        groups = group_names(members_of(hosts, self.targets()))
        return {
            "_meta": {"hostvars": {host.name: variables_of(host) for host in hosts}},
            "all": {"children": sorted([*groups, "ungrouped"])},
            **{name: {"hosts": members} for name, members in sorted(groups.items())},
        }

    def ansible_host(self, name):
        """Return the variables of one host, as Ansible wants a script's --host; raises Invalid where there is none."""
        host = HostController(self.actor).hosts().where(Host.name == name).first()
        if host is None:
            raise Invalid([("host", f"There is no host '{name}'; GET /hosts lists them.")])
        return variables_of(host)
