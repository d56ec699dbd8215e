"""What a rollout will change on one host: pure functions from what was observed there and its desired state.

A host's changes are plain JSON. What they were drawn up from is kept in them as `observed`, so that two of them can be
compared and a host that has moved in between can be distinguished from one that has not.
"""

import hashlib
import json

from controllers.desired import diffs, spec
from controllers.releases import compare

MOST_FILES = 200  # of a kind; the counts tell of all
ALWAYS = ("before connect",)  # Playbooks that run before anybody can see that there is nothing else to do.
LAID_DOWN = frozenset({"STOPPED", "STOPPING"})  # Every other state of a process is one supervisord tries to keep up.
FILES = ("supervisor-a", "supervisor-b", "nginx")


def with_shown_ports(state):
    """Return what the agent answered with stand-ins for ports that were not given out when nothing ran on the host yet.

    A host's ports are chosen when a rollout begins there, which is after a plan of the first one.
    """
    application = state["application"]
    if any(application["slots"].values()):
        return state
    return {**state, "application": {**application, "ports": {slot: f"<port of slot {slot}>" for slot in spec.SLOTS}}}


def of_host(host, desired, state, before, after, packed_sizes, seal):
    """Return the changes a rollout makes on a host, with their digest.

    host: its name. desired: spec.build()'s. state: the agent's answer to a request with "texts". before, after: the release
    there and the new one as {"version", "lock", "files"}, `files` being the tree's manifest or None where it is unknown;
    `after` has "environment" too, the virtualenv's manifest, and "known": for "release" and "environment" the
    (SHA-256, mode) of every file the host has in complete trees of that kind, and maybe "configure": the playbooks and
    manifests that run. packed_sizes: {SHA-256: bytes a file takes on
    the way}. seal(text) returns a keyed digest: what depends on secret values must reveal nothing of them.
    """
    application = state["application"]
    is_unchanged = spec.is_in_place(desired, state)
    slot, is_warm = choose_slot(desired, application)
    changes = {
        "host": host,
        "current_release": before["version"],
        "new_release": after["version"],
        "unchanged": is_unchanged,
        "repairs": [{"tree": kind, "path": path} for kind, path in spec.damaged(desired, application)],
        "files": file_changes(before["files"], after["files"]),
        "packages": package_changes(before["lock"], after["lock"]),
        "configuration": [] if is_unchanged else configuration_changes(desired, application, slot, is_warm),
        "variables": variable_changes(desired, application),
        "processes": {"start": [], "stop": []} if is_unchanged else process_changes(desired, application, slot, is_warm),
        "configure": [item for item in after.get("configure", ()) if not is_unchanged or item["when"] in ALWAYS],
        "bytes_to_send": bytes_to_send(desired, application, after, packed_sizes),
        "observed": observed(application, seal),
    }
    return {**changes, "digest": seal(canonical([binding(changes), desired["release"], desired["spec_digest"]]))}


def binding(changes):
    """Return what of a host's changes a digest is over: all that they say.

    The bytes to send follow from which trees the host has and is to have, and those are in it by the digests of what they
    consist of; the figure itself is left out, because a virtualenv built a second time, elsewhere, may take a few bytes more.
    """
    return {name: value for name, value in changes.items() if name != "bytes_to_send"}


def canonical(value):
    """Return JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def choose_slot(desired, application):
    """Return (the slot the agent will use, whether it already runs the desired state); the agent's `Activation.choose`."""
    inactive = "b" if application["active"] == "a" else "a"
    if spec.needs_fresh_start(desired, application):
        return inactive, False
    for slot in (application["active"], inactive):
        held = slot and application["slots"].get(slot)
        if (
            held
            and held["spec_digest"] == desired["spec_digest"]
            and is_up(desired, held)
            and has_program(desired, application, slot)
        ):
            return slot, True
    return inactive, False


def is_up(desired, held):
    """Say whether the processes that count run: the web process, or all where there is none."""
    names = [desired["web"]] if desired["web"] else list(desired["processes"])
    return all(held["processes"].get(name, {}).get("state") in spec.UP for name in names)


def has_program(desired, application, slot):
    """Say whether a slot's program file is as desired."""
    return application["files"].get(f"supervisor-{slot}") == spec.sha256(desired["supervisor"][slot]["text"])


# Files and packages.


def file_changes(before, after):
    """Return {"added", "changed", "removed", "counts"} of two manifests, or None where one of them is unknown."""
    if before is None or after is None:
        return None
    old, new = ({entry[0]: entry for entry in manifest} for manifest in (before, after))
    found = {
        "added": [new[path] for path in sorted(new.keys() - old.keys())],
        "changed": [new[path] for path in sorted(new.keys() & old.keys()) if new[path] != old[path]],
        "removed": [old[path] for path in sorted(old.keys() - new.keys())],
    }
    listed = {
        kind: [{"path": entry[0], "size": compare.size_of(entry)} for entry in entries[:MOST_FILES]]
        for kind, entries in found.items()
    }
    return {**listed, "counts": {kind: len(entries) for kind, entries in found.items()}}


def package_changes(before, after):
    """Return {"added", "removed", "upgraded"} of two locks' texts, or None where the old one is unknown."""
    if before is None:
        return None
    changes = compare.dependency_changes(before, after)
    return {"added": changes["added"], "removed": changes["removed"], "upgraded": changes["changed"]}


