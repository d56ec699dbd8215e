"""Zones: network segments, each with workers and an SSH key pair of its own."""

from controllers import etags, paging, rows
from controllers.controller import Controller
from controllers.jobs import queue
from models import Host, Zone
from models.db import clock, database
from utils.datekit import rfc3339

DEFAULT = "default"


def ensure_default():
    """Make the zone that hosts are in when nothing is said, unless there are zones already."""
    with database.atomic():
        if not Zone.select().exists():
            made_at = clock()
            Zone.create(name=DEFAULT, created_at=made_at, updated_at=made_at)


def describe(zone):
    """Return a zone in the API's shape."""
    return {
        "name": zone.name,
        "public_key": zone.public_key,
        "created_at": rfc3339(zone.created_at),
        "updated_at": rfc3339(zone.updated_at),
    }


def users_of(zone):
    """Return the hosts in a zone, as [(row, short text)]."""
    hosts = Host.select(Host.id, Host.name).where(Host.zone == zone).order_by(Host.name)
    return [(host, f"host {host.name}") for host in hosts]


class ZoneController(Controller):
    """Zones as people make, change and delete them."""

    def listing(self, limit=paging.LIMIT, after=None):
        """Return a page of zones by name."""
        return paging.page(self.visible(Zone), Zone.name, describe, limit, after)

    def get(self, name):
        """Return one zone."""
        return describe(self.named(Zone, name, "zone"))

    def create(self, fields):
        """Make a zone from its name and ask its workers for a key pair; returns it. Raises Conflict."""
        with self.change("zone.create", fields["name"]), rows.once("a zone", fields["name"]):
            made_at = clock()
            zone = Zone.create(name=fields["name"], created_at=made_at, updated_at=made_at)
        queue.enqueue("windlass.prepare_zone", zone.id, zone=zone.name)
        return describe(zone)

    def update(self, name, changes, if_match=None):
        """Forget the public key ({"public_key": None}), so that a worker publishes the one it holds now.

        Returns the zone; raises PreconditionFailed.
        """
        with self.change("zone.update", name, **changes):
            zone = self.named(Zone, name, "zone", to_change=True)
            etags.require_match(if_match, describe(zone))
            if "public_key" in changes:
                zone.public_key = None
                zone.updated_at = clock()
                zone.save()
        if zone.public_key is None:
            queue.enqueue("windlass.prepare_zone", zone.id, zone=zone.name)
        return describe(zone)

    def delete(self, name):
        """Delete a zone; refused with Conflict while it has hosts. Its key pair stays with the workers that made it."""
        with self.change("zone.delete", name):
            zone = self.named(Zone, name, "zone", to_change=True)
            self.refuse_while_used(f"Zone {name}", users_of(zone))
            zone.delete_instance()
