"""The scripts that start an application's processes, and the variables they get."""

import json
import os

from remote.agent.failures import Failure
from remote.agent.machine.commands import SYSTEM_PATH


def environment_of(host, spec, slot):
    """Return the variables of a slot's processes, as (name, value) pairs; later ones win."""
    place = host.place
    release = "{}/{}".format(place.releases, spec["release"])
    env = "{}/{}".format(place.environments, spec["environment"])
    source = [release] + ([release + "/src"] if os.path.isdir(release + "/src") else [])
    import pwd

    return [
        ("PATH", env + "/bin:" + SYSTEM_PATH),
        ("VIRTUAL_ENV", env),
        ("HOME", pwd.getpwuid(os.getuid()).pw_dir),
        ("LANG", "C.UTF-8"),
        ("PYTHONUNBUFFERED", "1"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONPATH", ":".join(source)),
        *sorted((spec.get("variables") or {}).items()),
        ("SOCKET", place.socket(slot)),
        ("PORT", str(host.ports.get(slot, ""))),
        ("WINDLASS_RELEASE", spec["release"]),
        ("WINDLASS_SLOT", slot),
    ]


# A server that crashed, or a machine that did, leaves its socket file behind, and many servers do not start over one. And
# many make their socket for their own user only, while nginx runs as another. Both also happen when nobody deploys.
OPEN_SOCKET = """rm -f "$SOCKET"
( (
  tries=0
  until [ -S "$SOCKET" ] || [ $tries -ge 300 ]; do sleep 0.2; tries=$((tries + 1)); done
  chmod a+rw "$SOCKET"; sleep 1; chmod a+rw "$SOCKET"
) >/dev/null 2>&1 </dev/null & )"""


def launcher_text(host, spec, slot, what, command, is_exec, serves_socket=False):
    """Return the script that starts a command in a release with its variables."""
    import shlex

    lines = [
        "#!/bin/sh",
        f"# Starts {what} in slot {slot}. Written by Windlass; the next deploy writes it anew.",
    ]
    for name, value in environment_of(host, spec, slot):
        is_name = name.replace("_", "a").isalnum() and name.isascii() and not name[0].isdigit()
        if not is_name or "\0" in str(value):
            raise Failure(
                "bad-request",
                f"The variable {json.dumps(name)} cannot be set in a process.",
                "Names are letters, digits and underscores; values hold no NUL.",
            )
        lines.append(f"export {name}={shlex.quote(str(value))}")
    lines.append("cd {} || exit 1".format(shlex.quote("{}/{}".format(host.place.releases, spec["release"]))))
    if serves_socket:
        lines.append(OPEN_SOCKET)
    lines.append(("exec " if is_exec and not command.startswith("exec ") else "") + command)
    return "\n".join(lines) + "\n"


RETIRED = "#!/bin/sh\n# This slot is not active, so this process has nothing to do. Written by Windlass.\nexit 0\n"
