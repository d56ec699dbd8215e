"""A session with the agent on one host: requests, events, answers, over any pair of byte streams.

    session = open_local("python3")                       # or open_ssh(…)
    seen = session.request("observe", root="/srv/apps", app="shop", settings=host_settings)
    session.close()

Every wait has an end: a request has a total time limit, a silent host is given up after `silence_s` seconds, and whatever
the other side sends is bounded. docs/agent.md describes the protocol.
"""

import contextlib
import functools
import json
import logging
import queue
import struct
import subprocess
import sys
import threading
import time
import zlib
from importlib.util import MAGIC_NUMBER
from pathlib import Path

PING_S = 5
SILENCE_S = 60
MAX_LINE = 16 << 20
MAX_NOISE = 64 << 10
FRAME = 256 << 10
CANCELLED = struct.pack(">I", 0xFFFFFFFF)

# Says which bytecode this interpreter reads, then takes "<form> <length>\n" and that many bytes of zlib data: the agent's
# modules, each as "<name> <length>\n" and as many bytes. They are imported from memory, each when it is first asked for;
# importlib, where the class of specs has a public name, would take longer to import than most of them. It reads byte by byte
# up to the newline, so that nothing meant for the agent is swallowed, and runs under any Python, so that an old one gets a
# clear answer. What a login script has printed may lack its newline.
BOOTSTRAP = """
import marshal, os, sys, zlib
def say(text):
    os.write(1, ("\\n" + text + "\\n").encode())
def exactly(count):
    data = b""
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece:
            raise SystemExit("the connection ended before the agent had arrived")
        data += piece
    return data
if sys.version_info < (3, 8):
    say('{"event": "hello", "too_old": "%d.%d"}' % sys.version_info[:2])
    raise SystemExit
try:
    from _frozen_importlib_external import MAGIC_NUMBER
    reads = "%s %s" % (sys.implementation.cache_tag, MAGIC_NUMBER.hex())
except ImportError:
    reads = ""
say('{"event": "boot", "reads": "%s"}' % reads)
line = b""
while not line.endswith(b"\\n"):
    line += exactly(1)
form, length = line.split()
bundle = zlib.decompress(exactly(int(length)))
modules, start = {}, 0
while start < len(bundle):
    newline = bundle.index(b"\\n", start)
    name, length = bundle[start:newline].decode().split()
    start = newline + 1 + int(length)
    modules[name] = bundle[newline + 1:start]
class Memory:
    def find_spec(self, name, path=None, target=None):
        if name in modules:
            is_package = any(other.startswith(name + ".") for other in modules)
            return type(sys.__spec__)(name, self, is_package=is_package)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        data, name = modules[module.__name__], "<%s>" % module.__name__
        code = marshal.loads(data) if form == b"bytecode" else compile(data, name, "exec", dont_inherit=True)
        exec(code, module.__dict__)
sys.meta_path.insert(0, Memory())
from remote.agent.serving import main
main()
""".strip()

# Takes {name: source} as JSON and gives the modules as the bootstrap takes them. Compiled without docstrings and columns they
# are hardly longer than their source; line numbers stay.
COMPILER = """
import json, marshal, sys
for name, source in json.load(sys.stdin).items():
    code = marshal.dumps(compile(source, "<%s>" % name, "exec", optimize=2))
    sys.stdout.buffer.write(b"%s %d\\n" % (name.encode(), len(code)) + code)
""".strip()
COMPILE_S = 30
READS = f"{sys.implementation.cache_tag} {MAGIC_NUMBER.hex()}"

log = logging.getLogger(__name__)


class RemoteError(Exception):
    """Something went wrong with a host.

    RemoteError
    ├── AgentError       the agent answered with an error
    └── ConnectionLost   it did not answer
    """


class AgentError(RemoteError):
    """An error the agent reported: stable `code`, `step` or None, `message`, `remedy`, and the rest in `detail` (a dict)."""

    def __init__(self, code, step, message, remedy, detail=None):
        super().__init__(message)
        self.code, self.step, self.message, self.remedy, self.detail = code, step, message, remedy, detail or {}

    @property
    def restored(self):
        """Whether the agent put everything back after a failed activation; None where that was no question."""
        return self.detail.get("restored")


