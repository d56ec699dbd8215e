"""The client's folders: imports run one way between them, and never lead in a circle."""

import ast
import graphlib
from pathlib import Path

from tests.cli.conftest import ROOT

PACKAGE = ROOT / "cli" / "windlass_cli"
# From the bottom to the top: a module may import from its own folder and from what is on the levels before.
LEVELS = (
    ("__init__", "deadlines", "errors", "settings", "versions"),
    ("api",),
    ("display",),
    ("jobs",),
    ("command_line",),
    ("commands",),
    ("__main__", "main"),
)
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}


def graph():
    """Return {path of a module below the package, without its suffix: those that it imports}."""
    found = {path.relative_to(PACKAGE).with_suffix(""): set() for path in sorted(PACKAGE.rglob("*.py"))}
    for path, imports in found.items():
        for node in ast.walk(ast.parse((PACKAGE / path).with_suffix(".py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "windlass_cli":
                place = Path(*node.module.split(".")[1:])
                imports |= {place / alias.name if place / alias.name in found else place for alias in node.names}
    return found


def test_every_module_is_on_a_level():
    assert {path.parts[0] for path in graph()} == set(LEVEL_OF)


def test_imports_run_one_way():
    wrong = [
        f"{path} imports {imported}"
        for path, imports in graph().items()
        for imported in imports
        if imported.parts and LEVEL_OF[imported.parts[0]] > LEVEL_OF[path.parts[0]]
    ]
    assert not wrong


def test_imports_lead_in_no_circle():
    assert list(graphlib.TopologicalSorter(graph()).static_order()), "static_order() raises CycleError for a circle"
