"""How a host differs from how Windlass left it: pure functions over what the host's agent answers.

What a rollout leaves behind is kept as a record; a later look is compared with it. Only what a deploy of the same
release puts right counts as drift, so the slot that nobody is led to does not.
"""

from controllers.desired import diffs, spec

FILE_NAMES = {
    "nginx": "nginx's site",
    "supervisord": "supervisord's program file",
    "systemd": "one of systemd's unit files",
}
FILES = "files"  # The kind of item that only a look at every file can find, and only another one can dismiss.


def record(application):
    """Return what a host is to be from now on: what its agent answered (with texts) when a rollout ended; None for nothing."""
    slot = active_slot(application)
    if slot is None:
        return None
    return {
        "release": application["current"],
        "version": slot["version"],
        "environment": slot["environment"],
        "settings": slot["spec_digest"],
        "processes": sorted(slot["processes"]),
        "texts": texts_of(application),
    }


def active_slot(application):
    """Return what is known of the slot that answers, or None."""
    return application["slots"].get(application["active"]) if application["active"] else None


def texts_of(application):
    """Return {"supervisord" or "systemd", "nginx": text or None} of the configuration files that what answers stands on."""
    texts = application["texts"]
    return {supervisor_of(application): texts.get(f"supervisor-{application['active']}"), "nginx": texts.get("nginx")}


def supervisor_of(application):
    """Return the kind of supervisor that runs what answers."""
    return (active_slot(application) or {}).get("supervisor", "supervisord")


def compare(recorded, application, mask=lambda text: text):
    """Return [{"kind", "message", "diff"}]: how a host's state (with texts) differs from its record; [] when it does not.

    mask(text) hides secret values: what somebody wrote into a file by hand may hold one.
    """
    found = [*of_release(recorded, application), *of_slot(recorded, application)]
    return [
        {"kind": kind, "message": mask(message), "diff": None if diff is None else mask(diff)} for kind, message, diff in found
    ]


def of_release(recorded, application):
    """Yield (kind, message, diff) of the link `current` and of the trees."""
    if application["current"] != recorded["release"]:
        links = [name and f"releases/{name}" for name in (recorded["release"], application["current"])]
        became = f"leads to {links[1]}" if links[1] else "is gone"
        yield (
            "release",
            f"the link `current` {became}; it should lead to {links[0]}",
            diffs.unified("current", *links),
        )
    for kind in ("release", "environment"):
        if recorded[kind] not in application[f"{kind}s"]:
            yield kind, f"the {kind} {recorded[kind][:12]} is gone from the disk", None
    for kind, name, path in application.get("damaged", ()):
        if recorded[kind] == name:
            yield FILES, f"{path} of the {kind} is missing or is not what was shipped", None


def of_slot(recorded, application):
    """Yield (kind, message, diff) of the slot that answers: its settings, environment, configuration files, processes."""
    slot = active_slot(application)
    if slot is None:
        yield "release", f"nothing answers; {recorded['version'] or 'a release'} should", None
        return
    if slot["spec_digest"] != recorded["settings"]:
        version = slot["version"] or "something unknown"
        yield "release", f"slot {application['active']} answers with {version}, started from other settings", None
    if slot["environment"] != recorded["environment"]:
        yield "environment", f"it runs in the environment {(slot['environment'] or 'none')[:12]}", None
    now = texts_of(application)
    for kind, text in recorded["texts"].items():
        if now.get(kind) != text:
            became = "is gone" if now.get(kind) is None else "is new" if text is None else "was edited"
            name = FILE_NAMES[kind] if became == "was edited" or kind != "systemd" else "systemd's set of unit files"
            yield kind, f"{name} {became}", diffs.unified(kind, text, now.get(kind))
    yield from of_processes(recorded, slot, supervisor_of(application))


def of_processes(recorded, slot, supervisor):
    """Yield (kind, message, diff) of processes that are not up, or do not answer."""
    states = {name: process["state"] for name, process in slot["processes"].items()}
    down = [name for name in recorded["processes"] if states.get(name) not in spec.UP]
    for name in down:
        yield "processes", f"{name} is {states.get(name) or f'unknown to {supervisor}'}", None
    for name in sorted(set(states) - set(recorded["processes"])):
        yield "processes", f"{name} is {states[name]}; it was not deployed", None
    if not down and not slot["serving"]:
        yield "processes", "the web process is up but nothing answers where it should listen", None
