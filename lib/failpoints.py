"""Places in Windlass at which the fault tests may end, stop, hold or hinder the process that comes by.

Unless the variable WINDLASS_FAILPOINTS names a folder, as it never does outside tests, reaching a point does nothing. With it,
a file named like the point is claimed by a rename to `<point>.reached`, so that it acts once however many processes
come by; its content says what happens: `kill` (SIGKILL), `stop` (SIGSTOP), `wait` (until the claimed file is removed),
`enospc` and `eio` (an OSError). docs/reliability.md lists the points.
"""

import errno
import os
import signal
import time

FOLDER = os.environ.get("WINDLASS_FAILPOINTS")
LOOK_S = 0.02
ERRORS = {"enospc": errno.ENOSPC, "eio": errno.EIO}


def reach(point):
    """Do what a test asks of whoever comes by this point; nothing outside tests. Raises OSError for `enospc` and `eio`."""
    if FOLDER:
        act(point)


def act(point):
    """Claim the file of a point and do what it says; nothing when there is none, or another was faster."""
    armed, reached = os.path.join(FOLDER, point), os.path.join(FOLDER, f"{point}.reached")
    try:
        os.rename(armed, reached)
        with open(reached, encoding="utf-8") as file:
            action = file.read().strip()
    except FileNotFoundError:
        return
    if action in ERRORS:
        raise OSError(ERRORS[action], os.strerror(ERRORS[action]), point)
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "wait":
        while os.path.exists(reached):
            time.sleep(LOOK_S)
    else:
        raise ValueError(f"{reached}: unknown action {action!r}")
