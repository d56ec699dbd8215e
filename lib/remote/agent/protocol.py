"""The protocol with the controller: requests and frames in, answers and events out, and whether work may go on."""

import json
import os
import queue
import select
import struct
import threading
import time

from remote.agent.failures import Aborted, Failure
from remote.agent.machine.files import write_all

MAX_LINE = 16 << 20  # bytes of one request
MAX_FRAME = 4 << 20  # bytes of one frame
CANCELLED = 0xFFFFFFFF  # in place of a frame's length: the controller gives the transfer up
SILENCE_S = 60  # without a byte from the controller
ALIVE_S = 2  # longest silence of the agent while it works
OUTPUT_BACKLOG = 4 << 20  # bytes of output kept for a controller that reads slowly
LINES_PER_S = 2000
LINE_BYTES = 8 << 10
POLL_S = 0.03  # between two looks at health and process states


class Emitter:
    """Says everything the agent says. One thread writes, so that whoever works never waits for a slow reader."""

    def __init__(self, handle):
        self.handle = handle
        self.queue = []
        self.backlog = 0
        self.is_closed = False
        self.is_broken = False
        self.working = False
        self.condition = threading.Condition()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def send(self, message):
        """Queue one message."""
        line = json.dumps(message).encode() + b"\n"
        with self.condition:
            self.queue.append(line)
            self.backlog += len(line)
            self.condition.notify()

    def step(self, name, state, message=None):
        """Say that a step began or how it ended."""
        event = {"event": "step", "step": name, "state": state}
        self.send(dict(event, message=message) if message else event)

    def has_room(self):
        """Say whether more output may be queued; steps and answers always may."""
        return self.backlog < OUTPUT_BACKLOG

    def run(self):
        """Write what is queued; when nothing was for a while, write a sign of life."""
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.queue or self.is_closed, ALIVE_S)
                lines, self.queue = self.queue, []
                if not lines and self.is_closed:
                    return
                if not lines and self.working:
                    lines = [b'{"event": "alive"}\n']
            try:
                write_all(self.handle, b"".join(lines))
            except OSError:
                self.is_broken = True  # The reader half notices the same loss and aborts the work.
            with self.condition:
                self.backlog = sum(map(len, self.queue))

    def close(self):
        """Wait until everything is written, as long as somebody reads."""
        with self.condition:
            self.is_closed = True
            self.condition.notify()
        deadline = time.monotonic() + 30
        while self.thread.is_alive() and not self.is_broken and time.monotonic() < deadline:
            self.thread.join(0.1)


class Output:
    """Turns the bytes of a command into output events: lines, valid UTF-8, of bounded length and rate."""

    def __init__(self, emitter, step):
        self.emitter, self.step = emitter, step
        self.line = bytearray()
        self.cut = 0
        self.batch = []
        self.batch_bytes = 0
        self.second, self.count, self.dropped = 0, 0, 0
        self.flushed_at = time.monotonic()

    def feed(self, data):
        """Take more bytes."""
        start = 0
        while True:
            if self.count >= LINES_PER_S and int(time.monotonic()) == self.second:
                start = self.skip_lines(data, start)
            end = data.find(b"\n", start)
            piece = data[start:] if end < 0 else data[start:end]
            room = LINE_BYTES - len(self.line)
            self.line += piece[:room]
            self.cut += max(0, len(piece) - room)
            if end < 0:
                break
            self.end_line()
            start = end + 1
        if self.batch and time.monotonic() - self.flushed_at > 0.1:
            self.flush()

    def skip_lines(self, data, start):
        """Drop the complete lines from `start` on, as this second has had its share; return where the last one begins."""
        dropped = data.count(b"\n", start)
        if dropped:
            self.dropped += dropped
            self.line.clear()
            self.cut = 0
        return data.rfind(b"\n", start) + 1 if dropped else start

    def end_line(self):
        """Add the line that is complete, unless there are too many."""
        raw, cut = bytes(self.line), self.cut
        self.line.clear()
        self.cut = 0
        second = int(time.monotonic())
        if second != self.second:
            self.note_dropped()
            self.second, self.count = second, 0
        self.count += 1
        if self.count > LINES_PER_S or not self.emitter.has_room():
            self.dropped += 1
            return
        text = raw.decode("utf-8", "replace").replace("\0", "\ufffd").rstrip("\r")
        if cut:
            text = "{} … [{} bytes of this line left out]".format(text.rstrip("\ufffd"), cut)
        self.add(text)

    def add(self, text):
        """Add one line to the batch."""
        self.batch.append(text)
        self.batch_bytes += len(text)
        if self.batch_bytes > 32 << 10:
            self.flush()

    def note_dropped(self):
        """Say how many lines were left out since the last note."""
        if self.dropped:
            self.add(f"… [{self.dropped} lines left out: more than {LINES_PER_S} a second]")
            self.dropped = 0

    def flush(self):
        """Send what has been gathered."""
        if self.batch:
            self.emitter.send({"event": "output", "step": self.step, "text": "\n".join(self.batch) + "\n"})
        self.batch, self.batch_bytes = [], 0
        self.flushed_at = time.monotonic()

    def end(self):
        """Send the rest, an unfinished line included."""
        if self.line or self.cut:
            self.end_line()
        self.note_dropped()
        self.flush()


