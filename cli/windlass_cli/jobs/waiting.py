"""Waiting for what goes on without us: its events are handed on, and who stops waiting learns that it goes on."""

import contextlib

from windlass_cli.api.feed import Ended, Event, Feed
from windlass_cli.errors import Interrupted, WaitTimedOut


def await_end(client, kind, number, display, deadline, after=0):
    """Wait until a deploy, command or preparation (``kind``) has ended and return it as it is then.

    What happens is handed to ``display.event`` and ``display.note``, from the event after the one with the number ``after``.
    Raises WaitTimedOut at the deadline.
    """
    for item in Feed(client, number, after, kind=kind).items(deadline):
        if isinstance(item, Ended):
            return item.resource
        if isinstance(item, Event):
            display.event(item.event)
        else:
            display.note(item.text)
    raise AssertionError("a feed ends with Ended, or raises")


@contextlib.contextmanager
def goes_on(sentence, remedy):
    """Say on Ctrl-C (Interrupted) and at the deadline (WaitTimedOut) that what was waited for goes on.

    ``sentence`` says so, without its full stop: "deploy 7 goes on"; ``remedy`` what can be done about it.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped watching; {sentence}.", remedy=remedy) from None
    except WaitTimedOut as error:
        raise WaitTimedOut(f"{error.message} {sentence[0].upper()}{sentence[1:]}.", remedy=remedy) from None
