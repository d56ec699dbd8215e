"""The specification of one application's state on one host, rendered from facts and settings; pure but for reading templates."""

import functools
import hashlib
import html
import json
import shlex
from pathlib import Path

from bottle import SimpleTemplate

from config import ROOT
from procfile import binding_of, shell_line

TEMPLATES = Path(ROOT) / "etc" / "templates"
SLOTS = ("a", "b")
STOP_WAIT_S = 30
RELEASE_PROCESS = "release"
CLOSED_MESSAGE = "We are working on this service and will be back soon."
NGINX_SPECIAL = "\"'\\$"
# supervisord calls a process STARTING for its first second, also when it serves.
UP = frozenset({"RUNNING", "STARTING"})


@functools.cache
def template(name):
    """Return a compiled template of etc/templates/ that escapes nothing: these are configuration files, not HTML."""
    return SimpleTemplate((TEMPLATES / name).read_text(encoding="utf-8"), noescape=True)


def sha256(text):
    """Return the SHA-256 of a text in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def long_running(processes):
    """Return the processes that stay up: all but the `release` process."""
    return {name: command for name, command in sorted(processes.items()) if name != RELEASE_PROCESS}


def supervisor_kind(settings):
    """Return which supervisor a host's settings name."""
    return settings["supervisor"].get("kind", "supervisord")


def programs(application, slot, commands, host, facts):
    """Return {"kind", "path", "text"}: what the host's supervisor starts one slot's processes from."""
    kind = supervisor_kind(host["settings"])
    path = f"windlass-{application}-{slot}.{'*.service' if kind == 'systemd' else 'conf'}"
    return {"kind": kind, "path": path, "text": TEXTS[kind](application, slot, commands, host, facts)}


def user_of(facts):
    """Return whom a supervisor that runs as root is to start processes as; None: itself."""
    return facts["user"] if facts["supervisor"].get("is_root") and facts["uid"] else None


def supervisor_text(application, slot, commands, host, facts):
    """Return the supervisord configuration of one slot's processes.

    A line that the shell does not replace itself by leaves a shell in between, so the whole group is told to stop.
    """
    base = f"{host['root']}/{application}"
    return template("supervisor.conf.tpl").render(
        application=application,
        slot=slot,
        names=list(commands),
        user=user_of(facts),
        stop_wait_s=STOP_WAIT_S,
        shared=_for_supervisor(f"{base}/shared"),
        logs=_for_supervisor(f"{base}/shared/logs"),
        stop_group=lambda name: "false" if shell_line(commands[name]).startswith("exec ") else "true",
        launcher=lambda name: _for_supervisor(shlex.quote(f"{base}/run/{slot}-{name}")),
    )


def _for_supervisor(text):
    """Escape what supervisord would expand."""
    return text.replace("%", "%%")


def systemd_text(application, slot, commands, host, facts):
    """Return the systemd units of one slot's processes one after the other, each below the line that names it.

    They are stopped as under supervisord: the main process alone, or its whole group where a shell stays in front of it.
    """
    base = f"{host['root']}/{application}"
    return "".join(
        template("systemd.service.tpl").render(
            application=application,
            slot=slot,
            name=name,
            launcher=systemd_word(f"{base}/run/{slot}-{name}"),
            shared=_without_specifiers(f"{base}/shared"),
            logs=_without_specifiers(f"{base}/shared/logs"),
            user=user_of(facts),
            is_system=bool(facts["supervisor"].get("is_root")),
            stop_wait_s=STOP_WAIT_S,
            kill_mode="mixed" if shell_line(command).startswith("exec ") else "control-group",
        )
        for name, command in commands.items()
    )


def systemd_word(text):
    """Return a text as one quoted word of ExecStart=, whatever it holds but NUL; see systemd.service(5), "Command lines".

    systemd takes off the quotes and resolves escapes first, then expands %-specifiers, and variables when it starts the process.
    """
    escaped = {"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$"}
    return '"' + "".join(escaped.get(letter) or _escaped_control(letter) for letter in text) + '"'


def _escaped_control(letter):
    return f"\\x{ord(letter):02x}" if ord(letter) < 32 or ord(letter) == 127 else letter


def _without_specifiers(text):
    """Escape what systemd would expand in a path."""
    return text.replace("%", "%%")


TEXTS = {"supervisord": supervisor_text, "systemd": systemd_text}


def upstream(application, slot, binding, host, ports):
    """Return nginx's address of the application: the switched socket, or the port of a slot."""
    if binding == "socket":
        return f"unix:{host['root']}/{application}/run/current.sock"
    return f"127.0.0.1:{ports[slot]}"


def nginx_text(application, slot, binding, host, ports, server_names):
    """Return the nginx site that serves one slot.

    It holds a proof, a word that changes with the text: the agent asks nginx for it, because nginx keeps its old configuration
    silently when a reload fails.
    """

    def rendered(proof):
        """Return the text with this proof in it."""
        return template("nginx.conf.tpl").render(
            application=application,
            name=application.replace("-", "_"),
            listen=host["settings"]["nginx"]["listen"],
            proof=proof,
            server_names=" ".join(server_names) or "_",
            upstream=upstream(application, slot, binding, host, ports),
        )

    return rendered(sha256(rendered(""))[:16])


