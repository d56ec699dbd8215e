"""Follow a deploy, a command or a preparation to its end over server-sent events, whatever happens to the connection in between.

Their events are numbered without gaps. So the number of the last event seen is all it takes to resume: it goes into
``Last-Event-ID``; events seen before are dropped, and a gap is filled from the list of events. Only what has itself
ended ends the following: after the event that says so, and after every broken connection, the deploy or command itself
is asked, and the list for what the stream did not bring. So following works, with less life, through a proxy that holds
streams back.
"""

import contextlib
import json
import queue
import threading
import time
from dataclasses import dataclass

import requests
import urllib3

from windlass_cli.api.client import STREAM_SILENCE_S
from windlass_cli.api.sse import EventParser
from windlass_cli.errors import Problem, Unreachable

ENDED_STATES = {"succeeded", "failed", "rolled_back", "cancelled"}
#: Pauses between tries to connect again, in seconds; the last one repeats.
PAUSES_S = (0.5, 1, 2, 5)
#: For so long a server may be away (a restart, a longer repair) before following gives up, in seconds.
PATIENCE_S = 600
CHUNK = 65536
#: How an open stream breaks.
BROKEN = (OSError, requests.RequestException, urllib3.exceptions.HTTPError)
#: What may pass by itself; whether it does, _require_passing decides.
PASSING = (Unreachable, Problem)


@dataclass(frozen=True)
class Event:
    """An event of what is followed, as the API gives it."""

    event: dict


@dataclass(frozen=True)
class Note:
    """Something about the connection that whoever watches should know."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The end has come; ``resource`` is what the API says of the deploy or command."""

    resource: dict


