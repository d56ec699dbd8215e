"""Leaving nothing half-done behind: what killed agents left, and what this one started."""

import os

from remote.agent.machine.files import ASIDE, discard, point, remove_tree
from remote.agent.places import SLOTS


def settle(host):
    """Leave no processes behind that an unfinished activation started in the slot that is not active."""
    active = host.place.active()
    for name in SLOTS:
        slot = host.slot(name)
        record = slot.record() if name != active else None
        if record is None:
            continue
        if record["phase"] == "starting":
            slot.clear()
            continue
        others = [process for process in record["spec"]["processes"] if process != record["spec"].get("web")]
        if others and slot.stop(others, 10) is not None:
            for process in others:
                slot.retire_launcher(process)


def sweep(host):
    """Remove what killed agents left, and finish a switch that was cut in two."""
    place = host.place
    for kind in ("release", "environment"):
        folder = place.trees(kind)
        for entry in os.listdir(folder):
            if ".partial-" in entry:
                remove_tree(os.path.join(folder, entry))
    for folder in (place.base, place.run, place.slots, place.state, place.once, place.manifests):
        for entry in os.listdir(folder):
            if entry.startswith(ASIDE):
                discard(os.path.join(folder, entry))
    for name in SLOTS:
        if "supervisor-" + name in host.files():
            host.slot(name).supervisor().sweep(name, host.files()["supervisor-" + name])
    spec = host.slot(place.active()).spec() if place.active() else None
    if spec:
        point(place.current, "releases/" + spec["release"])
    nginx = host.nginx()
    if nginx is not None and os.path.isdir(nginx.folder) and nginx.leftovers():
        with nginx:
            return  # Taking the lock settles it.
