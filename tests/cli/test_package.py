"""The client is a package of its own: it can be built and installed alone, and needs nothing of the server."""

import ast
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from tests.cli.conftest import ROOT
from windlass_cli import __version__

CLIENT = ROOT / "cli"
PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
UV = pathlib.Path(sys.executable).with_name("uv")


def imported():
    """Return the top names of everything that the client imports."""
    names = set()
    for path in (CLIENT / "windlass_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                names.add(node.module.partition(".")[0])
    return names


def test_the_client_imports_only_what_its_package_declares():
    declared = {re.match(r"[a-z0-9-]+", requirement)[0] for requirement in PROJECT["dependencies"]}
    assert declared == {"click", "requests", "rich", "urllib3"}
    assert imported() - set(sys.stdlib_module_names) - {"windlass_cli"} == declared


def test_version_and_script_are_those_of_the_package():
    assert PROJECT["name"] == "windlass-cli"
    assert PROJECT["version"] == __version__
    assert PROJECT["scripts"] == {"windlass": "windlass_cli.main:entry"}


def test_the_version_is_one_that_the_server_serves():
    source = (ROOT / "lib" / "version.py").read_text(encoding="utf-8")
    minimum = re.search(r'^CLIENT_MINIMUM = "([0-9.]+)"', source, re.M)[1]
    assert [int(part) for part in __version__.split(".")] >= [int(part) for part in minimum.split(".")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel without a network and install it into a folder that holds nothing else."""
    if not UV.exists():
        pytest.skip("uv is not in the virtualenv")
    folder = tmp_path_factory.mktemp("installed")
    wheels = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [UV, "build", "--wheel", "--offline", "--out-dir", wheels, CLIENT], check=True, capture_output=True, timeout=120
    )
    (wheel,) = wheels.glob("windlass_cli-*.whl")
    subprocess.run(
        [UV, "pip", "install", "--offline", "--no-deps", "--target", folder, wheel],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return folder


def test_the_installed_script_runs_with_no_module_of_the_server_in_reach(installed, api, tmp_path):
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for name in (
        "click",
        "requests",
        "rich",
        "urllib3",
        "idna",
        "certifi",
        "charset_normalizer",
        "markdown_it",
        "mdurl",
        "pygments",
    ):
        module = __import__(name)
        (libraries / name).symlink_to(pathlib.Path(module.__file__).parent)
    # -S leaves out the .pth file that puts the server's folders on the path of this virtualenv.
    script = installed / "bin" / "windlass"
    done = subprocess.run(
        [sys.executable, "-S", "-P", script, "applications", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PYTHONPATH": os.pathsep.join([str(installed), str(libraries)]),
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "NO_PROXY": "*",
            "WINDLASS_URL": api.url,
            "WINDLASS_TOKEN": "wl_0123456789abcdef",
        },
    )
    assert done.returncode == 0, done.stderr
    assert "shop" in done.stdout


def test_nothing_but_the_client_is_in_the_package(installed):
    assert sorted(
        path.name for path in installed.iterdir() if not path.name.endswith(".dist-info") and not path.name.startswith(".")
    ) == ["bin", "windlass_cli"]
    modules = {path.relative_to(installed).as_posix() for path in installed.rglob("*.py")}
    assert modules == {path.relative_to(CLIENT).as_posix() for path in (CLIENT / "windlass_cli").rglob("*.py")}
