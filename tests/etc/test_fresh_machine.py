"""On a Debian that has nothing but Python, `etc/provision.sh test` installs every program that the tests look for.

The bare Debian is a folder, made from this machine's package archive. What to install is resolved there in every run; with
`dev.py test --all` it is installed too, two gigabytes of it.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.etc.test_provision import NEEDS_ROOT, SCRIPT
from tests.fleet.fixtures import skipped_if_unavailable
from tests.fleet.keeper import BARE_PATH, POSTGRESQL, PROGRAMS, RABBITMQ, find_program

pytestmark = NEEDS_ROOT
TIMEOUT_S = 500
PLACES = (*BARE_PATH.split(":"), POSTGRESQL, RABBITMQ)
APT = Path("/etc/apt")
# $1 is the root, $2 a script to run in it; all that it mounts is gone with its namespace.
IN_ROOT = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$1" bash -c "$2"'


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A bare Debian of this machine's release, with its package lists."""
    with skipped_if_unavailable():
        mmdebstrap = find_program("mmdebstrap")
    made = tmp_path_factory.mktemp("fresh") / "root"
    settings = [f"--aptopt={path}" for path in sorted(APT.glob("apt.conf.d/*")) if "Acquire" in path.read_text()]
    settings.append('--aptopt=Acquire::Retries "3"')
    options = ["--mode=root", "--variant=minbase", "--include=python3", "--skip=cleanup/apt/lists", *settings]
    done = subprocess.run(
        [mmdebstrap, "--quiet", *options, codename(), str(made), *archives()],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        pytest.skip(f"needs: a Debian package archive: {done.stderr.strip()[-300:]}")
    (made / "usr/local/bin/provision").write_bytes(SCRIPT.read_bytes())
    yield made
    shutil.rmtree(made)


def codename():
    """Return the name of this machine's release of Debian."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return next(line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_CODENAME="))


def archives():
    """Return the files that say where this machine's packages come from."""
    files = [
        APT / "sources.list",
        *sorted(APT.glob("sources.list.d/*.list")),
        *sorted(APT.glob("sources.list.d/*.sources")),
    ]
    return [str(path) for path in files if path.is_file() and path.stat().st_size]


def inside(root, commands):
    """Run shell commands in the bare Debian."""
    argv = ["unshare", "--mount", "--pid", "--fork", "bash", "-c", IN_ROOT, "root", str(root), commands]
    return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S)


def is_there(root, program):
    """Say whether the bare Debian has a program by now, as find_program() would look for it."""
    return any(list(root.glob(f"{place.lstrip('/')}/{program}")) for place in PLACES)


def named(checked):
    """Return the packages that `--check` names as missing."""
    assert checked.returncode in (0, 3), checked.stderr
    return {line.removeprefix("package ") for line in checked.stdout.splitlines()}


def test_the_role_names_the_package_of_each_program_that_is_not_there(root):
    missing = named(inside(root, "bash /usr/local/bin/provision --check test"))
    absent = {package for program, package in PROGRAMS.items() if not is_there(root, program)}
    assert {"sudo", "postgresql", "chromium"} <= absent <= missing


def test_what_the_role_names_can_be_installed_together(root):
    done = inside(
        root,
        "packages=$(bash /usr/local/bin/provision --check test | sed -n 's/^package //p'); "
        "apt-get install --simulate --yes --no-install-recommends $packages",
    )
    assert done.returncode == 0, done.stderr
    installed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("Inst ")}
    assert named(inside(root, "bash /usr/local/bin/provision --check test")) <= installed


def test_every_program_is_there_once_the_role_is_installed(root, request):
    if not request.config.getoption("all"):
        pytest.skip("with --all: it installs two gigabytes")
    done = inside(root, "bash /usr/local/bin/provision test && bash /usr/local/bin/provision --check test target")
    assert "done: test\n" in done.stdout, done.stderr
    assert not [line for line in done.stdout.splitlines() if line.startswith("package ")]
    assert [program for program in PROGRAMS if not is_there(root, program)] == []
