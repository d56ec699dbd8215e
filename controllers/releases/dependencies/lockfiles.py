"""Locks: the exact packages of a release, each with its hashes, from whatever file the application keeps them in.

A lock is text: requirements with hashes in normal form, or a pylock.toml. Its digest leaves comments out, so it is the
same for the same packages. What Windlass resolved itself is reused as long as what it was resolved from is unchanged, so
that a change of code alone changes no dependency.
"""

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

import scratch
from controllers.errors import BuildFailed
from controllers.releases.dependencies import platforms, requirements, uv
from controllers.releases.project import kind_of

PYLOCK, UV_LOCK, HASHED, RESOLVED, EMPTY = "pylock.toml", "uv.lock", "requirements.txt", "resolved", "none"
SCHEME = 1  # Raise it when the same files would give another lock than before.
HEADER = re.compile(r"# Inputs: ([0-9a-f]{64})\n")
PINNED_LINE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.M)
URL_LINE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])? @ (\S+)", re.M)
REQUIRES_PYTHON = re.compile(r"^requires-python\s*=.*\n", re.M)


@dataclass(frozen=True)
class Lock:
    """A lock: `kind` says where it came from, `text` what it says, `python` the version it is for."""

    kind: str
    text: str
    python: str

    @property
    def digest(self):
        """SHA-256 over what the lock says, comments left out."""
        return hashlib.sha256(without_comments(self.text).encode()).hexdigest()


@dataclass(frozen=True)
class Question:
    """What a lock is made for. `files` are texts by path; `main` is the one that is read first; `kind` is what that one is."""

    kind: str
    main: str
    files: dict
    python: str
    extras: tuple = ()
    groups: tuple = ()
    title: str | None = None

    @property
    def name(self):
        """What people know it by."""
        return self.title or self.main

    def inputs(self, index):
        """Return the digest of everything that the answer depends on."""
        parts = [SCHEME, self.kind, self.main, self.files, self.python, self.extras, self.groups, index.url]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def without_comments(text):
    """Return a lock's text without comment lines."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def settle(project, python, index, work, previous=(), upgrade=False):
    """Return the Lock of a project for a version of Python.

    index: where packages come from (foreign.artifacts.base.Index); previous: texts of earlier locks of the application,
    newest first; upgrade: resolve anew although nothing changed. Raises BuildFailed, Interrupted, ForeignError.
    """
    question = ask(project, python)
    if question is None:
        return Lock(EMPTY, "", python)
    return answer(question, index, work, previous, upgrade)


def settle_package(package, version, more, python, index, work, previous=(), upgrade=False):
    """Return (Lock, version) of a package of an index with what it needs and `more` requirements; version None is the newest."""
    lines = [f"{package}=={version}" if version else package, *more]
    question = Question(RESOLVED, "package.txt", {"package.txt": "".join(f"{line}\n" for line in lines)}, python, title=lines[0])
    required = requirements.read("package.txt", question.files.get)
    if required.options or len(required.items) != len(lines):
        raise BuildFailed("A package, its version and what else is required are each one requirement, without options.")
    for item in required.items[1:]:
        if item.hashes:
            raise BuildFailed(
                f"'{item.line()}': more requirements of an application are given without hashes; Windlass locks them."
            )
    lock = answer(question, index, work, previous, upgrade or version is None)
    found = packages(lock.text).get(canonicalize_name(required.items[0].name))
    if found is None:
        raise BuildFailed(f"{package} is not among what was resolved for it.")
    return lock, found


def ask(project, python):
    """Return the Question that a project's files put, or None where it has no dependencies. Raises BuildFailed."""
    path = project.dependencies
    if path is None:
        return None
    kind, tree = kind_of(path), project.tree
    if kind == "requirements.txt":
        found = requirements.read(path, tree.read)
        if not found.items:
            return None
        return Question(HASHED if found.hashed else RESOLVED, path, found.files, python)
    files = {path: tree.read(path)}
    if kind == UV_LOCK:
        folder = path.rpartition("/")[0]
        manifest = f"{folder}/pyproject.toml" if folder else "pyproject.toml"
        if manifest not in tree:
            raise BuildFailed(f"{path} needs the {manifest} it was made from.")
        files |= {name: tree.read(name) for name in tree.entries if name == manifest or name.endswith("/pyproject.toml")}
    return Question(RESOLVED if kind == "pyproject.toml" else kind, path, files, python, project.extras, project.groups)


def answer(question, index, work, previous, upgrade):
    """Return the Lock for a Question: read, converted, reused or resolved."""
    inputs = question.inputs(index)
    if question.kind == PYLOCK:
        return made(question, inputs, normal_pylock(question.files[question.main], question.main))
    if question.kind == HASHED:
        found = requirements.read(question.main, question.files.get)
        requirements.check_pins(found)
        return made(question, inputs, found.text())
    if not upgrade and (same := next((text for text in previous if inputs_of(text) == inputs), None)):
        return Lock(question.kind, same, question.python)
    make = export if question.kind == UV_LOCK else resolve
    with scratch.folder("lock") as folder:
        return made(question, inputs, make(question, index, work, folder, None if upgrade else next(iter(previous), None)))


