"""The architecture, as docs and design draw it: imports run one way, SQL stays in migrations, tasks are registered."""

import ast
import graphlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = {
    "api",
    "app",
    "batch",
    "cli",
    "controllers",
    "dev",
    "fabfile",
    "models",
    "routes",
    "tasks",
    "tests",
    "windlass_cli",
}
LIB = {
    path.stem
    for path in (ROOT / "lib").iterdir()
    if path.stem != "vendor" and (path.suffix == ".py" or (path / "__init__.py").exists())
}
LAYERS = {  # who -> whom of the project they may import beside themselves and lib/
    "app": {"api", "controllers", "routes"},
    "tasks": {"batch", "controllers"},
    "dev": set(),
    "api": {"controllers"},
    "routes": {"controllers"},
    "batch": {"controllers"},
    "controllers": {"models"},
    "models": set(),
    "lib": set(),
}
# The packages of controllers/ from the top down: a package may import those of the lines below its own, and the ground.
PACKAGES = (
    ("repeats", "status", "sweep", "system"),
    ("automation", "commands", "notifications"),
    ("rollout",),
    ("releases",),
    ("fleet",),
    ("catalog",),
    ("jobs",),
    ("access", "foreign", "guards"),
    ("desired",),
)
GROUND = len(PACKAGES)  # The level of modules that stand in controllers/ itself, but for those of the first line.
MOST_IN_A_ROOM = 17
# What starts before anything is installed, runs on foreign hosts or speaks HTTP only cannot use lib/ as the others do.
OWN_PACKAGES = {"cli": {"windlass_cli"}, "fabfile": {"windlass_cli"}}
SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX)|ALTER\s+TABLE|DROP\s+TABLE)\b",
    re.I | re.S,
)

ENQUEUED = re.compile(r'(?:enqueue(?:_rows)?|send|append|Kind)\(\s*\(?"(windlass\.\w+)"')


def files(layer):
    """Return the Python files of a layer."""
    place = ROOT / layer
    found = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return [path for path in found if not {"vendor", "build"} & set(path.relative_to(ROOT).parts)]


def imports(path):
    """Yield (line, first part of the name) of every absolute import in a file, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module.split(".")[0]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_one_way(layer):
    forbidden = PROJECT - LAYERS[layer] - {layer}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files(layer)
        for line, name in imports(path)
        if name in forbidden
    ]
    assert files(layer) and not wrong


def package_of(path):
    """Return the package of controllers/ that a file belongs to; a module of the ground floor is one by itself."""
    return path.relative_to(ROOT / "controllers").parts[0].removesuffix(".py")


def level_of(package):
    return next((level for level, packages in enumerate(PACKAGES) if package in packages), GROUND)


def packages_imported(path):
    """Yield (line, package) of every import of a package of controllers/ in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "controllers":
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("controllers."):
            yield node.lineno, node.module.split(".")[1]


def may_import(package, other):
    """Say whether a package of controllers/ may import another one; the ground is open to all."""
    return package == other or level_of(other) == GROUND or level_of(other) > level_of(package)


def test_packages_of_controllers_import_downwards_only():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {package}"
        for path in files("controllers")
        for line, package in packages_imported(path)
        if not may_import(package_of(path), package)
    ]
    assert not wrong


def test_every_package_of_controllers_has_its_place():
    there = {path.parent.name for path in (ROOT / "controllers").glob("*/__init__.py")}
    named = {package for packages in PACKAGES for package in packages}
    assert there <= named and all(package in there or (ROOT / "controllers" / f"{package}.py").exists() for package in named)


def test_no_room_of_controllers_is_crowded():
    folders = {path.parent for path in files("controllers")}
    counted = {
        str(folder.relative_to(ROOT)): len([path for path in folder.glob("*.py") if path.stem != "__init__"])
        for folder in folders
    }
    assert max(counted.values()) <= MOST_IN_A_ROOM, counted


