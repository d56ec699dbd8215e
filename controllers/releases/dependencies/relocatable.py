"""Make what an installer wrote into a virtualenv's content that works anywhere and is the same each time.

Scripts start the python beside them instead of one of this machine, notes of the installer go, and bytecode is added.
"""

import base64
import csv
import hashlib
import io
import os
import re
from pathlib import Path

from controllers.releases.dependencies import bytecode

# A line that sh takes for a command and Python for a string: sh starts the python beside the script, Python goes on below.
TRAMPOLINE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")/python" "$0" "$@"
' '''
"""
PYTHON_SHEBANG = re.compile(rb"#![^\n]*python[^\n/]*\n")
# What uv leaves beside packages for its own later runs.
LEFT_OVERS = {"uv_cache.json", "uv_build.json"}


def finish(prefix, platform, interpreter, work):
    """Finish what was installed below `prefix` for a platform; `interpreter` compiles bytecode, None leaves it out."""
    rename_library(prefix, platform)
    remove_left_overs(prefix)
    changed = relocate_scripts(prefix / "bin")
    for record in sorted(prefix.glob("lib/python*/site-packages/*.dist-info/RECORD")):
        rewrite_record(record, changed)
    if interpreter:
        bytecode.add(prefix, platform.python, interpreter, work)


def rename_library(prefix, platform):
    """Name the library's folder for the platform's version of Python; the installer uses its own interpreter's."""
    right = prefix / "lib" / f"python{platform.python}"
    for folder in prefix.glob("lib/python*"):
        if folder != right:
            folder.rename(right)
    if (prefix / "lib64").is_symlink():
        (prefix / "lib64").unlink()


def remove_left_overs(prefix):
    """Remove the installer's lock file, its notes, and bytecode that packages brought along."""
    (prefix / ".lock").unlink(missing_ok=True)
    for folder, _, names in os.walk(prefix):
        for name in names:
            if name in LEFT_OVERS or name.endswith((".pyc", ".pyo")):
                os.unlink(os.path.join(folder, name))


def relocate_scripts(folder):
    """Make the scripts in bin/ start the python beside them; returns their paths."""
    changed = set()
    if not folder.is_dir():
        return changed
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_file():
            continue
        with open(path, "rb") as file:
            if file.read(2) != b"#!":
                continue
        content = path.read_bytes()
        match = PYTHON_SHEBANG.match(content)
        if match:
            replace(path, TRAMPOLINE + content[match.end() :], 0o755)
            changed.add(path)
    return changed


def rewrite_record(record, changed):
    """Bring a package's list of files (the binary distribution format's RECORD) up to date and into one order."""
    rows = []
    for row in csv.reader(io.StringIO(record.read_text(encoding="utf-8"))):
        if len(row) != 3 or Path(row[0]).name in LEFT_OVERS or row[0].endswith((".pyc", ".pyo")):
            continue
        name, digest, size = row
        path = Path(os.path.normpath(record.parent.parent / name))
        if path in changed:
            content = path.read_bytes()
            digest = "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            size = str(len(content))
        rows.append([name, digest, size])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    replace(record, text.getvalue().encode(), 0o644)


def replace(path, content, mode):
    """Give a file new content by a new file: the old one may be a hard link into the installer's cache."""
    aside = path.with_name(f"{path.name}.new")
    aside.write_bytes(content)
    aside.chmod(mode)
    os.replace(aside, path)