def bytes_to_send(desired, application, after, packed_sizes):
    """Return the compressed size of the files the host lacks in all its complete trees, in bytes."""
    damaged = set(spec.damaged(desired, application))
    lacking = [
        entry[3]
        for kind, manifest in (("release", after["files"]), ("environment", after["environment"]))
        for entry in manifest or ()
        if entry[1] != "link" and (kind, entry[0]) in damaged
    ]
    for kind, manifest in (("release", after["files"]), ("environment", after["environment"])):
        if desired[kind] not in application[f"{kind}s"]:
            lacking += [
                entry[3] for entry in manifest or () if entry[1] != "link" and (entry[3], entry[1]) not in after["known"][kind]
            ]
    return sum(packed_sizes.get(sha256, 0) for sha256 in lacking)


# Configuration, variables, processes.


def configuration_changes(desired, application, slot, is_warm):
    """Return [{"file", "diff"}]: how the files outside the host's root that will be written differ from what is in force.

    A slot's program follows the one of the slot that answers, so it is compared with that, as if it were for that slot, too.
    """
    texts, listed = application["texts"], []
    if not is_warm:
        answers = application["active"] or slot
        text = desired["supervisor"][answers]["text"]
        listed.append((desired["supervisor"][slot]["path"], texts.get(f"supervisor-{answers}"), text))
    if desired["nginx"]:
        listed.append((desired["nginx"]["path"], texts.get("nginx"), spec.site_text(desired, slot)))
    return [{"file": name, "diff": diffs.unified(name, there, text)} for name, there, text in listed if there != text]


def variable_changes(desired, application):
    """Return the names of variables {"added", "changed", "removed"} against the slot that answers; values appear nowhere."""
    active = application["slots"].get(application["active"]) if application["active"] else None
    before = (active or {}).get("variables") or {}
    after = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in desired["variables"].items()}
    return {kind: list(names) for kind, names in compare.value_changes(before, after).items()}


def process_changes(desired, application, slot, is_warm):
    """Return {"start", "stop"}: [{"name", "slot"}] of processes, the former web process staying up where it is kept warm."""
    running = processes_up(application["slots"].get(slot))
    stop = [] if is_warm else [(name, slot) for name in running]
    start = [(name, slot) for name in sorted(desired["processes"]) if not is_warm or name not in running]
    active = application["active"]
    if active and active != slot:
        stop += [
            (name, active) for name in processes_up(application["slots"].get(active)) if name != "web" or not desired["keep_warm"]
        ]
    return {kind: [{"name": name, "slot": where} for name, where in names] for kind, names in (("start", start), ("stop", stop))}


def processes_up(held):
    """Return the names of a slot's processes that supervisord keeps up."""
    return sorted(name for name, process in (held or {"processes": {}})["processes"].items() if process["state"] not in LAID_DOWN)


# What moved in the meantime.


def observed(application, seal):
    """Return what of a host's state the changes were drawn up from."""
    slots = {
        name: held
        and {
            "release": held["release"],
            "version": held.get("version"),
            "running": processes_up(held),
            "settings": seal(held["spec_digest"] or "")[:16],
        }
        for name, held in application["slots"].items()
    }
    return {
        "current": application["current"],
        "active": application["active"],
        "slots": slots,
        "files": {what: application["files"].get(what) for what in FILES},
        "damaged": application.get("damaged", []),
        "trees": {kind: sorted(application[kind]) for kind in ("releases", "environments")},
    }


def moved(planned, found, planned_texts, found_texts):
    """Return [{"what", "message", "diff"?}]: how a host differs from what a plan was drawn up from; both are of_host()'s.

    The texts are those of the files the agent reported. Never empty when the digests differ.
    """
    before, now = planned["observed"], found["observed"]
    listed = []
    if before["current"] != now["current"]:
        listed.append(
            {
                "what": "release",
                "message": f"it runs {found['current_release'] or 'nothing'}, not {planned['current_release'] or 'nothing'}",
            }
        )
    elif before["active"] != now["active"]:
        listed.append({"what": "slot", "message": f"slot {now['active']} answers, not {before['active']}"})
    listed += [
        moved_file(what, planned_texts.get(what), found_texts.get(what))
        for what in FILES
        if before["files"][what] != now["files"][what]
    ]
    if before["damaged"] != now["damaged"]:
        paths = [path for _, _, path in now["damaged"]]
        detail = f"missing or changed: {', '.join(paths)}" if paths else "as they were shipped again"
        listed.append({"what": "files", "message": f"files of what runs there are {detail}"})
    listed += [
        {
            "what": f"slot {slot}",
            "message": f"slot {slot} is now {slot_text(now['slots'][slot])} instead of {slot_text(before['slots'][slot])}",
        }
        for slot in spec.SLOTS
        if before["slots"][slot] != now["slots"][slot]
    ]
    if not listed and before["trees"] != now["trees"]:
        listed.append({"what": "trees", "message": "it keeps other releases or virtualenvs"})
    if not listed and planned["digest"] != found["digest"]:
        planned, found = binding(planned), binding(found)
        differing = sorted(name for name in planned if name != "digest" and planned[name] != found.get(name)) or [
            "how the processes are started"
        ]
        listed.append({"what": "changes", "message": f"what would be done differs in: {', '.join(differing).replace('_', ' ')}"})
    return listed


def moved_file(what, before, now):
    """Return what became of one file."""
    kind = "nginx's site" if what == "nginx" else f"the supervisor's configuration of slot {what[-1]}"
    became = "is gone" if now is None else "is new" if before is None else "was edited"
    return {"what": what, "message": f"{kind} {became}", "diff": diffs.unified(what, before, now)}


def slot_text(held):
    """Return what a slot holds, as people read it."""
    if held is None:
        return "empty"
    running = ", ".join(held["running"]) or "nothing"
    return f"{held['version'] or 'an unknown release'} with {running} up (settings {held['settings']})"