def made(question, inputs, text):
    """Return a Lock that says what it was made from."""
    header = f"# Packages for Python {question.python}, from {question.name}.\n# Inputs: {inputs}\n"
    return Lock(question.kind, header + text, question.python)


def inputs_of(text):
    """Return the digest of what a lock's text was made from, or None."""
    match = HEADER.search(text or "")
    return match[1] if match else None


def write_files(question, folder):
    """Write a question's files below a folder, as they lie in the repository."""
    for path, text in question.files.items():
        place = Path(folder, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


def resolve(question, index, work, folder, preferred):
    """Resolve requirements without hashes; versions of the lock before are kept where they still fit."""
    project_folder = folder / "project"
    project_folder.mkdir()
    write_files(question, project_folder)
    output = folder / "lock.txt"
    if preferred and "lock-version" not in preferred:
        output.write_text(without_comments(preferred), encoding="utf-8")
    work.output(f"Locking the dependencies of {question.name} for Python {question.python}")
    python = platforms.interpreter(question.python) or platforms.interpreter(platforms.own_version())
    command = uv.compile_command(
        [project_folder / question.main], output, question.python, python, question.extras, question.groups
    )
    uv.run(command, work, index, folder, f"The dependencies of {question.name} cannot be resolved")
    found = requirements.read("lock", {"lock": output.read_text(encoding="utf-8")}.get)
    if kind_of(question.main) == "requirements.txt":
        found.options = requirements.read(question.main, question.files.get).options
    requirements.check_pins(found)
    return found.text()


def export(question, index, work, folder, _):
    """Write a uv.lock as requirements with hashes."""
    write_files(question, folder / "project")
    place = (folder / "project" / question.main).parent
    python = platforms.interpreter(question.python) or platforms.interpreter(platforms.own_version())
    command = uv.export_command(place, python, question.extras, question.groups)
    uv.run(command, work, index, folder, f"{question.main} cannot be read")
    found = requirements.read("uv.lock", {"uv.lock": (place / "exported.txt").read_text(encoding="utf-8")}.get)
    requirements.check_pins(found)
    return found.text()


# pylock.toml (PEP 751).


def normal_pylock(text, path):
    """Return a pylock.toml in normal form; raises BuildFailed for packages that a release may not take."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BuildFailed(f"{path} is not valid TOML: {error}.") from None
    if not isinstance(document.get("packages", []), list) or "lock-version" not in document:
        raise BuildFailed(f"{path} is no lock as PEP 751 describes it.")
    for package in document.get("packages", []):
        check_package(package, path)
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").removeprefix("\ufeff").splitlines()]
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("#"))


def check_package(package, path):
    """Raise BuildFailed unless a package of a pylock.toml comes as files with hashes."""
    name = package.get("name", "a package") if isinstance(package, dict) else "a package"
    place = f"{path}, {name}"
    if not isinstance(package, dict) or "vcs" in package or "directory" in package:
        raise BuildFailed(
            f"{place}: it comes from a repository or a folder and cannot be checked by a hash; publish it to a package index."
        )
    files = [*package.get("wheels", []), *(package[key] for key in ("sdist", "archive") if key in package)]
    for file in files:
        if "path" in file and "url" not in file:
            raise BuildFailed(f"{place}: a file of the repository cannot be installed; publish it to a package index.")
        if "url" in file:
            requirements.check_url(file["url"], place)
        if not file.get("hashes"):
            raise BuildFailed(f"{place}: a file has no hash.")


def for_uv(lock_text, kind, crosses):
    """Return (file name, text) of a lock as uv is given it.

    uv compares requires-python with the interpreter it runs with; for another version than that (`crosses`) it is left out.
    """
    if kind != PYLOCK:
        return "lock.txt", lock_text
    return "pylock.toml", REQUIRES_PYTHON.sub("", lock_text) if crosses else lock_text


# Reading locks.


def packages(lock_text):
    """Return {package: version} of a lock's text; a package locked twice, for different platforms, has both."""
    if not lock_text:
        return {}
    found = {}
    for name, version in pairs(lock_text):
        versions = found.setdefault(canonicalize_name(name), [])
        if version not in versions:
            versions.append(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def pairs(lock_text):
    """Yield (name, version) of a lock's text."""
    if "lock-version" in lock_text:
        for package in tomllib.loads(lock_text).get("packages", []):
            yield package["name"], package.get("version", "?")
        return
    yield from PINNED_LINE.findall(lock_text)
    yield from URL_LINE.findall(lock_text)
