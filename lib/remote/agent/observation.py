"""What runs on a host and what is wrong with it, without changing anything."""

import hashlib
import os

from remote.agent.failures import Failure, problem
from remote.agent.hosts import referenced
from remote.agent.machine.commands import find_program, located, run_command
from remote.agent.machine.facts import facts
from remote.agent.machine.files import existing, free_space, read_bytes, read_json, user_name
from remote.agent.machine.http import accepts, http_get, is_expected
from remote.agent.machine.nginx import SITES_REMEDY
from remote.agent.places import SLOTS
from remote.agent.releases.manifests import damage_of
from remote.agent.supervision.programs import UP
from remote.agent.supervision.supervisors import supervisor_from

SOCKET_PATH_BYTES = 107  # unix(7): sun_path has 108 bytes with the final NUL
TEXT_BYTES = 256 << 10  # of one configuration file that is reported as text


def problems_of_place(request):
    """Return what is wrong with the root of this host."""
    root, found = request["root"], []
    nearest = existing(root)
    if os.statvfs(nearest).f_flag & os.ST_RDONLY:
        found.append(
            problem(
                "read-only",
                f"{nearest} is on a read-only file system.",
                "Mount it writable or choose another root for this host.",
            )
        )
    elif not os.access(nearest, os.W_OK | os.X_OK) or not os.path.isdir(nearest):
        found.append(
            problem(
                "root-not-writable",
                f"The user {user_name()} may not write in {nearest}.",
                f"Give that user the folder {root}, or choose another root for this host.",
            )
        )
    free, inodes = free_space(root)
    if free < 64 << 20 or (inodes is not None and inodes < 1000):
        found.append(
            problem(
                "disk-low",
                f"The disk of {nearest} has {free:,} bytes and {inodes} inodes free.",
                "Free some space there.",
            )
        )
    length = len("{}/{}/run/current.sock".format(root, request.get("app") or "").encode())
    if length > SOCKET_PATH_BYTES:
        found.append(
            problem(
                "socket-path-too-long",
                f"The path of the sockets below {root} has {length} bytes, the system allows {SOCKET_PATH_BYTES}.",
                "Choose a shorter root for this host.",
            )
        )
    return found


def observe_nginx(settings, deep):
    """Return (facts, problems) about nginx."""
    nginx, about, found = settings.get("nginx"), {"version": None}, []
    if not nginx:
        return about, found
    if find_program(nginx["command"]) is None:
        found.append(
            problem(
                "nginx-missing",
                "There is no program '{}' on this host.".format(nginx["command"][0]),
                "Install nginx (Debian: apt install nginx), correct nginx.command, or set nginx to null.",
            )
        )
    elif deep:
        argv = located(nginx["command"])
        status, text = run_command([*argv, "-t"], 30)
        if status:
            found.append(
                problem(
                    "nginx-config-broken",
                    f"nginx does not accept its own configuration: {text[-1000:]}",
                    "Correct what the message names.",
                )
            )
        plain = run_command([find_program(["nginx"]) or argv[0], "-v"], 10)[1]
        about["version"] = plain.rpartition("/")[2].split()[0] if "/" in plain else None
    if not os.path.isdir(nginx["sites"]):
        found.append(
            problem(
                "sites-dir-missing",
                "The folder {} for nginx sites does not exist.".format(nginx["sites"]),
                SITES_REMEDY,
            )
        )
    elif not os.access(nginx["sites"], os.W_OK):
        found.append(
            problem(
                "sites-dir-not-writable",
                "The user {} may not write in {}.".format(user_name(), nginx["sites"]),
                "Give that user the right to write there, or correct nginx.sites.",
            )
        )
    return about, found


def application(host, deep=False, texts=False):
    """Return what runs of the application on this host; with `texts` also what its files say and its variables are."""
    place = host.place
    try:
        states = host.all_states()
    except Failure:
        states = {}
    files = host.files()
    host.ports = host.ports or read_json(place.ports) or {}
    seen = {
        "current": place.current_release(),
        "active": place.active(),
        "slots": {name: slot_seen(host, name, states.get(name, {})) for name in SLOTS},
        "releases": place.complete("release"),
        "environments": place.complete("environment"),
        "files": files_seen(host, files),
        "ports": host.ports,
        "epoch": (read_json(place.state + "/epoch") or {}).get("epoch", 0),
    }
    if deep or texts:
        seen["damaged"] = damaged_trees(host, deep)
    if texts:
        seen["texts"] = {
            what: content and content[:TEXT_BYTES].decode("utf-8", "replace")
            for what, content in contents_seen(host, files).items()
        }
        for name in filter(seen["slots"].get, SLOTS):
            seen["slots"][name]["variables"] = variables_seen(host.slot(name).spec() or {})
    return seen