class ConnectionLost(RemoteError):
    """The connection to the agent is of no use any more; `message` says how that showed."""

    def __init__(self, message):
        super().__init__(message)
        self.message = message


def agent_argv(python):
    """Return the argv that starts an agent with the host's interpreter; it then waits for `agent_code()` on its input."""
    return [python, "-I", "-S", "-u", "-c", BOOTSTRAP]


def agent_code(reads):
    """Return the bytes that turn a started interpreter into the agent.

    reads: the bytecode that it reads ("cpython-311 a70d0d0a"). Where that is ours it is sent bytecode, which saves it the
    time to compile some thousand lines for every connection; any other gets the source.
    """
    code = agent_bytecode() if reads == READS else None
    return framed("source", agent_source()) if code is None else framed("bytecode", code)


@functools.cache
def framed(form, data):
    """Return the agent in one form as the bootstrap takes it; packing it takes longer than all else of a connection."""
    packed = zlib.compress(data, 9)
    return f"{form} {len(packed)}\n".encode() + packed


def agent_modules():
    """Return {name: source} of the agent's modules and of the packages they are in."""
    folder = Path(__file__).parent
    paths = [folder / "__init__.py", *sorted((folder / "agent").rglob("*.py"))]
    return {name_of(path.relative_to(folder.parent)): path.read_text("utf-8") for path in paths}


def name_of(path):
    """Return the name of the module in a file ("remote/agent/http.py")."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def bundled(modules):
    """Return {name: source} of modules as one piece that the bootstrap takes apart."""
    contents = {name: source.encode() for name, source in modules.items()}
    return b"".join(b"%s %d\n" % (name.encode(), len(content)) + content for name, content in contents.items())


@functools.cache
def agent_source():
    """Return the source of the agent's modules in one piece."""
    return bundled(agent_modules())


@functools.cache
def agent_bytecode():
    """Return the agent's modules in one piece as bytecode that this interpreter reads, or None where it cannot be made."""
    argv = [sys.executable, "-I", "-S", "-X", "no_debug_ranges", "-c", COMPILER]
    given = json.dumps(agent_modules()).encode()
    try:
        return subprocess.run(argv, input=given, capture_output=True, check=True, timeout=COMPILE_S).stdout
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the agent cannot be compiled here, so hosts get its source: %s", error)
        return None


