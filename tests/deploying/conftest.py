"""One Windlass a test module, with hosts of its own; what a test makes has names of its own."""

import itertools
import os
import subprocess
import sys

import pytest

from tests.fleet.hammer import Hammer
from tests.stack import ROOT, Repository, running_stack

_names = (f"app{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A running Windlass on SQLite and the embedded broker."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def hosts(stack, fleet_factory, request):
    """The module's hosts (as many as its HOSTS says, else one), registered and trusted."""
    fleet = fleet_factory(getattr(request.module, "HOSTS", 1))
    for host in fleet:
        stack.add_host(host)
    return list(fleet)


@pytest.fixture
def name():
    """An application's name that no other test uses."""
    return next(_names)


@pytest.fixture
def repository(stack, name):
    """An empty repository, registered as the application `name`."""
    made = Repository(stack.repositories / name)
    stack.add_application(made, name)
    return made


@pytest.fixture
def cli(stack):
    """Run the real client: cli("deploy", …) -> CompletedProcess."""

    def run(*arguments, check=True):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "cli"),
            "WINDLASS_URL": stack.url,
            "WINDLASS_TOKEN": stack.token,
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "windlass_cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=180,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def hammer(host, name):
    """A client that keeps asking a host's nginx for an application."""
    return Hammer(host.url, host_header=f"{name}.example.com")
