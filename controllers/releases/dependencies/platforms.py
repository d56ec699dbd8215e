"""Platforms: what a virtualenv's content depends on beside its lock, and what this machine can build for.

A platform is a text such as "cpython-311-linux-x86_64-glibc-2.36".
"""

import functools
import os
import platform as this_machine
import re
import shutil
import sys
from dataclasses import dataclass

import subprocesses
from controllers.errors import BuildFailed

PROBE_TIMEOUT_S = 10

# Platform tags that uv takes for --python-platform, by C library version: the highest that is not above the host's is used.
GLIBC_TAGS = tuple((2, minor) for minor in (17, 28, *range(31, 41)))
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
TEXT = re.compile(
    r"(?P<implementation>[a-z]+)-(?P<major>\d)(?P<minor>\d+)-(?P<system>[a-z0-9]+)-(?P<machine>[A-Za-z0-9_]+)"
    r"-(?P<libc>[a-z]+)-(?P<version>[\d.]+)"
)


@dataclass(frozen=True)
class Platform:
    """The parts of a platform."""

    implementation: str
    python: str
    system: str
    machine: str
    libc: str
    libc_version: tuple

    @property
    def folder(self):
        """The folder of a virtualenv's packages."""
        return f"lib/python{self.python}/site-packages"


def platform_of(facts, python_version=None):
    """Return the platform of a host by its facts, for one of its versions of Python ("3.11"; default: its python3's)."""
    python = python_version or ".".join(facts["python"].split(".")[:2])
    libc, version = [*(facts.get("libc") or []), "", ""][:2]
    machine = f"{facts['system']}-{facts['machine']}-{libc or 'none'}-{version or '0'}"
    return f"{facts['implementation']}-{python.replace('.', '')}-{machine}".lower()


def parse(text):
    """Return the Platform a text stands for; raises BuildFailed."""
    match = TEXT.fullmatch(text)
    if not match:
        raise BuildFailed(f"'{text}' is no platform that Windlass can build for.")
    return Platform(
        match["implementation"],
        f"{match['major']}.{match['minor']}",
        match["system"],
        match["machine"],
        match["libc"],
        tuple(map(int, match["version"].split("."))),
    )


@functools.cache
def own_facts():
    """Return this machine's parts of a platform, as an agent would observe them."""
    libc, version = this_machine.libc_ver()
    return {
        "implementation": sys.implementation.name,
        "python": this_machine.python_version(),
        "system": sys.platform,
        "machine": this_machine.machine(),
        "libc": [libc, version],
    }


def own_platform(python_version=None):
    """Return the platform of this machine."""
    return platform_of(own_facts(), python_version)


def own_version():
    """Return the version of Python that Windlass itself runs on, such as "3.11"."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


@functools.cache
def interpreter(python_version):
    """Return the path of this machine's interpreter of a version, or None; a version manager's stub is none."""
    if python_version == own_version():
        return os.path.realpath(sys.executable)
    found = shutil.which(f"python{python_version}")
    if not found:
        return None
    try:
        done = subprocesses.run(
            [found, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            environment={"PATH": os.environ.get("PATH", "")},
            timeout_s=PROBE_TIMEOUT_S,
        )
    except subprocesses.CommandError:
        return None
    return found if done.output.decode().strip() == python_version else None


def native_interpreter(platform):
    """Return the path of an interpreter here whose builds run on a platform, or None.

    That takes the same kind of machine, and a C library that is not newer than the platform's.
    """
    own = parse(own_platform(platform.python))
    is_same = (own.implementation, own.system, own.machine, own.libc) == (
        platform.implementation,
        platform.system,
        platform.machine,
        platform.libc,
    )
    return interpreter(platform.python) if is_same and own.libc_version <= platform.libc_version else None


def uv_tag(platform):
    """Return what uv calls a platform that is not this machine's; raises BuildFailed where it has no name for it."""
    machine = MACHINES.get(platform.machine)
    if platform.implementation == "cpython" and machine:
        if platform.system == "darwin":
            return f"{machine}-apple-darwin"
        if platform.system == "linux" and platform.libc == "musl":
            return f"{machine}-unknown-linux-musl"
        tags = [tag for tag in GLIBC_TAGS if tag <= platform.libc_version[:2]]
        if platform.system == "linux" and platform.libc == "glibc" and tags:
            return f"{machine}-manylinux_{tags[-1][0]}_{tags[-1][1]}"
    raise BuildFailed(
        f"Windlass cannot build for {platform.system} on {platform.machine} with {platform.implementation} {platform.python} "
        f"and {platform.libc}: "
        "it builds for CPython on Linux and macOS, x86-64 and ARM64."
    )


def pick_version(offered, required=None, lowest=None):
    """Return the version of Python a release is built for.

    offered: for each host of its targets the versions it has; required: what the repository asks for; lowest: what its code
    needs at least. Without a wish it is this machine's own version where every host has it, else the newest that all have;
    where none fits, it is this machine's own, or the lowest that will do.
    """
    if required:
        return required
    own = own_version()
    common = set.intersection(*map(set, offered)) if offered else {own}
    fitting = [version for version in common if key_of(version) >= key_of(lowest or "0.0")]
    if own in fitting or not fitting:
        return max(own, lowest or own, key=key_of)
    return max(fitting, key=key_of)


def key_of(version):
    """Return what orders versions such as "3.9" and "3.11"."""
    return tuple(map(int, version.split(".")))
