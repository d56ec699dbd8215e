#!/usr/bin/env python3
"""Set Windlass up and start it on this machine, or run its tests. Needs Python 3.11 or newer and nothing else.

python3 dev.py              everything: web, worker, the sample application; Ctrl-C stops it all
python3 dev.py test [...]   the tests, each once; with --all also what repeats them (further arguments go to pytest)
python3 dev.py lock         resolve the dependencies anew
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "lib"))

from devkit import setup  # noqa: E402


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="dev.py",
        description="Set Windlass up and start it on this machine.",
        epilog="python3 dev.py test [--all] [pytest arguments] runs the tests; python3 dev.py lock resolves dependencies anew.",
    )
    made.add_argument("--port", type=int, help="port of the dashboard and the API (default: the setting web.port, 8080)")
    made.add_argument("--data", type=Path, help="folder for everything Windlass keeps (default: var/)")
    made.add_argument("--empty", action="store_true", help="do not deploy the sample application")
    made.add_argument("--config", type=Path, help="configuration file (default: etc/config.json)")
    return made


def start(arguments):
    """Set up what is missing, then serve until Ctrl-C; returns the exit code."""
    options = parser().parse_args(arguments)
    setup.ensure()
    from devkit import serve  # It imports what has only been set up now, as the other two may.

    return serve.main(options)


def test(arguments):
    """Set up what the tests need, then run them; returns pytest's exit code."""
    setup.ensure(with_tests=True)
    from devkit import testing

    return testing.main(arguments)


def lock():
    """Resolve the dependencies and write the three locks; returns the exit code."""
    setup.ensure()
    from devkit import lockfiles

    lockfiles.lock()
    return 0


def main(arguments):
    """Carry out one of the three commands; returns the exit code."""
    try:
        if arguments[:1] == ["test"]:
            return test(arguments[1:])
        if arguments == ["lock"]:
            return lock()
        return start(arguments)
    except setup.SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
