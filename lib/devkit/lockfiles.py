"""Resolve every dependency once and split the result into the three hash-locked lists.

`python3 dev.py lock` runs this. The pure-Python set goes to lib/vendor.txt, the compiled one to env.txt and what only
tests need to tests/requirements.txt. A package is pure when its newest locked version has a py3-none-any wheel.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from devkit import places

HEADER = "# Made by `python3 dev.py lock` from {sources}; do not edit.\n"
BLOCK = re.compile(r"^[A-Za-z0-9][^\n]*(?:\n[ \t]+[^\n]*)*", re.M)
# Pure wheels exist for these too, but each is the Python half of a compiled package and must match its other half.
TIED_TO_COMPILED = {"pydantic", "gevent", "psycopg", "psycopg-pool"}
PURE_ONLY = [
    "--no-deps",
    "--only-binary=:all:",
    "--platform",
    "any",
    "--implementation",
    "py",
    "--abi",
    "none",
    "--python-version",
    "3.11",
]


def compile_command(sources, output, constraint=None):
    """Return the argv that resolves `sources` (paths) into the hash-locked file `output`."""
    argv = [
        str(places.ENV / "bin" / "uv"),
        "pip",
        "compile",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-annotate",
        "--no-header",
        "--quiet",
        "--output-file",
        str(output),
    ]
    if constraint:
        argv += ["--constraint", str(constraint)]
    return argv + [str(source) for source in sources]


def name_of(block):
    """Return the package's name of one requirement block of a lock, which uv has normalised."""
    return re.split(r"[=\[; ]", block, maxsplit=1)[0]


def is_pure(block, scratch):
    """Say whether the locked version has a wheel for every platform, by asking the package index for it."""
    requirement = block.split("\\")[0].split(";")[0].strip()
    argv = [
        str(places.ENV / "bin" / "python"),
        "-m",
        "pip",
        "download",
        "--quiet",
        "--dest",
        scratch,
        *PURE_ONLY,
        requirement,
    ]
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def write(path, sources, blocks):
    """Write one lock file."""
    header = HEADER.format(sources=", ".join(sources))
    path.write_text(header + "\n".join(blocks) + "\n", encoding="utf-8")


def lock():
    """Resolve all lists together, so that they agree, and write the three locks anew."""
    runtime = [places.ROOT / "lib" / "vendor.in", places.ROOT / "env.in"]
    with tempfile.TemporaryDirectory() as scratch:
        together = Path(scratch) / "runtime.txt"
        subprocess.run(compile_command(runtime, together), check=True)
        testing = Path(scratch) / "tests.txt"
        subprocess.run(compile_command([places.ROOT / "tests" / "requirements.in"], testing, together), check=True)
        blocks = BLOCK.findall(together.read_text(encoding="utf-8"))
        pure = [block for block in blocks if name_of(block) not in TIED_TO_COMPILED and is_pure(block, scratch)]
        runtime_names = {name_of(block) for block in blocks}
        tests_only = [
            block for block in BLOCK.findall(testing.read_text(encoding="utf-8")) if name_of(block) not in runtime_names
        ]
    write(places.VENDOR_LOCK, ["lib/vendor.in", "env.in"], pure)
    write(places.ENV_LOCK, ["lib/vendor.in", "env.in"], [block for block in blocks if block not in pure])
    write(places.TESTS_LOCK, ["tests/requirements.in"], tests_only)
    print(f"locked: {len(pure)} pure, {len(blocks) - len(pure)} compiled, {len(tests_only)} for tests only")
