"""The scripts' folders: imports run one way between them, name files that are there, and never lead in a circle."""

import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "static" / "js"
# From the bottom to the top: a folder may import from those before its level. Folders on one level do not know each other.
LEVELS = (
    ("lib",),
    ("api",),
    ("widgets",),
    ("access", "commands", "fleet", "guards", "integrations"),
    ("deploys",),
    ("applications",),
    ("pages",),
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
MOST_FILES = 15
IMPORT = re.compile(r'^import\b[^;"]*"([^"]+)";', re.M)


def graph():
    """Return {path of a script below static/js: paths of those that it imports}."""
    return {
        path.relative_to(SCRIPTS): {
            (path.parent / name).resolve().relative_to(SCRIPTS) for name in IMPORT.findall(path.read_text(encoding="utf-8"))
        }
        for path in sorted(SCRIPTS.rglob("*.js"))
    }


def test_every_script_is_in_a_folder_that_has_a_level():
    assert {path.parent.as_posix() for path in graph()} == set(LEVEL_OF)


def test_imports_run_one_way():
    wrong = [
        f"{path} imports {imported}"
        for path, imports in graph().items()
        for imported in imports
        if path.parent != imported.parent and LEVEL_OF[imported.parts[0]] >= LEVEL_OF[path.parts[0]]
    ]
    assert not wrong


def test_pages_do_not_import_pages():
    assert not [path for path, imports in graph().items() if any(imported.parts[0] == "pages" for imported in imports)]


def test_imports_name_scripts_that_are_there_and_lead_in_no_circle():
    found = graph()
    assert set().union(*found.values()) <= set(found)
    assert list(graphlib.TopologicalSorter(found).static_order()), "static_order() raises CycleError for a circle"


@pytest.mark.parametrize("room", LEVEL_OF)
def test_a_folder_is_seen_at_a_glance(room):
    assert 0 < len(list((SCRIPTS / room).iterdir())) <= MOST_FILES