class Feed:
    """Everything that happens in the deploy or command ``number`` after event ``after``, read by a thread of its own.

    ``kind`` is "deploy", "command" or "preparation". The thread is there so that a deadline and Ctrl-C take effect at once,
    while it waits for bytes.
    ``pauses_s`` (PAUSES_S by default), ``patience_s`` (PATIENCE_S) and ``silence_s`` are in seconds.
    """

    def __init__(self, client, number, after=0, kind="deploy", pauses_s=None, patience_s=None, silence_s=STREAM_SILENCE_S):
        self._client = client
        self._kind = kind
        self._path = (f"{kind}s", number)
        self._last = after
        self._pauses_s = pauses_s or PAUSES_S
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._silence_s = silence_s
        self._items = queue.Queue(maxsize=10_000)
        self._stop = threading.Event()
        self._response = None
        self._heard_at = None

    def items(self, deadline):
        """Yield Event, Note and at last Ended; raise WaitTimedOut at the deadline, and errors that will not pass."""
        thread = threading.Thread(target=self._pump, name="-".join(map(str, self._path)), daemon=True)
        thread.start()
        try:
            while True:
                try:
                    item = self._items.get(timeout=deadline.left(60))
                except queue.Empty:
                    continue
                if isinstance(item, BaseException):
                    raise item
                yield item
                if isinstance(item, Ended):
                    return
        finally:
            self._close()

    def _close(self):
        """Let the thread end: wake it up wherever it waits."""
        self._stop.set()
        response = self._response
        if response is not None:
            with contextlib.suppress(ValueError, OSError):  # it has just ended by itself
                response.raw.shutdown()

    def _pump(self):
        """The thread: put everything into the queue, an error as the last thing."""
        try:
            for item in self._happenings():
                self._put(item)
        except BaseException as error:  # handed to the thread that waits, which raises it
            self._put(error)

    def _put(self, item):
        """Queue an item; a full queue (a stopped terminal) makes the thread wait, a closed feed drops it."""
        while not self._stop.is_set():
            try:
                return self._items.put(item, timeout=1)
            except queue.Full:
                continue
        return None

    def _happenings(self):
        """Yield what happens, over as many connections as it takes, until the resource itself says that it has ended."""
        failures, lost = 0, False
        self._heard_at = time.monotonic()
        while not self._stop.is_set():
            before = self._last
            try:
                yield from self._one_connection()
                resource = self._client.get(*self._path)
                self._heard_at = time.monotonic()
                yield from self._missed()
            except PASSING as error:
                _require_passing(error)
                if time.monotonic() - self._heard_at > self._patience_s:
                    raise Unreachable(f"Lost the server for {self._patience_s:g} s: {error.message}") from None
                if not lost:
                    yield Note(f"{error.message} Trying to reach the server again.")
                lost = True
            else:
                if resource.get("state") in ENDED_STATES:
                    yield Ended(resource)
                    return
                lost = False
            failures = 0 if self._last > before else failures + 1
            self._stop.wait(self._pauses_s[min(failures, len(self._pauses_s) - 1)])

    def _one_connection(self):
        """Yield the events of one stream until it breaks or cannot be had, or an event says that the end has come.

        How it broke does not matter: what it did not bring is asked for next, and that tells whether the server is
        there.
        """
        try:
            response = self._client.open_stream(*self._path, "stream", last_event_id=self._last, silence_s=self._silence_s)
        except PASSING as error:
            _require_passing(error)
            return
        if response is None:
            return
        self._response = response
        try:
            yield from self._events_of(response)
        except BROKEN:
            return
        finally:
            self._response = None
            response.close()

    def _events_of(self, response):
        """Yield the new events of an open stream."""
        parser = EventParser()
        while not self._stop.is_set():
            chunk = response.raw.read1(CHUNK)
            if not chunk:
                return
            self._heard_at = time.monotonic()
            for message in parser.feed(chunk):
                for event in self._in_order(event_of(message)):
                    yield Event(event)
                    if ends(event, self._kind) and self._is_over():
                        return

    def _is_over(self):
        """Ask the resource itself: a deploy's history may hold an end that a retry has overcome."""
        return self._client.get(*self._path).get("state") in ENDED_STATES

    def _in_order(self, event):
        """Return the events to show now: none when it was seen before, and those of a gap before it."""
        if event is None:
            return []
        number = number_of(event)
        if not number:
            return [event]
        if number <= self._last:
            return []
        gap = list(self._events_until(number)) if number > self._last + 1 else []
        self._last = number
        return [*gap, event]

    def _events_until(self, number):
        """Yield the events between the last one seen and ``number``."""
        for event in self._client.items(*self._path, "events", after=self._last):
            if number_of(event) >= number:
                return
            yield tidied(event)

    def _missed(self):
        """Yield the events that no stream brought."""
        for event in self._client.items(*self._path, "events", after=self._last):
            if number_of(event) > self._last:
                self._last = number_of(event)
                yield Event(tidied(event))


def event_of(message):
    """Return the event of a stream's message as a dict with ``number`` and ``kind``; None when it is not one."""
    try:
        event = json.loads(message.data)
    except ValueError:
        return None
    if not isinstance(event, dict):
        return None
    number = int(message.id) if message.id.isascii() and message.id.isdigit() else None
    return tidied({"number": number, "kind": message.event, **event})


def tidied(event):
    """Return an event without the members that are no text where text is promised; its kind is a text in any case."""
    texts = ("kind", "host", "step", "text")
    kept = {name: value for name, value in event.items() if name not in texts or isinstance(value, str)}
    return {"kind": "unknown", **kept}


def number_of(event):
    """Return the event's number, 0 when it has none."""
    number = event.get("number")
    return number if isinstance(number, int) else 0


def data_of(event):
    """Return the event's data, empty when it has none."""
    data = event.get("data")
    return data if isinstance(data, dict) else {}


def state_of(event):
    """Return the state that the event tells, None when it tells none."""
    found = data_of(event).get("state") or event.get("state")
    return found if isinstance(found, str) else None


def ends(event, kind):
    """Say whether this event tells the end of the deploy or command it belongs to."""
    return event.get("kind") == kind and state_of(event) in ENDED_STATES


def _require_passing(error):
    """Raise ``error`` when the API refuses us for good; a server that fails, is busy or away may come back."""
    if isinstance(error, Problem) and error.status < 500 and error.status != requests.codes.too_many:
        raise error