class Control:
    """Whether the work may go on: asked at every safe point, and woken up by whatever ends it."""

    def __init__(self):
        self.reason = None
        self.event = threading.Event()
        self.fence, self.asked_at = None, 0.0
        self.shields = 0

    def stop(self, code, message):
        """Ask the work to stop; the first reason counts."""
        if self.reason is None:
            self.reason = (code, message)
            self.event.set()

    def check(self):
        """Raise Aborted when the work must not go on."""
        if self.shields:
            return
        now = time.monotonic()
        if self.reason is None and self.fence is not None and now - self.asked_at > POLL_S:
            self.asked_at = now
            if self.fence.is_overtaken():
                self.stop("fenced", "Another worker has taken over this application on this host.")
        if self.reason is not None:
            raise Aborted(self.reason[0], self.reason[1], "Nothing to do: the next run goes on from what it finds.")

    def pause(self, seconds=POLL_S):
        """Wait a moment; raise Aborted as soon as the work must not go on."""
        if self.shields:
            time.sleep(seconds)
            return
        self.event.wait(seconds)
        self.check()

    def __enter__(self):
        """Until the block ends nothing aborts: used while things are being put back."""
        self.shields += 1

    def __exit__(self, *error):
        self.shields -= 1


ABORTS = {
    "cancelled": ("aborted", "The work was cancelled."),
    "handed-over": ("handed-over", "The work was handed over to another worker."),
    "fenced": ("fenced", "Another worker has taken over this application on this host."),
}
LEFT_TO_OTHERS = ("fenced", "handed-over")  # Whoever goes on finds things as they are; nothing is put back.


class Inbox(threading.Thread):
    """Reads standard input: requests for the main thread, frames of the request being served, pings, and the end."""

    def __init__(self, handle, control, emitter):
        super().__init__(daemon=True)
        self.handle, self.control, self.emitter = handle, control, emitter
        self.requests = queue.Queue()
        self.frames = queue.Queue(maxsize=16)
        self.buffer = bytearray()

    def run(self):
        """Read until the end of the input, silence or nonsense; then the work is asked to stop."""
        try:
            while True:
                self.take_line()
        except EOFError as error:
            self.control.stop("lost", str(error))
        except (OSError, ValueError) as error:
            self.control.stop("lost", f"The controller's requests cannot be read: {error}")
        self.requests.put(None)
        self.frames.put(None)

    def more(self):
        """Read what there is."""
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        if not poll.poll(SILENCE_S * 1000):
            raise EOFError(f"The controller was silent for {SILENCE_S} seconds.")
        data = os.read(self.handle, 1 << 18)
        if not data:
            raise EOFError("The connection to the controller ended.")
        self.buffer += data

    def exactly(self, count):
        """Return the next `count` bytes."""
        while len(self.buffer) < count:
            self.more()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def take_line(self):
        """Read one request and, where it has them, its frames."""
        searched = 0
        while True:
            end = self.buffer.find(b"\n", searched)
            if end >= 0:
                break
            searched = len(self.buffer)
            if searched > MAX_LINE:
                raise ValueError(f"a line of more than {MAX_LINE} bytes")
            self.more()
        message = json.loads(self.exactly(end + 1))
        if not isinstance(message, dict):
            raise ValueError("a request that is no JSON object")
        verb = message.get("do")
        if verb == "ping":
            self.emitter.send({"event": "alive"})
        elif verb == "abort":
            self.control.stop(*ABORTS.get(message.get("why"), ABORTS["cancelled"]))
            self.requests.put(None)
        else:
            self.requests.put(message)
            if message.get("blobs"):
                self.take_frames()

    def take_frames(self):
        """Read frames up to the one of length zero."""
        while True:
            (length,) = struct.unpack(">I", self.exactly(4))
            if length == CANCELLED:
                self.frames.put(None)  # An abort that says why follows.
                return
            if length > MAX_FRAME:
                raise ValueError(f"a frame of {length} bytes")
            self.frames.put(self.exactly(length) if length else b"")
            if not length:
                return


class Frames:
    """The byte stream that the frames of one request carry."""

    def __init__(self, inbox, control):
        self.inbox, self.control = inbox, control
        self.buffer = b""
        self.offset = 0
        self.is_over = False

    def next_frame(self):
        """Return the next frame, b"" at the end."""
        if self.is_over:
            return b""
        frame = self.awaited_frame()
        if not frame:
            self.is_over = True
        if frame is None:
            self.control.event.wait(5)
            self.control.check()
            raise Aborted("lost", "The transfer broke off.", "Deploy again; nothing needs to be cleaned up.")
        return frame

    def awaited_frame(self):
        """Return what comes next; one that a hanging network keeps waiting must let a newer run have the lock."""
        while True:
            try:
                return self.inbox.frames.get(timeout=0.2)
            except queue.Empty:
                self.control.check()

    def some(self, limit):
        """Return between 1 and `limit` bytes, b"" at the end."""
        if self.offset >= len(self.buffer):
            self.buffer, self.offset = self.next_frame(), 0
        piece = self.buffer[self.offset : self.offset + limit]
        self.offset += len(piece)
        return piece

    def exactly(self, count):
        """Return `count` bytes; raise Failure when the stream ends before."""
        parts = []
        while count:
            piece = self.some(count)
            if not piece:
                raise Failure("bad-transfer", "The transfer ended in the middle of a file.", "Deploy again.")
            parts.append(piece)
            count -= len(piece)
        return b"".join(parts)

    def rest(self, limit):
        """Return everything that follows, at most `limit` bytes."""
        parts, size = [], 0
        while True:
            piece = self.some(1 << 20)
            if not piece:
                return b"".join(parts)
            size += len(piece)
            if size > limit:
                raise Failure("bad-transfer", f"More than {limit} bytes were sent where a list of files belongs.")
            parts.append(piece)

    def drain(self):
        """Read what an error left unread, so that the next request is found."""
        try:
            while not self.is_over:
                self.next_frame()
        except Aborted:
            self.is_over = True
