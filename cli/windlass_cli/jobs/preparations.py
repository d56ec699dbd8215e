"""Preparations of hosts: start one, follow it, say how it ended."""

from rich.text import Text

from windlass_cli.api.feed import state_of
from windlass_cli.display.formats import DIFF_STYLES, clean, state
from windlass_cli.errors import PreparationFailed
from windlass_cli.jobs.rollouts import having
from windlass_cli.jobs.waiting import await_end, goes_on

#: States of tasks that are worth a line.
SHOWN_STATES = ("ok", "changed", "failed", "unreachable")


def start_preparation(client, host, user=None, check=False):
    """Start the preparation of a host and return it as it is then; with ``check`` nothing changes there."""
    body = {**({"user": user} if user else {}), **({"check": True} if check else {})}
    return having(client.post("hosts", host, "prepare", body=body), "id")


def find_preparation(client, number):
    """Return the preparation with this number."""
    return having(client.get("preparations", number), "id")


def watch_preparation(client, output, preparation, deadline):
    """Show a preparation's tasks on stderr up to its end, and return it as it is then.

    Raises Interrupted on Ctrl-C and WaitTimedOut at the deadline; both say that it goes on.
    """
    number = preparation["id"]
    remedy = f"Follow it: windlass hosts preparation {number} --follow   Cancel it: windlass hosts preparation {number} --cancel"
    with goes_on(f"preparation {number} goes on", remedy):
        return await_end(client, "preparation", number, TaskLines(output), deadline)


class TaskLines:
    """Writes tasks with their outcomes, and what a dry run would change in files, to stderr."""

    def __init__(self, output):
        self.note = output.note

    def event(self, event):
        """Write an event when it tells of a task that has ended or of a difference."""
        if event.get("kind") == "task" and state_of(event) in SHOWN_STATES:
            self.note(state(state_of(event)), Text(" " * (9 - len(state_of(event)))), clean(event.get("text")))
        elif event.get("kind") == "output":
            line = clean(event.get("text"))
            if line.startswith(tuple(DIFF_STYLES)):
                self.note(" " * 10, Text(line, style=DIFF_STYLES[line[0]]))


def require_success(preparation):
    """Raise PreparationFailed, saying why, unless the preparation has succeeded."""
    if preparation.get("state") == "succeeded":
        return
    how = "was cancelled" if preparation.get("state") == "cancelled" else "failed"
    number, changed = preparation.get("id"), preparation.get("changed") or []
    raise PreparationFailed(
        f"Preparation {number} of {preparation.get('host')} {how}: {preparation.get('message') or 'nobody said why'}",
        [f"changed by then: {name}" for name in changed],
        f"See everything: windlass hosts preparation {number} --follow",
    )