def closed_text(application, host, server_names, closed):
    """Return the nginx site that answers 503 with a page instead of the application.

    closed: {"message", "retry_after_s"}, either None. The text leads to neither slot, so that deploys need not change it.
    """
    page = template("maintenance.html.tpl").render(message=html.escape(closed["message"] or CLOSED_MESSAGE))

    def rendered(proof):
        """Return the text with this proof in it."""
        return template("maintenance.conf.tpl").render(
            application=application,
            listen=host["settings"]["nginx"]["listen"],
            proof=proof,
            server_names=" ".join(server_names) or "_",
            retry_after_s=closed["retry_after_s"],
            page=quoted_for_nginx(page),
        )

    return rendered(sha256(rendered(""))[:16])


def quoted_for_nginx(page):
    """Return HTML as one quoted word of nginx, in which it finds no variable, quote or end: those are HTML's references."""
    plain = "".join(page.splitlines())
    return '"' + "".join(f"&#{ord(letter)};" if letter in NGINX_SPECIAL else letter for letter in plain) + '"'


def build(application, release, environment_name, python, snapshot, variables, host, state, deploy_id, closed=None):
    """Return the `spec` of the agent's verb `activate` (docs/agent.md).

    release: {"digest", "version", "processes"}; environment_name, python: what the host's virtualenv is
    called and made with; snapshot: the target's; variables: plain values; host: {"root", "settings", "address"}; state: what
    the agent answered to `begin`; closed: where the target is in maintenance, what closed_text() takes.
    """
    facts, ports = state["facts"], state["application"]["ports"]
    commands = long_running(release["processes"])
    binding = binding_of(commands["web"]) if "web" in commands else None
    spec = {
        "deploy": deploy_id,
        "release": release["digest"],
        "environment": environment_name,
        "python": python,
        "version": release["version"],
        "processes": {name: {"command": shell_line(command), "exec": False} for name, command in commands.items()},
        "web": "web" if "web" in commands else None,
        "binding": binding,
        "variables": variables,
        "supervisor": {slot: programs(application, slot, commands, host, facts) for slot in SLOTS},
        "nginx": _nginx(application, binding, host, ports, snapshot["server_names"], closed),
        "health": {**snapshot["health"], "host": (snapshot["server_names"] or ["localhost"])[0]},
        "drain_s": snapshot.get("drain_s", 30),
        "keep_warm": snapshot.get("keep_warm", True),
    }
    spec["spec_digest"] = digest(spec)
    return spec


def _nginx(application, binding, host, ports, server_names, closed):
    if binding is None or not host["settings"].get("nginx"):
        return None
    return {
        "path": f"windlass-{application}.conf",
        "text": {slot: nginx_text(application, slot, binding, host, ports, server_names) for slot in SLOTS},
        "closed": closed and closed_text(application, host, server_names, closed),
    }


def site_text(spec, slot):
    """Return what nginx is to serve for a slot: the application, or that it is closed for maintenance."""
    return spec["nginx"].get("closed") or spec["nginx"]["text"][slot]


def digest(spec):
    """Return the digest over all that makes two slots the same; the deploy's number and the site do not."""
    same = {name: spec[name] for name in ("release", "environment", "python", "processes", "binding", "variables", "supervisor")}
    return sha256(json.dumps(same, sort_keys=True))


def is_in_place(spec, state):
    """Say whether a host already is, and runs, exactly what `spec` asks for."""
    application = state["application"]
    slot = application["active"]
    held = slot and application["slots"].get(slot)
    if not held or application["current"] != spec["release"] or held["spec_digest"] != spec["spec_digest"]:
        return False
    if not held["serving"] or any(process["state"] not in UP for process in held["processes"].values()):
        return False
    if set(held["processes"]) != set(spec["processes"]) or not has_whole_trees(spec, application):
        return False
    files = application["files"]
    if files.get(f"supervisor-{slot}") != sha256(spec["supervisor"][slot]["text"]):
        return False
    return spec["nginx"] is None or files.get("nginx") == sha256(site_text(spec, slot))


def damaged(spec, application):
    """Return [(kind, path)] of the desired files that are missing on the host, or are not what was shipped."""
    names = {"release": spec["release"], "environment": spec["environment"]}
    return [(kind, path) for kind, name, path in application.get("damaged", ()) if names[kind] == name]


def has_whole_trees(spec, application):
    """Say whether the release and its environment are on the host, and no file of them is known to be damaged."""
    is_there = spec["release"] in application["releases"] and spec["environment"] in application["environments"]
    return is_there and not damaged(spec, application)


def needs_fresh_start(spec, application):
    """Say whether what runs must not be taken for right although its record is: started from damaged files, or mute."""
    held = application["slots"].get(application["active"]) if application["active"] else None
    is_mute = bool(held) and held["spec_digest"] == spec["spec_digest"] and not held["serving"]
    return is_mute or (bool(held) and not has_whole_trees(spec, application))
