"""Hide what only tests need from a Windlass under test, so that a dependency missing from the runtime lists shows.

Python imports this module at its start when this folder is on PYTHONPATH (site: "sitecustomize").
"""

import os
import re
import sys
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.txt"
KNOWN = "GUARD_HIDES"  # A variable that tells the processes below this one what it found, which costs more than their start.


def names_in(lock):
    """Return the distributions of a lock, by normalised name."""
    return {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([A-Za-z0-9][\w.-]*)==", lock.read_text(), re.M)}


def modules_of(distributions):
    """Return the top-level modules that only these distributions provide."""
    import importlib.metadata  # Here, as most processes need not ask.

    hidden = set()
    for module, providers in importlib.metadata.packages_distributions().items():
        if {re.sub(r"[-_.]+", "-", provider).lower() for provider in providers} <= distributions:
            hidden.add(module)
    return hidden


class Hidden:
    """An import hook that knows nothing but what must not be there."""

    def __init__(self, modules):
        self.modules = modules

    def find_spec(self, name, path=None, target=None):
        """Refuse a hidden module as if it were not installed."""
        if name.partition(".")[0] in self.modules:
            raise ModuleNotFoundError(f"No module named {name!r} (it is for tests only)", name=name)


if KNOWN not in os.environ:
    os.environ[KNOWN] = " ".join(sorted(modules_of(names_in(LOCK)) - {"pip"}))
sys.meta_path.insert(0, Hidden(set(os.environ[KNOWN].split())))
