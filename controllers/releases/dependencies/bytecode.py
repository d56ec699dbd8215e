"""Bytecode for a virtualenv: compiled here once for all hosts, and for each source file once for all virtualenvs.

It is never compared with its source again (PEP 552, unchecked hash-based files), because both are read-only from now on.
What was compiled is remembered by version of Python, path and content of the source:

    <data>/store/bytecode/<aa>/<key> -> SHA-256 of the compiled file, an object of the store, as a symbolic link's text
"""

import contextlib
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import store
import subprocesses

JOBS = 2
SCHEME = b"1"  # Raise it when the same source would be compiled to something else than before.


def add(prefix, python_version, interpreter, work):
    """Put a compiled file beside every source file below `prefix`; `interpreter` is one of that version of Python."""
    missing = []
    for source in sorted(prefix.glob("lib/**/*.py")):
        key = key_of(source, prefix, python_version)
        compiled = place_of(source, python_version)
        if not restore(key, compiled):
            missing.append((source, key, compiled))
    if missing:
        compile_files([source for source, _, _ in missing], prefix, interpreter, work)
    with ThreadPoolExecutor(max_workers=JOBS) as pool:
        list(pool.map(remember, [key for _, key, _ in missing], [compiled for _, _, compiled in missing]))


def key_of(source, prefix, python_version):
    """Return what a compiled file depends on, as one digest; its path is part of it, because tracebacks show it."""
    parts = (SCHEME, python_version.encode(), os.fsencode(source.relative_to(prefix)), source.read_bytes())
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def place_of(source, python_version):
    """Return where Python looks for a source file's compiled one (PEP 3147)."""
    return source.parent / "__pycache__" / f"{source.stem}.cpython-{python_version.replace('.', '')}.pyc"


def link_of(key):
    """Return the symbolic link that remembers what a key's source was compiled to."""
    return store.base() / "bytecode" / key[:2] / key


def restore(key, compiled):
    """Write a compiled file that is remembered; returns False where there is none."""
    try:
        content = store.read(os.readlink(link_of(key)))
    except (OSError, store.StoreError):
        return False
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(content)
    return True


def remember(key, compiled):
    """Remember a compiled file; there is none for a source with another Python's syntax."""
    if not compiled.is_file():
        return
    sha256, _ = store.add_file(compiled)
    link = link_of(key)
    link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileNotFoundError):
        link.unlink()  # It led to something that is gone.
    with contextlib.suppress(FileExistsError):  # Another build was quicker.
        os.symlink(sha256, link)


def compile_files(sources, prefix, interpreter, work):
    """Compile source files; one that cannot be compiled is no failure, its importer will say so."""
    names = b"".join(os.fsencode(source) + b"\n" for source in sources)
    argv = [
        *(interpreter, "-I", "-m", "compileall", "-q", "-j", str(JOBS), "--invalidation-mode", "unchecked-hash"),
        *("-s", str(prefix), "-i", "-"),
    ]  # fmt: skip
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
    options = {"timeout_s": work.remaining_s(), "stop": work.stop, "on_tick": work.tick}
    try:
        subprocesses.run(argv, environment=environment, stdin=names, merged=True, **options)
    except subprocesses.Failed as error:
        work.output(
            "Some files could not be compiled to bytecode; Python compiles them when they are used: "
            + "; ".join(line.strip() for line in error.tail[:3])
        )
