"""Preparations of hosts: start one, follow it, say how it ended."""

from rich.text import Text

from windlass_cli.api.feed import Ended, Event, Feed, state_of
from windlass_cli.display.output import DIFF_STYLES, clean, state
from windlass_cli.errors import Interrupted, PreparationFailed, WaitTimedOut
from windlass_cli.jobs.rollouts import having

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
    try:
        for item in Feed(client, number, kind="preparation").items(deadline):
            if isinstance(item, Ended):
                return item.resource
            if isinstance(item, Event):
                show_event(output, item.event)
            else:
                output.note(item.text)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped watching; preparation {number} goes on.", remedy=remedy) from None
    except WaitTimedOut as error:
        raise WaitTimedOut(f"{error.message} Preparation {number} goes on.", remedy=remedy) from None
    raise AssertionError("a feed ends with Ended, or raises")


def show_event(output, event):
    """Write a task with its outcome, or what a dry run would change in a file, to stderr."""
    if event.get("kind") == "task" and state_of(event) in SHOWN_STATES:
        output.note(state(state_of(event)), Text(" " * (9 - len(state_of(event)))), clean(event.get("text")))
    elif event.get("kind") == "output":
        line = clean(event.get("text"))
        if line.startswith(tuple(DIFF_STYLES)):
            output.note(" " * 10, Text(line, style=DIFF_STYLES[line[0]]))


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