def modules_below(layer):
    """Return {dotted name: path} of a layer's modules."""
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files(layer)}


def test_modules_of_controllers_import_in_no_circle():
    modules = modules_below("controllers")
    graph = {}
    for name, path in modules.items():
        found = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("controllers"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        graph[name] = (found & set(modules)) - {name}
    list(graphlib.TopologicalSorter(graph).static_order())  # Raises CycleError naming the circle.


@pytest.mark.parametrize("layer", OWN_PACKAGES)
def test_clients_know_nothing_of_the_server_but_http(layer):
    forbidden = (PROJECT | LIB) - OWN_PACKAGES[layer]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files(layer)
        for line, name in imports(path)
        if name in forbidden
    ]
    assert files(layer) and not wrong


def test_only_the_installer_in_lib_knows_the_installer():
    wrong = [
        str(path.relative_to(ROOT))
        for path in files("lib")
        if "devkit" not in path.parts
        for _, name in imports(path)
        if name == "devkit"
    ]
    assert not wrong


def test_requests_stop_at_the_routes():
    """Controllers, models and tasks see plain values; of Bottle they may use its templates alone."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for layer in ("controllers", "models", "batch")
        for path in files(layer)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and "bottle" in [alias.name for alias in node.names])
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "bottle"
            and [alias.name for alias in node.names] != ["SimpleTemplate"]
        )
    ]
    assert not wrong


def test_there_is_no_sql_text_outside_migrations():
    wrong = []
    for layer in ("api", "app", "batch", "controllers", "lib", "models", "routes", "tasks"):
        for path in files(layer):
            if "migrations" in path.parts:
                continue
            wrong += [
                f"{path.relative_to(ROOT)}:{node.lineno}"
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
            ]
    assert not wrong


WORKER = """
import config; config.load()
from controllers.jobs import kinds, queue
import batch
print(*sorted(kinds.ALL)); print(*sorted(name for name in queue.celery().tasks if name.startswith("windlass.")))
"""


def test_every_task_that_is_enqueued_is_declared_and_registered(settings):
    """In a process of its own, as a worker is one: what other tests imported makes no difference."""
    environment = {**os.environ, "WINDLASS_DATA": settings.data}
    done = subprocess.run([sys.executable, "-c", WORKER], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    declared, registered = (line.split() for line in done.stdout.splitlines())
    enqueued = {
        name
        for layer in ("controllers", "lib")
        for path in files(layer)
        for name in re.findall(ENQUEUED, path.read_text(encoding="utf-8"))
    }
    assert enqueued == set(declared) == set(registered)


def test_controllers_know_who_asks():
    """Every controller that routes call is made with the actor alone; a function is not called but for what is public."""
    from api.routing import ENDPOINTS, load

    load()
    names = {endpoint.handler.__module__.removeprefix("api.") for endpoint in ENDPOINTS} - {
        "system",
        "metrics",
        "sessions",
    }
    wrong = []
    for name in sorted(names):
        tree = ast.parse((ROOT / "api" / f"{name}.py").read_text(encoding="utf-8"))
        known = names_of_controllers(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (called := name_called(node)).partition(".")[0] in known:
                passed = [each.id if isinstance(each, ast.Name) else None for each in node.args]
                is_made = called.rpartition(".")[2].endswith("Controller") and passed == ["actor"] and not node.keywords
                if not (is_made or called.rpartition(".")[2] in ("public", "receive")):
                    wrong.append(f"api/{name}.py:{node.lineno} {called}")
    assert not wrong


def names_of_controllers(tree):
    """Return the names that a file imports from controllers/."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "controllers"
        for alias in node.names
    }


def name_called(node):
    """Return what is called, `function` or `module.function`, else ""."""
    if isinstance(node.func, ast.Name):
        return node.func.id
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return f"{node.func.value.id}.{node.func.attr}"
    return ""
