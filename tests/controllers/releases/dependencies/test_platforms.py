"""Platforms: their names, what this machine can build for, and which Python a release is for."""

import platform
import sys

import pytest

from controllers.errors import BuildFailed
from controllers.releases.dependencies import platforms

FACTS = {
    "implementation": "cpython",
    "python": "3.11.2",
    "pythons": {"3.11": "/usr/bin/python3.11"},
    "system": "linux",
    "machine": "x86_64",
    "libc": ["glibc", "2.36"],
}


def test_a_platform_is_made_of_a_host_s_facts():
    assert platforms.platform_of(FACTS) == "cpython-311-linux-x86_64-glibc-2.36"
    assert platforms.platform_of(FACTS, "3.9") == "cpython-39-linux-x86_64-glibc-2.36"
    assert (
        platforms.platform_of({**FACTS, "system": "darwin", "machine": "arm64", "libc": []}) == "cpython-311-darwin-arm64-none-0"
    )


def test_a_platform_is_read_back():
    found = platforms.parse("cpython-312-linux-aarch64-musl-1.2")
    assert (found.python, found.machine, found.libc, found.libc_version, found.folder) == (
        "3.12",
        "aarch64",
        "musl",
        (1, 2),
        "lib/python3.12/site-packages",
    )
    assert platforms.parse(platforms.own_platform()).python == platforms.own_version()


@pytest.mark.parametrize(
    "text", ["", "x", "cpython-311-linux", "cpython-311-linux-x86_64-glibc-2.36; rm", "cpython-311-linux-../x-glibc-2"]
)
def test_what_is_no_platform_is_refused(text):
    with pytest.raises(BuildFailed, match="no platform"):
        platforms.parse(text)


@pytest.mark.parametrize(
    "text, tag",
    [
        ("cpython-311-linux-x86_64-glibc-2.36", "x86_64-manylinux_2_36"),
        ("cpython-311-linux-x86_64-glibc-2.29", "x86_64-manylinux_2_28"),
        ("cpython-311-linux-aarch64-glibc-2.99", "aarch64-manylinux_2_40"),
        ("cpython-311-linux-arm64-glibc-2.17", "aarch64-manylinux_2_17"),
        ("cpython-311-linux-x86_64-musl-1.2", "x86_64-unknown-linux-musl"),
        ("cpython-311-darwin-arm64-none-0", "aarch64-apple-darwin"),
    ],
)
def test_other_platforms_have_uv_s_name(text, tag):
    assert platforms.uv_tag(platforms.parse(text)) == tag


@pytest.mark.parametrize(
    "text",
    [
        "pypy-310-linux-x86_64-glibc-2.36",
        "cpython-311-linux-s390x-glibc-2.36",
        "cpython-311-linux-x86_64-glibc-2.5",
        "cpython-311-freebsd-amd64-none-0",
    ],
)
def test_what_cannot_be_built_for_is_told(text):
    with pytest.raises(BuildFailed, match="cannot build for"):
        platforms.uv_tag(platforms.parse(text))


def test_this_machine_builds_natively_for_itself_and_for_newer_c_libraries():
    own = platforms.own_platform()
    assert platforms.native_interpreter(platforms.parse(own)) == platforms.interpreter(platforms.own_version())
    name, _version = platform.libc_ver()
    if name == "glibc":
        base = own.rpartition("-")[0]
        assert platforms.native_interpreter(platforms.parse(f"{base}-2.99"))
        assert platforms.native_interpreter(platforms.parse(f"{base}-2.5")) is None
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    assert platforms.native_interpreter(platforms.parse(own.replace(platform.machine().lower(), other))) is None


def test_an_interpreter_that_does_not_run_is_none(tmp_path, monkeypatch):
    version = "3.87"
    stub = tmp_path / f"python{version}"
    stub.write_text("#!/bin/sh\nexit 127\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    platforms.interpreter.cache_clear()
    assert platforms.interpreter(version) is None
    stub.write_text(f"#!/bin/sh\necho {version}\n")
    platforms.interpreter.cache_clear()
    assert platforms.interpreter(version) == str(stub)
    platforms.interpreter.cache_clear()


OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize(
    "offered, required, lowest, picked",
    [
        ([], None, None, OWN),
        ([], "3.9", None, "3.9"),
        ([["3.8"]], "3.13", None, "3.13"),
        ([["3.8", OWN], [OWN, "3.99"]], None, None, OWN),
        ([["3.8", "3.9"], ["3.9", "3.8"]], None, None, "3.9"),
        ([["3.8"], ["3.9"]], None, None, OWN),
        ([], None, "3.99", "3.99"),
        ([], None, "3.8", OWN),
        ([[OWN, "3.98", "3.99"]], None, "3.98", "3.99"),
        ([["3.8", "3.10"]], None, "3.9", "3.10"),
        ([["3.8"]], None, "3.99", "3.99"),
    ],
)
def test_which_python_a_release_is_for(offered, required, lowest, picked):
    assert platforms.pick_version(offered, required, lowest) == picked
