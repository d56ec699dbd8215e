"""What a tree in the content store says about the application in it: processes, Python version, dependency files."""

import posixpath
import re
import tomllib
from dataclasses import dataclass, field

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

import procfile
import store
from controllers.errors import BuildFailed

LARGEST_FILE = 16 * 1024 * 1024
MOST_LINKS = 8
DEPENDENCY_FILES = ("uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml")
FOREIGN_LOCKS = {
    "poetry.lock": "poetry export",
    "Pipfile.lock": "pipenv requirements",
    "pdm.lock": "pdm export",
    "environment.yml": "a pip requirements file",
}
PYLOCK = re.compile(r"pylock(\.[A-Za-z0-9-]+)?\.toml")


class Tree:
    """Reads files of a tree in the store."""

    def __init__(self, digest):
        self.entries = {entry[0]: entry for entry in store.manifest(digest)}

    def __contains__(self, path):
        return path in self.entries

    def read(self, path):
        """Return a file's text, following symbolic links, or None if there is none. Raises BuildFailed when it is not UTF-8."""
        for _ in range(MOST_LINKS):
            entry = self.entries.get(path)
            if entry is None:
                return None
            if entry[1] != "link":
                return self._text(path, entry)
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry[2]))
        return None

    def _text(self, path, entry):
        if entry[2] > LARGEST_FILE:
            raise BuildFailed(f"{path} is larger than {LARGEST_FILE} bytes.")
        try:
            return store.read(entry[3]).decode()
        except UnicodeDecodeError:
            raise BuildFailed(f"{path} is not UTF-8 text.") from None

    def toml(self, path):
        """Return the content of a TOML file, None if there is none; raises BuildFailed."""
        text = self.read(path)
        try:
            return None if text is None else tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BuildFailed(f"{path} is not valid TOML: {error}.") from None


@dataclass
class Project:
    """What the files say. `dependencies` is the path of the file that names the dependencies, or None."""

    tree: Tree
    processes: dict
    settings: dict
    python: str | None
    lowest_python: str | None
    dependencies: str | None
    extras: tuple = ()
    groups: tuple = ()
    notes: list = field(default_factory=list)


def read(digest):
    """Return the Project in a tree. Raises BuildFailed naming file and place of what cannot be used."""
    tree = Tree(digest)
    try:
        processes = procfile.parse_procfile(tree.read("Procfile") or "")
        description = procfile.parse_windlass_json(tree.read("windlass.json") or "{}")
        python = python_version(tree, description)
    except procfile.BadDescription as error:
        raise BuildFailed(str(error)) from None
    project = Project(
        tree=tree,
        processes=procfile.processes_of(processes, description),
        python=python,
        lowest_python=lowest_python(tree),
        settings={key: value for key, value in description.items() if key not in ("processes", procfile.RELEASE)},
        dependencies=dependency_file(tree, description),
        extras=tuple(description.get("extras", ())),
        groups=tuple(description.get("groups", ())),
    )
    project.notes = list(notes_on(project))
    return project


def python_version(tree, description):
    """Return the version of Python that is asked for ("3.11"): windlass.json's, else .python-version's, or None."""
    if "python" in description:
        return procfile.PYTHON_VERSION.fullmatch(description["python"])[1]
    return procfile.python_version_in(tree.read(".python-version") or "")


def lowest_python(tree):
    """Return the lowest version that pyproject.toml's requires-python admits, or None where it does not say so plainly."""
    document = tree.toml("pyproject.toml") or {}
    table = document.get("project")
    required = table.get("requires-python") if isinstance(table, dict) else None
    try:
        specifiers = SpecifierSet(required if isinstance(required, str) else "")
    except InvalidSpecifier:
        return None
    lowest = [Version(item.version.removesuffix(".*")) for item in specifiers if item.operator in (">=", "~=", "==")]
    return f"{max(lowest).major}.{max(lowest).minor}" if lowest else None


def dependency_file(tree, description):
    """Return the path of the file that names the dependencies: windlass.json's choice, else the first there is, or None."""
    chosen = description.get("dependencies")
    if chosen:
        if chosen not in tree:
            raise BuildFailed(f"windlass.json: the file '{chosen}' of dependencies is not in the repository.")
        if kind_of(chosen) is None:
            raise BuildFailed(
                f"windlass.json: '{chosen}' is no file of dependencies that Windlass reads: "
                "requirements as .txt, uv.lock, pylock.toml or pyproject.toml."
            )
        return chosen
    for path in DEPENDENCY_FILES:
        if path in tree and (path != "pyproject.toml" or declares_dependencies(tree)):
            return path
    for path, advice in FOREIGN_LOCKS.items():
        if path in tree:
            raise BuildFailed(
                f"Windlass does not read {path}: keep a requirements.txt with hashes beside it (made with {advice}), "
                "or a uv.lock or pylock.toml."
            )
    return None


def kind_of(path):
    """Return what a file of dependencies is by its name: one of DEPENDENCY_FILES, or None."""
    name = posixpath.basename(path)
    if PYLOCK.fullmatch(name):
        return "pylock.toml"
    if name in ("uv.lock", "pyproject.toml"):
        return name
    return "requirements.txt" if name.endswith((".txt", ".in")) else None


def declares_dependencies(tree):
    """Say whether pyproject.toml lists dependencies (PEP 621); raises BuildFailed where only running its build would tell."""
    table = (tree.toml("pyproject.toml") or {}).get("project")
    if not isinstance(table, dict):
        return False
    dynamic = table.get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        raise BuildFailed(
            "pyproject.toml has dynamic dependencies, which only its build knows: "
            "add a uv.lock, a pylock.toml or a requirements.txt."
        )
    return bool(table.get("dependencies"))


def notes_on(project):
    """Yield sentences about what people may not expect."""
    ignored = [path for path in DEPENDENCY_FILES[:3] if path in project.tree and path != project.dependencies]
    if ignored and project.dependencies:
        yield f"Note: dependencies come from {project.dependencies}; {' and '.join(ignored)} is not used."
    if project.dependencies is None:
        yield "Note: no file names dependencies; the virtualenv is empty."
    if (project.extras or project.groups) and (
        project.dependencies is None or kind_of(project.dependencies) not in ("uv.lock", "pyproject.toml")
    ):
        yield "Note: 'extras' and 'groups' of windlass.json count with a uv.lock or a pyproject.toml only."
    scripts = (project.tree.toml("pyproject.toml") or {}).get("project") or {}
    scripts = scripts.get("scripts") if isinstance(scripts, dict) else None
    if isinstance(scripts, dict) and scripts:
        yield (
            f"Note: the project itself is not installed, so its own scripts ({', '.join(sorted(scripts)[:5])}) are not there; "
            "start it with 'python -m' or through a server such as gunicorn."
        )
    if not project.processes:
        yield "Note: there is no Procfile; the application or its target must say which processes to run."
