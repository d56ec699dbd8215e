"""The stand-in's hosts: listed, made, checked, trusted, taken out of service and deleted."""

from tests import shapes
from tests.browser.standin.answers import named


class Hosts:
    """Answers about hosts."""

    def get_hosts(self, asked, rest):
        """GET /hosts and /hosts/<name>."""
        return named(self.world.hosts, rest[0], "host") if rest else {"items": self.world.hosts, "next": None}

    def post_hosts(self, asked, rest):
        """POST /hosts and the actions of a host."""
        if not rest:
            made = shapes.new_host(**asked.body)
            self.world.hosts.append(made)
            return made
        host = named(self.world.hosts, rest[0], "host")
        if rest[1] == "trust":
            if asked.body.get("preview"):
                return self.world.key_shown
            host.update(host_key=self.world.key_shown["host_key"], host_key_fingerprint=asked.body["fingerprint"])
        elif rest[1] == "maintenance":
            is_out = asked.body.get("enabled", True)
            host.update(
                maintenance_reason=asked.body.get("reason") if is_out else None,
                state="maintenance" if is_out else "ready",
            )
        else:
            host.update(state="ready", observed_at=shapes.at(), facts=shapes.host()["facts"], problems=[])
        return host

    def delete_hosts(self, asked, rest):
        """DELETE /hosts/<name>."""
        self.world.hosts.remove(named(self.world.hosts, rest[0], "host"))