class Session:
    """One agent. A request at a time; `abort()` and `close()` may be called from any thread.

    `reader(limit)` returns up to `limit` bytes, b"" at the end; `writer(data)` writes all of `data`; both may raise OSError or
    EOFError. `close()` must make a reader or writer that is blocked return. `explain()`, optional, returns what else is known
    of why the connection ended (standard error, exit status), as text. `silence_s` is how long the agent may say nothing.
    """

    def __init__(self, reader, writer, close, explain=None, silence_s=SILENCE_S, code=agent_code):
        self.reader, self.writer, self.closer, self.explain, self.silence_s = reader, writer, close, explain, silence_s
        self.bytes_sent = 0
        self.hello = None
        self.lost = None
        self.aborting, self.is_transferring, self.is_closed = None, False, False
        self.number = 0
        self.noise = b""
        self.inbox = queue.Queue(maxsize=1000)
        self.write_lock = threading.Lock()
        self.received_at = time.monotonic()
        self.deadline = None
        self.code, self.is_started = code, threading.Event()
        self.ended, self.is_read = threading.Event(), threading.Event()
        threading.Thread(target=self.read, daemon=True, name="agent-reader").start()
        threading.Thread(target=self.keep, daemon=True, name="agent-keeper").start()

    # What other threads do

    def read(self):
        """Read lines until the end; every message goes to whoever waits for it."""
        buffer = bytearray()
        try:
            while True:
                data = self.reader(1 << 16)
                if not data:
                    self.lose("The connection to the host's agent ended.")
                    return
                self.received_at = time.monotonic()
                searched = len(buffer)
                buffer += data
                while True:
                    end = buffer.find(b"\n", searched)
                    if end < 0:
                        break
                    self.take(bytes(buffer[:end]))
                    del buffer[: end + 1]
                    searched = 0
                if len(buffer) > (MAX_LINE if self.hello else MAX_NOISE):
                    self.lose(f"The host sent a line of more than {len(buffer) - 1:,} bytes, which no agent does.")
                    return
        except (OSError, EOFError) as error:
            self.lose(f"The connection to the host's agent broke: {error}.")
        finally:
            self.is_read.set()

    def take(self, line):
        """Sort one line: a message, or noise that a login script printed before the agent started."""
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            if self.hello is None and len(self.noise) < 4096:
                self.noise += line[:500] + b"\n"
            elif self.hello is not None:
                self.lose(f"The host's agent sent something else than messages: {line[:80]!r}.")
        elif message.get("event") == "boot":
            self.start(message.get("reads"))
        elif message.get("event") == "hello":
            self.hello = message
            if "too_old" in message:
                self.lose(f"The host's Python is {message['too_old']}; the agent needs 3.8 or newer.")
        elif message.get("event") != "alive":
            self.queue_up(message)

    def start(self, reads):
        """Send the agent to the interpreter that says it has started, once; requests come after it."""
        if self.is_started.is_set():
            return
        code = self.code(reads)
        with self.write_lock:
            try:
                self.write(code)
                if self.aborting:
                    self.write(self.abort_line())
            except RemoteError:
                return
            self.is_started.set()

    def queue_up(self, message):
        """Hand a message on; while nobody takes it the agent has to wait, and when the session ends nobody will."""
        while not self.ended.is_set():
            try:
                self.inbox.put(message, timeout=0.5)
                return
            except queue.Full:
                continue

    def keep(self):
        """Send pings; give up a host that is silent or takes longer than the request at hand may take."""
        pinged_at, every_s = time.monotonic(), min(PING_S, self.silence_s / 3)  # An idle agent speaks when it is asked.
        while not self.ended.wait(0.25):
            now = time.monotonic()
            is_read_late = self.inbox.full()  # Our own side is slow then; the host is not silent.
            if now - self.received_at > self.silence_s and not is_read_late:
                self.lose(f"The host's agent was silent for {self.silence_s} seconds.")
            elif self.deadline is not None and now > self.deadline:
                self.lose("The host's agent did not finish in the time it was given.")
            elif self.is_started.is_set() and now - pinged_at > every_s and self.write_lock.acquire(blocking=False):
                pinged_at = now
                try:
                    self.write(b'{"do": "ping"}\n')
                except RemoteError:
                    return
                finally:
                    self.write_lock.release()

    def lose(self, message):
        """Give the connection up, once, and wake up whoever waits."""
        if self.lost is None:
            self.lost = message
        self.ended.set()
        self.is_started.set()  # Whoever waits for that learns of the loss.
        self.closer()
        try:
            self.inbox.put_nowait(None)
        except queue.Full:
            return  # Whoever empties the queue sees `lost` next.

    # What the user of the session does

    def request(self, verb, blobs=None, on_event=None, timeout_s=60, **fields):
        """Have the agent carry out one verb; return its answer, a dict.

        blobs: an iterable of bytes that are sent with the request as one stream, or None.
        on_event: called in this thread with each event (a dict) that comes before the answer.
        timeout_s: seconds the whole request may take, the sending included.
        Raises AgentError when the agent answers with an error, ConnectionLost when it does not answer. What `on_event` or
        the iterable raises passes through, and the session is closed then.
        """
        self.number += 1
        number = self.number
        message = dict(fields, do=verb, id=number, **({"blobs": True} if blobs is not None else {}))
        self.deadline = time.monotonic() + timeout_s
        try:
            self.is_started.wait()  # Not for longer than until the deadline: the session is given up then.
            with self.write_lock:
                self.is_transferring = blobs is not None
                self.write(json.dumps(message).encode() + b"\n")
                if blobs is not None:
                    self.send_frames(blobs)
                    self.end_transfer()
            return self.await_answer(number, on_event)
        except RemoteError:
            raise
        except BaseException:
            self.close()
            raise
        finally:
            self.deadline, self.is_transferring = None, False

    def write(self, data):
        """Write all of `data`, counting it."""
        if self.lost is not None:
            raise self.loss()
        try:
            self.writer(data)
        except (OSError, EOFError) as error:
            # What the other side wrote before it went explains more than the broken connection does.
            self.is_read.wait(2)
            self.lose(f"The connection to the host's agent broke: {error}.")
            raise self.loss() from None
        self.bytes_sent += len(data)

    def send_frames(self, blobs):
        """Send a byte stream in frames of at most FRAME bytes, gathered from pieces of any size."""
        buffer, size = [], 0
        for piece in blobs:
            for start in range(0, len(piece), FRAME):
                part = piece[start : start + FRAME]
                if size + len(part) > FRAME:
                    self.send_frame(b"".join(buffer))
                    buffer, size = [], 0
                buffer.append(part)
                size += len(part)
                if self.aborting:
                    self.write(CANCELLED)
                    return
        if size:
            self.send_frame(b"".join(buffer))
        self.write(struct.pack(">I", 0))

    def end_transfer(self):
        """Send the abort that came in the meantime."""
        self.is_transferring = False
        if self.aborting:
            self.write(self.abort_line())

    def send_frame(self, data):
        """Send one frame."""
        self.write(struct.pack(">I", len(data)) + data)

    def await_answer(self, number, on_event):
        """Pass events on until the answer comes."""
        while True:
            message = self.inbox.get() if self.lost is None or not self.inbox.empty() else None
            if message is None:
                raise self.loss()
            if message.get("id") == number and "done" in message:
                return message["done"]
            if message.get("id") == number and "error" in message:
                error = dict(message["error"])
                raise AgentError(
                    error.pop("code", "agent-error"),
                    error.pop("step", None),
                    error.pop("message", ""),
                    error.pop("remedy", ""),
                    error,
                )
            if on_event is not None and "event" in message:
                on_event(message)

    def loss(self):
        """Return the error for a connection that is gone, with all that is known of why."""
        message = self.lost
        if self.hello is not None and "too_old" in self.hello:
            return AgentError(
                "python-too-old",
                "connect",
                message,
                "Install a newer Python on the host, or name one in the host's settings (python).",
            )
        if self.hello is None and not self.is_closed:
            return self.not_started(message)
        return ConnectionLost(message)

    def not_started(self, message):
        """Return the error for an agent that never wrote anything."""
        text = self.explain() if self.explain else ""
        noise = self.noise.decode("utf-8", "replace").strip()
        output = " ".join(part for part in (text.strip()[-500:], noise[-500:]) if part)
        low = output.lower()
        if any(phrase in low for phrase in ("not found", "no such file", "exit status 127", "exit status 126")):
            return AgentError(
                "python-missing",
                "connect",
                f"The host has no such Python: {output}",
                "Install Python 3.8 or newer on the host, or name it in the host's settings (python).",
            )
        return ConnectionLost(f"{message} It had not started. {output}".strip())

    def abort(self, why="cancelled"):
        """Ask the agent to stop at the next safe point; the request at hand ends with an AgentError.

        why: "cancelled" has it put back what is half-done; "handed-over" and "fenced" leave that to whoever goes on, a command
        that must run once included.
        """
        self.aborting = why
        if self.is_transferring:
            return  # A transfer sees `aborting` and sends this itself, as nothing may come between its frames.
        with self.write_lock:
            if self.is_started.is_set():  # Else it follows the agent.
                with contextlib.suppress(ConnectionLost):  # That shows at the next request.
                    self.write(self.abort_line())

    def abort_line(self):
        """Return the request that asks the agent to stop."""
        return json.dumps({"do": "abort", "why": self.aborting}).encode() + b"\n"

    def close(self):
        """End the session. The agent puts back what is half-done, releases its lock and ends."""
        self.is_closed = True
        self.lose("The session is closed.")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()
