"""Server-sent events from bytes: the parser of the HTML standard, section 9.2.6 "Interpreting an event stream"."""

import codecs
from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """One dispatched event: its ``id`` (the last one seen on the stream), its ``event`` name and its ``data``."""

    id: str
    event: str
    data: str


class EventParser:
    """Feed it the bytes of a stream as they come; it returns the messages that are complete.

    ``retry_s`` is the reconnection pause that the server asked for, in seconds, or None.
    """

    def __init__(self):
        self.retry_s = None
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._rest = ""
        self._id = ""
        self._event = ""
        self._data = []

    def feed(self, chunk):
        """Return the messages that ``chunk`` completes, in order; an unfinished one waits for more bytes."""
        text = self._rest + self._decoder.decode(chunk)
        # A carriage return at the end may be the first half of CR LF, so it waits for what follows.
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = text.split("\n")
        self._rest = rest + held
        return [message for line in lines if (message := self._line(line)) is not None]

    def _line(self, line):
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            return None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000
        return None

    def _dispatch(self):
        data, event = self._data, self._event
        self._data, self._event = [], ""
        return Message(self._id, event or "message", "\n".join(data)) if data else None
