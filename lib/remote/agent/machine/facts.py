"""The facts of a host that the controller asks for: its system, its Pythons, its disk, its clock."""

import os
import sys
import time

from remote.agent import VERSION
from remote.agent.machine.commands import SYSTEM_PATH
from remote.agent.machine.files import free_space, read_bytes, user_name


def facts(request):
    """Return what this host is."""
    release = os.uname()
    free, inodes = free_space(request["root"])
    return {
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "pythons": pythons(),
        "system": release.sysname.lower(),
        "machine": release.machine,
        "libc": libc(),
        "hostname": release.nodename,
        "user": user_name(),
        "uid": os.getuid(),
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "disk_free_bytes": free,
        "inodes_free": inodes,
        "distribution": distribution(),
        "clock_ms": int(time.time() * 1000),
        "agent": VERSION,
    }


def libc():
    """Return [name, version] of the C library."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION").split()
    except (ValueError, OSError, AttributeError):
        return ["musl", ""] if any(name.startswith("ld-musl-") for name in os.listdir("/lib")) else ["unknown", ""]


def distribution():
    """Return the distribution's own name for itself."""
    for line in (read_bytes("/etc/os-release") or b"").decode("utf-8", "replace").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return ""


def pythons():
    """Return {"3.11": path} of the CPython interpreters found by name, the running one included."""
    found = {"{}.{}".format(*sys.version_info[:2]): running_python()}
    folders = (os.environ.get("PATH", "") + ":" + SYSTEM_PATH + ":" + os.path.expanduser("~/.local/bin")).split(":")
    for folder in folders:
        try:
            names = os.listdir(folder) if folder else []
        except OSError:
            continue
        for name in names:
            version = name[len("python") :]
            if name.startswith("python3.") and version[2:].isdigit() and version not in found and is_binary(folder + "/" + name):
                found[version] = folder + "/" + name
    return found


def running_python():
    """Return the path of the interpreter that runs us, by its most particular name, which upgrades of others do not change."""
    path = getattr(sys, "_base_executable", None) or sys.executable
    named = os.path.join(os.path.dirname(path), "python{}.{}".format(*sys.version_info[:2]))
    return named if os.path.realpath(named) == os.path.realpath(path) else os.path.realpath(path)


def is_binary(path):
    """Say whether a file is a program and not a script that may pass on to a program that is not there."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF" and os.access(path, os.X_OK)
    except OSError:
        return False
