"""Run every test: install what they need where that is allowed, then hand over to pytest."""

import os
import signal
import subprocess

from devkit import places, setup

PROCESSES = (os.cpu_count() or 2) * 2  # Tests on real hosts wait much of their time.
# A file's tests run in one process, so what they share is started once; tests/conftest.py says which files go first.
# A crashed pytest process is not replaced: with loadfile, xdist would wait for ever for the tests that it had.
PARALLEL = ["-n", str(PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart", "0"]
MISSING = 3  # Exit code of etc/provision.sh --check when something is not installed.


def main(arguments):
    """Run pytest with the given arguments (default: everything, in parallel); returns its exit code."""
    provision()
    # Started in the background of a shell, this ignores Ctrl-C, and so would every program that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [str(places.PYTHON), "-m", "pytest", *spread(arguments)]
    # Hundreds of processes are started, and without this each of them would compile all of Windlass for itself.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, cwd=places.ROOT, env=environment).returncode


def spread(arguments):
    """Return pytest's arguments: folders are run by several processes, unless they say how many (-n); files by one.

    Arguments that name neither a folder nor a file, as --all, are about all tests.
    """
    if not any((places.ROOT / argument.partition("::")[0]).exists() for argument in arguments):
        arguments = ["tests", *arguments]
    folders = [argument for argument in arguments if (places.ROOT / argument).is_dir()]
    is_given = any(argument.startswith(("-n", "--numprocesses")) for argument in arguments)
    return [*PARALLEL, *arguments] if folders and not is_given else arguments


def provision():
    """Install the Debian packages the tests need; without the right to, say what is missing and go on without."""
    script = ["bash", str(places.ROOT / "etc" / "provision.sh")]
    if subprocess.run([*script, "--check", "test"], stdout=subprocess.DEVNULL).returncode != MISSING:
        return
    try:
        setup.provision("test")
    except setup.SetupError:
        print("Tests that need what is missing above are skipped and say so.", flush=True)
