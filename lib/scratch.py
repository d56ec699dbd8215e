"""Private folders for work in progress. One whose process was killed is removed by whoever makes the next one.

<data>/scratch/<name>/ belongs to the process that holds the lock of <data>/scratch/<name>.lock; the kernel lets go of
the lock when that process ends, however it ends.
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from config import settings

LOCK = ".lock"


@contextlib.contextmanager
def folder(purpose):
    """Make a private folder for the length of the block; what is in it is removed with it."""
    base = Path(settings.data, "scratch")
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    sweep(base)
    path = base / f"{purpose}-{os.urandom(8).hex()}"
    lock = os.open(f"{path}{LOCK}", os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path.mkdir(mode=0o700)
        yield path
    finally:
        remove(path)
        os.close(lock)


def sweep(base):
    """Remove the folders that no living process holds."""
    for entry in base.glob(f"*{LOCK}"):
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(entry, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(entry.with_name(entry.name.removesuffix(LOCK)))
            except BlockingIOError:
                continue
            finally:
                os.close(lock)


def remove(path):
    """Remove a folder and its lock file; folders that a program left without write permission are opened up first."""

    def open_up(function, failed, _):
        """Do what failed (`function`, on the path `failed`) again, with write permission."""
        os.chmod(os.path.dirname(failed), 0o700)
        with contextlib.suppress(OSError):
            os.chmod(failed, 0o700)
        function(failed)

    if path.is_dir():
        shutil.rmtree(path, onerror=open_up)
    Path(f"{path}{LOCK}").unlink(missing_ok=True)