def variables_seen(spec):
    """Return {name: sha256 of the value}: enough to tell what changes, and no secret travels."""
    return {name: hashlib.sha256(value.encode()).hexdigest() for name, value in (spec.get("variables") or {}).items()}


def slot_seen(host, name, states):
    """Return what is known of one slot, or None when it is empty."""
    slot = host.slot(name)
    record = slot.record()
    if record is None and not states:
        return None
    spec = record["spec"] if record else {"processes": {}}
    is_up = bool(spec["processes"]) and all(
        states.get(process, {}).get("state") in UP for process in ([spec["web"]] if spec.get("web") else spec["processes"])
    )
    address = slot.address(spec) if is_up and (spec.get("binding") == "socket" or name in host.ports) else None
    return {
        "release": spec.get("release"),
        "environment": spec.get("environment"),
        "spec_digest": spec.get("spec_digest"),
        "version": spec.get("version"),
        "binding": spec.get("binding"),
        "deploy": spec.get("deploy"),
        "phase": record["phase"] if record else None,
        "supervisor": slot.supervisor().kind,
        "processes": {process: {"state": info["state"], "pid": info["pid"]} for process, info in states.items()},
        "serving": is_up and (not spec.get("web") or accepts(address)),
    }


def probe(host):
    """Return {"healthy", "said"}: what the health check of the slot that answers gives now, asked once."""
    name = host.place.active()
    record = host.slot(name).record() if name else None
    if record is None:
        return {"healthy": False, "said": "nothing runs here"}
    spec = record["spec"]
    if not spec.get("web"):
        return {"healthy": True, "said": "there is no web process to ask"}
    health = spec.get("health") or {}
    path, limit_s = health.get("path") or "/", min(10, health.get("timeout_s") or 10)
    try:
        status = http_get(host.slot(name).address(spec), path, health.get("host") or "localhost", limit_s, lambda: None)[0]
    except (OSError, ValueError) as error:
        return {"healthy": False, "said": "GET {}: {}".format(path, getattr(error, "strerror", None) or error)}
    return {
        "healthy": is_expected(status, health.get("expect_status")),
        "said": f"GET {path} answered with status {status}",
    }


def contents_seen(host, files):
    """Return {"supervisor-a", "supervisor-b", "nginx": bytes or None} of the files outside the root."""
    seen = {}
    for slot in SLOTS:
        name = files.get("supervisor-" + slot)
        seen["supervisor-" + slot] = host.slot(slot).supervisor().read(slot, name) if name else None
    folder, site = (host.settings.get("nginx") or {}).get("sites"), files.get("nginx")
    seen["nginx"] = read_bytes(os.path.join(folder, site)) if folder and site else None
    return seen


def files_seen(host, files):
    """Return {"supervisor-a", "supervisor-b", "nginx": sha256 or None} of the files outside the root."""
    return {
        what: None if content is None else hashlib.sha256(content).hexdigest()
        for what, content in contents_seen(host, files).items()
    }


def damaged_trees(host, deep):
    """Return [[kind, name, path]] of the first files in each tree in use that are not what its list says."""
    return [
        [kind, name, path]
        for kind, names in referenced(host).items()
        for name in sorted(filter(None, names))
        for path in damage_of(host.place, kind, name, deep)
    ]


def observation(request, host):
    """Return the answer of `observe` and `begin`."""
    deep = bool(request.get("deep"))
    about = facts(request)
    about["supervisor"], of_supervisor = supervisor_from(request["settings"]["supervisor"], request.get("app"), None).observe(
        deep
    )
    about["nginx"], of_nginx = observe_nginx(request["settings"], deep)
    return {
        "facts": about,
        "problems": problems_of_place(request) + of_supervisor + of_nginx,
        "application": application(host, deep, bool(request.get("texts"))) if host else None,
    }
