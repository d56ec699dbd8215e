"""Where everything that belongs to an application lies on a host."""

import os

from remote.agent.failures import Failure
from remote.agent.machine.files import make_folder, read_link

SLOTS = ("a", "b")


def is_plain(name):
    """Say whether a name may be one component of a path."""
    return (
        isinstance(name, str)
        and 0 < len(name.encode("utf-8", "replace")) <= 255
        and name[0] not in ".-"
        and not any(character in "/\0\n" for character in name)
    )


def check_root(root):
    """Raise Failure for a root that is no folder below /."""
    if not isinstance(root, str) or not root.startswith("/") or os.path.normpath(root) != root or root == "/":
        raise Failure("bad-request", f"The root '{root}' is no clean absolute path.", "Correct it in the host's settings.")


class Place:
    """The names of everything that belongs to one application below a host's root."""

    def __init__(self, root, app):
        check_root(root)
        if not is_plain(app) or not all(character.isalnum() or character in "-_." for character in app):
            raise Failure("bad-request", f"'{app}' cannot be the name of an application.")
        self.root, self.app = root, app
        self.base = root + "/" + app
        self.releases, self.environments, self.slots = (
            self.base + "/releases",
            self.base + "/envs",
            self.base + "/slots",
        )
        self.run, self.state, self.shared = self.base + "/run", self.base + "/state", self.base + "/shared"
        self.logs, self.once, self.manifests = self.shared + "/logs", self.state + "/once", self.state + "/manifests"
        self.current, self.switch = self.base + "/current", self.run + "/current.sock"
        self.ports = self.state + "/ports.json"

    def folders(self):
        """Return (path, mode) of the folders every application has."""
        public = (self.base, self.releases, self.environments, self.slots, self.run, self.shared, self.logs)
        private = (self.state, self.once, self.manifests)
        return [(path, 0o755) for path in public] + [(path, 0o700) for path in private]

    def trees(self, kind):
        """Return the folder of the trees of a kind: "release" or "environment"."""
        return self.releases if kind == "release" else self.environments

    def manifest(self, kind, name):
        """Return the path of the list of a tree's files."""
        return f"{self.manifests}/{kind}-{name}"

    def socket(self, slot):
        """Return the path of a slot's socket."""
        return f"{self.run}/{slot}.sock"

    def link(self, slot):
        """Return the path of a slot's link to its release."""
        return f"{self.slots}/{slot}"

    def launcher(self, slot, process):
        """Return the path of the script that starts a process."""
        return f"{self.run}/{slot}-{process}"

    def supervisor(self, slot):
        """Return the path of the settings of the supervisor that a slot was filled for."""
        return f"{self.state}/supervisor-{slot}.json"

    def record(self, slot):
        """Return the path of what is known of a slot."""
        return f"{self.state}/slot-{slot}.json"

    def make(self):
        """Make the folders."""
        for path, mode in self.folders():
            make_folder(path, mode)

    def active(self):
        """Return the slot that the switch names, or None."""
        target = read_link(self.switch)
        return next((slot for slot in SLOTS if target == slot + ".sock"), None)

    def current_release(self):
        """Return the digest that `current` names, or None."""
        target = read_link(self.current)
        return os.path.basename(target) if target else None

    def complete(self, kind):
        """Return the names of the complete trees of a kind."""
        try:
            names = os.listdir(self.trees(kind))
        except FileNotFoundError:
            return []
        return sorted(name for name in names if ".partial-" not in name and not name.startswith("."))
