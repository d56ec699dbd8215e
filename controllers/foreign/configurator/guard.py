"""Run a command and see that nothing of it outlives the worker that started it; a script of its own, standard library only.

Hosts run it as well, so it is written for Python 3.8.

    python3 -I -S guard.py DESCRIPTOR PROGRAM ARGUMENT...

DESCRIPTOR is the reading end of a pipe whose other end the worker holds: it closes when the worker dies, however it dies.
Ansible's and Puppet's processes leave their process group, and ssh becomes a daemon, so a signal to a group does not end them.
This process has the kernel give it every orphan among its descendants (prctl(2), PR_SET_CHILD_SUBREAPER), so it finds them.
"""

import ctypes
import os
import select
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
PATIENCE_S = 2.0  # Less than commands.GRACE_S, after which this process itself is killed.
NAP_S = 0.02
ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
HANDLED = (*ASKING, signal.SIGCHLD)


def main(lifeline, argv):
    """Run argv until it ends, or this process is asked to, or the lifeline breaks; returns the exit status."""
    os.set_inheritable(lifeline, False)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    asked = []
    for number in ASKING:
        signal.signal(number, lambda *_: asked.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        child = os.posix_spawnp(argv[0], argv, os.environ, setsigdef=HANDLED)
    except OSError as error:
        sys.exit(f"{argv[0]} cannot be started: {error.strerror}")
    status = None
    while status is None and not asked:
        ready = select.select([lifeline, woken], [], [])[0]
        if woken in ready:
            os.read(woken, 512)
        if lifeline in ready:
            break
        status = ended().get(child)
    if status is None:
        status = end_orderly(child)
    end_at_once()
    return 128 - status if status < 0 else status


def ended():
    """Return {process id: exit status, negative for a signal} of the children that have ended since the last call."""
    found = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found[pid] = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def end_orderly(child):
    """Ask all descendants to end and give them a moment; returns the child's exit status, or that of TERM."""
    status, over = -signal.SIGTERM, time.monotonic() + PATIENCE_S
    send(signal.SIGTERM)
    while time.monotonic() < over:
        status = ended().get(child, status)
        if not descendants():
            break
        time.sleep(NAP_S)
    return status


def end_at_once():
    """Kill descendants until there are none; one that is being born meanwhile is met in the next round."""
    while descendants():
        send(signal.SIGKILL)
        ended()
        time.sleep(NAP_S)


def send(number):
    """Send all descendants a signal."""
    for pid in descendants():
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def descendants():
    """Return the process ids of all descendants that have not ended, as proc(5) tells."""
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        parents[int(name)] = (int(parent), state)
    found, known = [], {os.getpid()}
    while True:
        new = {pid for pid, (parent, _) in parents.items() if parent in known} - known
        if not new:
            return found
        known |= new
        found += [pid for pid in new if parents[pid][1] not in "ZX"]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
