"""The host agent: the only code that changes a host. docs/agent.md describes its protocol and what it leaves on disk.

The controller sends this file over a connection and the host's python3 runs it; nothing is installed. It needs Python 3.8
and the standard library. Requests are JSON lines on standard input, answers and events JSON lines on standard output.

Two rules hold everywhere. A change is made aside, flushed and renamed into place, so that being killed at any point leaves
either the old state or the new one. And whatever is slow to import is imported where it is used, because a rollback to a
slot that still runs should cost little more than the start of the interpreter.
"""
import errno
import fcntl
import hashlib
import json
import os
import queue
import select
import signal
import socket
import stat
import struct
import sys
import threading
import time
import zlib

VERSION = 1
SLOTS = ("a", "b")
MAX_LINE = 16 << 20       # bytes of one request
MAX_FRAME = 4 << 20       # bytes of one frame
CANCELLED = 0xFFFFFFFF    # in place of a frame's length: the controller gives the transfer up
SILENCE_S = 60            # without a byte from the controller
ALIVE_S = 2               # longest silence of the agent while it works
OUTPUT_BACKLOG = 4 << 20  # bytes of output kept for a controller that reads slowly
LINES_PER_S = 2000
LINE_BYTES = 8 << 10
POLL_S = 0.03             # between two looks at health and process states
SOCKET_PATH_BYTES = 107   # unix(7): sun_path has 108 bytes with the final NUL
STEADY_S = 0.4            # nginx starts new worker processes and tells the old ones to end 100 ms later
PORTS = range(20000, 30000)
UNDO = ".windlass-undo-"
ASIDE = ".windlass-new-"
MOST_DAMAGED = 20         # files of one tree that are reported as damaged
TEXT_BYTES = 256 << 10    # of one configuration file that is reported as text
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
SITES_REMEDY = "Create it and include it in nginx's configuration, or correct nginx.sites in the host's settings."
PROGRAMS_REMEDY = "Create it and include it in supervisord's configuration, or correct supervisor.programs in its settings."


class Failure(Exception):
    """What a verb ends with when it cannot be done: a stable code, a sentence, a remedy, and more fields in `detail`."""

    def __init__(self, code, message, remedy="", step=None, **detail):
        super().__init__(message)
        self.code, self.message, self.remedy, self.step, self.detail = code, message, remedy, step, detail

    def answer(self):
        """Return the "error" member of the answer."""
        return dict(self.detail, code=self.code, step=self.step, message=self.message, remedy=self.remedy)


class Aborted(Failure):
    """The controller gave up ("aborted") or is gone ("lost"), or another one goes on ("handed-over", "fenced")."""


class Fault(Exception):
    """supervisord refused a call; `code` is one of its fault codes."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


FAULT_BAD_NAME, FAULT_NO_FILE, FAULT_NOT_EXECUTABLE, FAULT_ABNORMAL, FAULT_SPAWN_ERROR = 10, 20, 21, 40, 50
FAULT_ALREADY_STARTED, FAULT_NOT_RUNNING, FAULT_ALREADY_ADDED, FAULT_STILL_RUNNING, FAULT_CANT_REREAD = 60, 70, 90, 91, 92

FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM)


def failure_of(error):
    """Return the Failure that says what any exception means to the person who has to mend it."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError):
        return failure_of_system(error)
    if isinstance(error, Fault):
        return Failure("supervisor-refused", "supervisord: {}".format(error.text), "See supervisord's log on the host.")
    if isinstance(error, KeyError):
        return Failure("bad-request", "The request lacks {}.".format(error), "Update Windlass.", trace=trace_of(error))
    return Failure("agent-error", "The agent failed: {!r}".format(error), "Report this with the trace.", trace=trace_of(error))


def trace_of(error):
    """Return the end of an exception's trace."""
    import traceback
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))[-4000:]


def failure_of_system(error):
    """Return the Failure for an error of the operating system."""
    path = error.filename if isinstance(error.filename, str) else None
    where = path or "the host"
    if error.errno in FULL:
        free, inodes = free_space(path)
        what = "no inodes" if inodes == 0 else "no space"
        return Failure("disk-full", "There is {} left on the disk that holds {}.".format(what, where),
                       "Free some space there, then deploy again; nothing needs to be cleaned up.", free=free, path=path)
    if error.errno == errno.EROFS:
        return Failure("read-only", "{} is on a read-only file system.".format(where),
                       "Mount it writable or choose another root for this host.", path=path)
    if error.errno in DENIED:
        return Failure("permission-denied", "The user {} may not write {}.".format(user_name(), where),
                       "Give that user the right to write there, or log in as another one.", path=path)
    return Failure("host-error", "{}: {}".format(where, error.strerror or error), "See the message; then try again.", path=path)


# --- Files: aside, flushed, renamed -----------------------------------------------------------------------------------

def user_name():
    """Return the login name of the user the agent runs as, or its number."""
    import pwd
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def existing(path):
    """Return `path` or its nearest parent that exists."""
    while not os.path.lexists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def free_space(path):
    """Return (bytes, inodes) that this user may still use on the file system of `path`; inodes None where uncounted."""
    try:
        room = os.statvfs(existing(path or "/"))
    except OSError:
        return 0, None
    return room.f_bavail * room.f_frsize, room.f_favail if room.f_files else None


def flush_folder(path):
    """Make the entries of a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle, data):
    """Write all of `data` (bytes) to a descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view):]


def write_file(path, content, mode=0o644):
    """Put `content` (str or bytes) in place of `path` in one step, with exactly this mode."""
    content = content.encode() if isinstance(content, str) else content
    aside = os.path.join(os.path.dirname(path), ASIDE + os.path.basename(path))
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            os.fchmod(handle, mode)
            write_all(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(aside, path)
    except OSError as error:
        discard(aside)
        raise OSError(error.errno, error.strerror, path) from None
    flush_folder(os.path.dirname(path))


def write_json(path, value, mode=0o600):
    """Put a JSON document in place of `path` in one step."""
    write_file(path, json.dumps(value), mode)


def read_bytes(path):
    """Return a file's content, or None when there is none; a process's files can go while they are read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return None


def read_json(path):
    """Return the value of a JSON file, or None when it is missing or damaged."""
    content = read_bytes(path)
    try:
        return None if content is None else json.loads(content)
    except ValueError:
        return None


def discard(path):
    """Remove a file or link if there is one; say whether there was."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read_link(path):
    """Return the target of a symbolic link, or None when `path` is none."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def point(link, target):
    """Make `link` a symbolic link to `target` in one step; None removes it."""
    if read_link(link) == target:
        return
    if target is None:
        discard(link)
    else:
        aside = os.path.join(os.path.dirname(link), ASIDE + os.path.basename(link))
        discard(aside)
        os.symlink(target, aside)
        os.rename(aside, link)
    flush_folder(os.path.dirname(link))


def make_folder(path, mode=0o755):
    """Make a folder and its parents with this mode whatever the umask; one that exists is left as it is."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path))
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)


def remove_tree(path):
    """Remove a folder with everything in it, also when its folders are read-only; links are not followed."""
    try:
        os.chmod(path, 0o700)
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(path)


def retire_tree(path):
    """Remove a complete tree so that a kill half-way leaves something the next sweep recognises, never half a tree."""
    aside = "{}.partial-{}-removed".format(path, os.getpid())
    os.rename(path, aside)
    remove_tree(aside)


def sha256_of(path):
    """Return the hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def copy_checked(source, target, mode, digest):
    """Copy a file, checking its SHA-256 on the way; say whether the copy has the wanted content."""
    check = hashlib.sha256()
    with open(source, "rb") as old, open(target, "xb") as new:
        for chunk in iter(lambda: old.read(1 << 20), b""):
            check.update(chunk)
            new.write(chunk)
        os.fchmod(new.fileno(), mode)
    return check.hexdigest() == digest


def flush_file_system(folder):
    """Flush all of a file system at once: for thousands of small files far quicker than flushing each."""
    try:
        import ctypes
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (ImportError, OSError, AttributeError):
        os.sync()
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if syncfs(handle):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), folder)
    finally:
        os.close(handle)


# --- Talking to the controller ----------------------------------------------------------------------------------------

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
            self.add("… [{} lines left out: more than {} a second]".format(self.dropped, LINES_PER_S))
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


ABORTS = {"cancelled": ("aborted", "The work was cancelled."),
          "handed-over": ("handed-over", "The work was handed over to another worker."),
          "fenced": ("fenced", "Another worker has taken over this application on this host.")}
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
            self.control.stop("lost", "The controller's requests cannot be read: {}".format(error))
        self.requests.put(None)
        self.frames.put(None)

    def more(self):
        """Read what there is."""
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        if not poll.poll(SILENCE_S * 1000):
            raise EOFError("The controller was silent for {} seconds.".format(SILENCE_S))
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
                raise ValueError("a line of more than {} bytes".format(MAX_LINE))
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
            length, = struct.unpack(">I", self.exactly(4))
            if length == CANCELLED:
                self.frames.put(None)  # An abort that says why follows.
                return
            if length > MAX_FRAME:
                raise ValueError("a frame of {} bytes".format(length))
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
        piece = self.buffer[self.offset:self.offset + limit]
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
                raise Failure("bad-transfer", "More than {} bytes were sent where a list of files belongs.".format(limit))
            parts.append(piece)

    def drain(self):
        """Read what an error left unread, so that the next request is found."""
        try:
            while not self.is_over:
                self.next_frame()
        except Aborted:
            self.is_over = True


# --- Commands of the host ---------------------------------------------------------------------------------------------

def end_group(process, grace_s=3):
    """End a child and everything in its process group: TERM, then KILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # It has ended, or is another user's (sudo) and ends with its own time limit.
        deadline = time.monotonic() + grace_s
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    return process.poll()


def run_command(argv, limit_s=30, keep=64 << 10):
    """Run a command of the host; return (exit status, the last `keep` bytes of its output as text).

    It gets no input, is ended with its whole process group after `limit_s` seconds, and does not hold us up when a
    grandchild keeps its output open. Raises Failure when it cannot be started or takes too long.
    """
    import subprocess
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True, cwd="/")
    except OSError as error:
        raise Failure("command-missing", "'{}' cannot be run: {}.".format(argv[0], error.strerror),
                      "Install it on the host or correct the command in the host's settings.") from None
    handle, tail = process.stdout.fileno(), b""
    os.set_blocking(handle, False)
    deadline = time.monotonic() + limit_s
    is_open = True
    with process.stdout:
        while is_open or process.poll() is None:
            if time.monotonic() > deadline:
                end_group(process)
                raise Failure("command-timeout", "'{}' did not end within {} seconds.".format(" ".join(argv), limit_s),
                              "Run it by hand on the host and see what it waits for.")
            ended = process.poll() is not None
            if is_open:
                ready = select.select([handle], [], [], 0 if ended else 0.05)[0]
                data = os.read(handle, 1 << 16) if ready else None
                is_open = data != b"" and not (ended and data is None)
                tail = (tail + data)[-keep:] if data else tail
            else:
                time.sleep(0.01)
    return process.wait(), tail.decode("utf-8", "replace").strip()


def plain_environment():
    """Return the little of our own environment that a command of the application may see."""
    names = ("HOME", "USER", "LOGNAME", "SHELL", "TZ", "TMPDIR")
    return dict({name: os.environ[name] for name in names if name in os.environ}, PATH=SYSTEM_PATH)


def find_program(argv):
    """Return the path of the program that an argv starts, or None; also looked for where sbin programs are."""
    name = argv[0]
    if "/" in name:
        return name if os.access(name, os.X_OK) else None
    for folder in os.environ.get("PATH", "").split(":") + (SYSTEM_PATH + ":/usr/sbin:/sbin:/usr/local/sbin").split(":"):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def located(argv):
    """Return `argv` with its program's full path, where it can be found."""
    return [find_program(argv) or argv[0], *argv[1:]]


def start_time(pid):
    """Return when a process started, in the kernel's own units, or None when there is no such process; see proc(5)."""
    content = read_bytes("/proc/{}/stat".format(pid))
    if content is None:
        return None
    fields = content.rpartition(b")")[2].split()
    return None if fields[0] == b"Z" else int(fields[19])


# --- HTTP, as much of it as a health check needs ----------------------------------------------------------------------

def connect_to(address, timeout_s):
    """Return a connected socket; `address` is a path (unix) or (host, port)."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def accepts(address):
    """Say whether something accepts connections at an address."""
    try:
        connect_to(address, 1).close()
    except OSError:
        return False
    return True


def http_get(address, path, host, timeout_s, tick):
    """GET `path`; return (status, first 64 KiB of the body). `tick()` is called about every 50 ms and may raise.

    Raises OSError when nobody answers in time and ValueError when the answer is not HTTP.
    """
    if any(character <= " " or character == "\x7f" for character in path + host):
        raise Failure("bad-request", "The health path {!r} or host {!r} cannot be asked for.".format(path, host))
    request = "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: windlass\r\nAccept: */*\r\nConnection: close\r\n\r\n".format(path, host)
    deadline = time.monotonic() + timeout_s
    data = bytearray()
    with connect_to(address, min(timeout_s, 2)) as connection:
        connection.sendall(request.encode("utf-8", "replace"))
        connection.settimeout(0.05)
        while len(data) < 64 << 10:
            tick()
            if time.monotonic() > deadline:
                raise OSError(errno.ETIMEDOUT, "no answer within {:.0f} seconds".format(timeout_s))
            try:
                piece = connection.recv(16 << 10)
            except socket.timeout:
                continue
            except ConnectionResetError:
                piece = b""
            if not piece:
                break
            data += piece
    return parse_response(bytes(data))


def parse_response(data):
    """Return (status, body) of an HTTP answer; raise ConnectionError when it is empty, ValueError when it is no HTTP."""
    if not data:
        raise ConnectionError(errno.ECONNRESET, "the connection was closed without an answer")
    head, _, body = data.partition(b"\r\n\r\n")
    first = head.split(b"\r\n", 1)[0].split(b" ")
    if not first[0].startswith(b"HTTP/") or len(first) < 2 or not first[1].isdigit():
        raise ValueError("the answer is not HTTP: {!r}".format(data[:60]))
    return int(first[1]), body


# --- supervisord ------------------------------------------------------------------------------------------------------

STATES = {0: "STOPPED", 10: "STARTING", 20: "RUNNING", 30: "BACKOFF", 40: "STOPPING", 100: "EXITED", 200: "FATAL",
          1000: "UNKNOWN"}
UP = ("STARTING", "RUNNING")
DOWN = ("STOPPED", "EXITED", "FATAL")


def xml_of(value):
    """Return the XML-RPC text of a value."""
    if isinstance(value, bool):
        return "<value><boolean>{:d}</boolean></value>".format(value)
    if isinstance(value, int):
        return "<value><int>{}</int></value>".format(value)
    if isinstance(value, list):
        return "<value><array><data>{}</data></array></value>".format("".join(map(xml_of, value)))
    if isinstance(value, dict):
        members = "".join("<member><name>{}</name>{}</member>".format(name, xml_of(item)) for name, item in value.items())
        return "<value><struct>{}</struct></value>".format(members)
    text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "<value><string>{}</string></value>".format(text)


SCALARS = {"string": str, "int": int, "i4": int, "i8": int, "double": float, "boolean": lambda text: text.strip() == "1"}


class RpcAnswer:
    """Reads one XML-RPC answer. The standard library's client would take longer to import than all else here together."""

    def __init__(self, document):
        from xml.parsers import expat
        self.containers = [[]]
        self.text, self.value, self.is_typed, self.is_fault = [], None, False, False
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler = self.text.append
        parser.Parse(document, True)

    def start(self, tag, _attributes):
        """An element begins."""
        self.text.clear()
        if tag in ("array", "struct"):
            self.containers.append([])
        elif tag == "value":
            self.is_typed = False
        elif tag == "fault":
            self.is_fault = True

    def end(self, tag):
        """An element ends."""
        text = "".join(self.text)
        if tag in SCALARS:
            self.value, self.is_typed = SCALARS[tag](text), True
        elif tag == "array":
            self.value, self.is_typed = self.containers.pop(), True
        elif tag == "struct":
            items = self.containers.pop()
            self.value, self.is_typed = {items[at]: items[at + 1] for at in range(0, len(items), 2)}, True
        elif tag == "name":
            self.containers[-1].append(text)
        elif tag == "value":
            self.containers[-1].append(self.value if self.is_typed else text)
            self.is_typed = True

    def result(self):
        """Return the value or raise the Fault."""
        if not self.containers[0]:
            raise ValueError("an empty XML-RPC answer")
        value = self.containers[0][0]
        if self.is_fault:
            raise Fault(value["faultCode"], value["faultString"])
        return value


class SupervisorRpc:
    """supervisord by its XML-RPC interface (supervisord.org, "XML-RPC API Documentation").

    No call waits for a process: supervisord only looks at its children when its loop turns, about once a second, and each
    of our looks turns it. So starting and stopping are asked for and then watched.
    """

    look_s = 0.1  # between two looks at process states

    def __init__(self, url, username="", password=""):
        self.url, self.username, self.password = url, username, password
        if url.startswith("unix://"):
            self.address = url[len("unix://"):]
        else:
            host, _, port = url.split("://", 1)[1].split("/", 1)[0].rpartition(":")
            self.address = (host.strip("[]") or "127.0.0.1", int(port))

    def call(self, method, *parameters):
        """Call a method; raises Fault, or Failure when supervisord cannot be reached."""
        body = "<?xml version='1.0'?><methodCall><methodName>{}</methodName><params>{}</params></methodCall>".format(
            method, "".join("<param>{}</param>".format(xml_of(item)) for item in parameters)).encode()
        for attempt in range(3):
            status, answer = self.post(body)
            if status != 500:
                break
            time.sleep(0.1 * (attempt + 1))  # A race inside supervisord (Supervisor/supervisor#1600); it passes.
        if status == 401:
            raise Failure("supervisor-denied", "supervisord at {} refuses the user name and password.".format(self.url),
                          "Correct them in the [supervisorctl] section of the file given with -c.")
        if status != 200:
            raise self.unreachable("it answers with HTTP status {}".format(status))
        return RpcAnswer(answer).result()

    def post(self, body):
        """Send one request; return (status, body)."""
        head = "POST /RPC2 HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n".format(len(body))
        if self.username:
            import base64
            pair = base64.b64encode("{}:{}".format(self.username, self.password).encode()).decode()
            head += "Authorization: Basic {}\r\n".format(pair)
        data = []
        try:
            with connect_to(self.address, 20) as connection:
                connection.sendall(head.encode() + b"\r\n" + body)
                for piece in iter(lambda: connection.recv(1 << 16), b""):
                    data.append(piece)
            return parse_response(b"".join(data))
        except (OSError, ValueError) as error:
            raise self.unreachable(getattr(error, "strerror", None) or error) from None

    def unreachable(self, why):
        """Return the Failure for a supervisord that does not answer."""
        return Failure("supervisor-unreachable", "supervisord at {} cannot be reached: {}.".format(self.url, why),
                       "Start supervisord on the host, or correct supervisor.command in the host's settings.")

    def version(self):
        """Return supervisord's version."""
        return self.call("supervisor.getSupervisorVersion")

    def pid(self):
        """Return supervisord's process id."""
        return self.call("supervisor.getPID")

    def all_states(self):
        """Return {group: {process: info}} of everything supervisord knows."""
        groups = {}
        for info in self.call("supervisor.getAllProcessInfo"):
            groups.setdefault(info["group"], {})[info["name"]] = self.reduced(info)
        return groups

    def states(self, group, names):
        """Return {process: info} of some members of one group; those supervisord does not know are left out."""
        calls = [{"methodName": "supervisor.getProcessInfo", "params": [group + ":" + name]} for name in names]
        infos = self.call("system.multicall", calls) if calls else []
        return {info["name"]: self.reduced(info) for info in infos if "faultCode" not in info}

    @staticmethod
    def reduced(info):
        """Return what matters of a process info."""
        logs = [path for path in (info.get("stdout_logfile"), info.get("stderr_logfile")) if path]
        return {"state": STATES.get(info["state"], "UNKNOWN"), "pid": info["pid"] or None,
                "note": info.get("description", ""), "logs": logs}

    def reread(self):
        """Have the program files read again; return {"added", "changed", "removed"}: names of groups."""
        added, changed, removed = self.call("supervisor.reloadConfig")[0]
        return {"added": added, "changed": changed, "removed": removed}

    def add(self, group):
        """Take a group into service."""
        self.call("supervisor.addProcessGroup", group)

    def remove(self, group):
        """Forget a group whose processes have all ended."""
        self.call("supervisor.removeProcessGroup", group)

    def start(self, name):
        """Ask for a process (group:name) to be started."""
        self.call("supervisor.startProcess", name, False)

    def stop(self, name):
        """Ask for a process (group:name) to be stopped."""
        self.call("supervisor.stopProcess", name, False)


class SupervisorCtl:
    """supervisord by its command line, for hosts where only that may be run (sudo supervisorctl)."""
    look_s = 0.5  # Each look starts a Python, and perhaps sudo.
    FAULTS = (("no such process", FAULT_BAD_NAME), ("no such group", FAULT_BAD_NAME), ("already started", FAULT_ALREADY_STARTED),
              ("already active", FAULT_ALREADY_ADDED), ("not running", FAULT_NOT_RUNNING), ("still running", FAULT_STILL_RUNNING),
              ("no such file", FAULT_NO_FILE), ("not executable", FAULT_NOT_EXECUTABLE), ("spawn error", FAULT_SPAWN_ERROR),
              ("abnormal termination", FAULT_ABNORMAL), ("cant_reread", FAULT_CANT_REREAD))

    def __init__(self, argv):
        self.argv = located(argv)

    def call(self, *words):
        """Run supervisorctl; return its output or raise Fault or Failure."""
        status, text = run_command(self.argv + list(words), 120, 1 << 20)
        low = text.lower()
        is_gone = "no such file" in low and "unix://" in low
        if "refused connection" in low or is_gone or "permission denied" in low or status == 4:
            raise Failure("supervisor-unreachable", "supervisorctl cannot reach supervisord: {}".format(text[-300:]),
                          "Start supervisord on the host, or correct supervisor.command in the host's settings.")
        if "error" in low and words[0] != "status":
            code = next((code for phrase, code in self.FAULTS if phrase in low), 0)
            raise Fault(code, text[-500:])
        if status and words[0] not in ("status", "start", "stop"):
            raise Failure("supervisor-unreachable", "'{}' failed: {}".format(" ".join(self.argv), text[-300:] or status),
                          "Run it by hand on the host; correct supervisor.command in the host's settings.")
        return text

    def version(self):
        """Return supervisord's version."""
        return self.call("version")

    def pid(self):
        """Return supervisord's process id."""
        return int(self.call("pid"))

    def all_states(self):
        """Return {group: {process: info}} of everything supervisord knows."""
        groups = {}
        for line in self.call("status").splitlines():
            words = line.split(None, 2)
            if len(words) < 2 or words[1] not in STATES.values():
                continue
            group, _, name = words[0].rpartition(":")
            note = words[2] if len(words) > 2 else ""
            pid = int(note.split()[1].rstrip(",")) if note.startswith("pid ") else None
            groups.setdefault(group or name, {})[name] = {"state": words[1], "pid": pid, "note": note, "logs": []}
        return groups

    def states(self, group, names):
        """Return {process: info} of some members of one group; those supervisord does not know are left out."""
        known = self.all_states().get(group, {})
        return {name: known[name] for name in names if name in known}

    def reread(self):
        """Have the program files read again; return {"added", "changed", "removed"}: names of groups."""
        words = {"available": "added", "changed": "changed", "disappeared": "removed"}
        groups = {"added": [], "changed": [], "removed": []}
        for line in self.call("reread").splitlines():
            name, _, what = line.rpartition(": ")
            if what in words:
                groups[words[what]].append(name)
        return groups

    def add(self, group):
        """Take a group into service."""
        self.call("add", group)

    def remove(self, group):
        """Forget a group whose processes have all ended."""
        self.call("remove", group)

    def start(self, name):
        """Start a process (group:name)."""
        self.call("start", name)

    def stop(self, name):
        """Stop a process (group:name)."""
        self.call("stop", name)


SUPERVISOR_FILES = ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf", "/etc/supervisor.conf")


def ini_section(text, section):
    """Return {option: value} of one section of an INI file as supervisor writes them."""
    values, is_here = {}, False
    for written in text.splitlines():
        line = written.split(" ;")[0].strip()
        if line.startswith("["):
            is_here = line == "[{}]".format(section)
        elif is_here and "=" in line and line[0] not in ";#":
            name, _, value = line.partition("=")
            values[name.strip()] = value.strip()
    return values


def options_of(argv):
    """Return what a supervisorctl argv says about the server: {"-c", "-s", "-u", "-p"}; None when it is another program."""
    if os.path.basename(argv[0]) == "supervisorctl":
        words = list(argv[1:])
    elif list(argv[1:3]) == ["-m", "supervisor.supervisorctl"]:
        words = list(argv[3:])
    else:
        return None
    names = {"--configuration": "-c", "--serverurl": "-s", "--username": "-u", "--password": "-p"}
    options = {}
    while words:
        name, separator, value = words.pop(0).partition("=")
        name = names.get(name, name)
        if name not in ("-c", "-s", "-u", "-p"):
            return None
        options[name] = value if separator else words.pop(0) if words else ""
    return options


def open_supervisor(argv):
    """Return the quickest way to supervisord that this supervisorctl command describes."""
    options = options_of(argv)
    if options is None:
        return SupervisorCtl(argv)
    files = [options["-c"]] if "-c" in options else SUPERVISOR_FILES
    section, here = {}, "/"
    for path in files:
        try:
            content = read_bytes(path)
        except OSError:
            return SupervisorCtl(argv)  # We may not read it; perhaps the command may.
        if content is not None:
            section = ini_section(content.decode("utf-8", "replace"), "supervisorctl")
            here = os.path.dirname(os.path.abspath(path))
            break
    url = options.get("-s") or section.get("serverurl", "").replace("%(here)s", here)
    if "%(" in url or not url.startswith(("unix://", "http://")):
        return SupervisorCtl(argv)
    return SupervisorRpc(url, options.get("-u") or section.get("username", ""), options.get("-p") or section.get("password", ""))


class Supervisord:
    """The processes of one application under supervisord: groups <app>-<slot> with members <app>-<slot>-<process>."""

    kind = "supervisord"

    def __init__(self, settings, app, control):
        self.settings, self.app, self.control = settings, app, control
        self.folder, self.back_end = settings["programs"], None

    @property
    def look_s(self):
        """How many seconds lie between two looks at process states."""
        return self.server().look_s

    def read(self, _slot, name):
        """Return the content of a slot's program file, None when there is none."""
        return read_bytes(os.path.join(self.folder, plain_file(name)))

    def write(self, _slot, name, text):
        """Put a slot's program file in place."""
        write_file(os.path.join(self.folder, plain_file(name)), text)

    def sweep(self, _slot, name):
        """Remove what a killed agent left beside a slot's program file."""
        discard(os.path.join(self.folder, ASIDE + name))

    def take_away(self, slot, name):
        """Have a slot forgotten, whose processes were stopped, with its program file."""
        if name and discard(os.path.join(self.folder, plain_file(name))):
            flush_folder(self.folder)
        self.unload(slot)
        self.forget()

    def retire(self, slot, process):
        """Nothing more than its launcher keeps a process from being started with the machine."""

    def observe(self, deep):
        """Return (facts, problems)."""
        about, found = {"kind": self.kind, "reachable": False, "version": None, "is_root": None}, []
        argv = self.settings["command"]
        if isinstance(self.server(), SupervisorCtl) and find_program(argv) is None:
            found.append(problem("supervisor-missing", "There is no program '{}' on this host.".format(argv[0]),
                                 "Install supervisor (Debian: apt install supervisor), or correct supervisor.command."))
            return about, found
        try:
            about["is_root"] = os.stat("/proc/{}".format(self.server().pid())).st_uid == 0
            about["version"] = self.server().version() if deep else None
            about["reachable"] = True
        except FileNotFoundError:
            about["reachable"] = True
        except Failure as failure:
            found.append(problem(failure.code, failure.message, failure.remedy))
        return about, found + problems_of_programs(self.folder, PROGRAMS_REMEDY, "supervisor.programs")

    def check_folder(self):
        """Raise Failure when program files cannot be written."""
        refuse_programs(self.folder, PROGRAMS_REMEDY, "supervisor.programs")

    def server(self):
        """Return the way to supervisord, opened on first use."""
        if self.back_end is None:
            self.back_end = open_supervisor(self.settings["command"])
        return self.back_end

    def group(self, slot):
        """Return the name of a slot's group."""
        return "{}-{}".format(self.app, slot)

    def member(self, slot, process):
        """Return the name of a process within its group."""
        return "{}-{}-{}".format(self.app, slot, process)

    def full_name(self, slot, process):
        """Return the name by which supervisord's methods know a process."""
        return "{}:{}".format(self.group(slot), self.member(slot, process))

    def bare(self, slot, infos):
        """Return process infos by the application's own names for them."""
        prefix = self.member(slot, "")
        return {name[len(prefix):] if name.startswith(prefix) else name: info for name, info in infos.items()}

    def all_states(self):
        """Return {slot: {process: info}}; a slot unknown to supervisord is absent."""
        groups = self.server().all_states()
        return {slot: self.bare(slot, groups[self.group(slot)]) for slot in SLOTS if self.group(slot) in groups}

    def states(self, slot, names):
        """Return {process: info} of some processes of a slot."""
        members = [self.member(slot, name) for name in names]
        return self.bare(slot, self.server().states(self.group(slot), members))

    def load(self, slot):
        """Make supervisord run the slot's group as its file says now. The group's processes must have been stopped."""
        try:
            groups = self.server().reread()
        except Fault as fault:
            raise Failure("supervisor-config-broken", "supervisord cannot read its configuration: {}".format(fault.text),
                          "Correct or remove the program file it names; it may belong to another application.") from None
        group = self.group(slot)
        if group in groups["changed"]:
            self.unload(slot)
        try:
            self.server().add(group)
        except Fault as fault:
            if fault.code == FAULT_BAD_NAME:
                raise Failure("supervisor-ignores-programs",
                              "supervisord does not see the program file in {}.".format(self.settings["programs"]),
                              "Let the [include] section of supervisord's configuration read that folder.") from None
            if fault.code != FAULT_ALREADY_ADDED:
                raise Failure("supervisor-refused", "supervisord does not take {}: {}".format(group, fault.text)) from None

    def unload(self, slot):
        """Make supervisord forget a slot's group; its processes must have been stopped."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self.server().remove(self.group(slot))
                return
            except Fault as fault:
                if fault.code == FAULT_BAD_NAME:
                    return
                if fault.code != FAULT_STILL_RUNNING or time.monotonic() > deadline:
                    raise Failure("supervisor-refused", "supervisord does not let go of {}: {}".format(
                        self.group(slot), fault.text)) from None
            self.control.pause()

    def forget(self):
        """Have supervisord notice that a program file is gone. Whatever else is wrong with its files is not our business now."""
        try:
            self.server().reread()
        except Fault:
            return

    def start(self, slot, names):
        """Ask for processes to be started; those that run already are left alone."""
        for name in names:
            try:
                self.server().start(self.full_name(slot, name))
            except Fault as fault:
                # What ends early is seen, with its log, by the check.
                if fault.code not in (FAULT_ALREADY_STARTED, FAULT_ABNORMAL, FAULT_SPAWN_ERROR):
                    raise Failure("process-failed", "supervisord cannot start the process '{}': {}".format(name, fault.text),
                                  "See supervisord's own log on the host.", process=name) from None

    def stop(self, slot, names, wait_s):
        """Stop processes and wait until they have ended; supervisord kills what outlives its stopwaitsecs.

        Returns the names of those that still run after `wait_s` seconds.
        """
        for name in names:
            try:
                self.server().stop(self.full_name(slot, name))
            except Fault as fault:
                if fault.code not in (FAULT_NOT_RUNNING, FAULT_BAD_NAME):
                    raise Failure("supervisor-refused", "supervisord does not stop '{}': {}".format(name, fault.text)) from None
        deadline = time.monotonic() + wait_s
        while True:
            infos = self.states(slot, names)
            left = [name for name, info in infos.items() if info["state"] not in DOWN]
            if not left or time.monotonic() > deadline:
                return left
            self.control.pause()


# --- systemd ----------------------------------------------------------------------------------------------------------

UNIT_HEAD = "# unit "
UNIT_FIELDS = ("Id", "LoadState", "ActiveState", "SubState", "MainPID", "Result", "NRestarts", "ExecMainStatus",
               "ActiveEnterTimestampMonotonic", "NeedDaemonReload")
OLDEST_SYSTEMD = 240      # the first with Type=exec and StandardOutput=append:
STEADY_START_S = 1        # as supervisord's startsecs in the shipped template
UNITS_REMEDY = "Create it, or name in supervisor.units a folder that systemd reads, such as /etc/systemd/system."


def units_in(text):
    """Return {unit name: text} of a slot's units, which are written one after the other, each below a line that names it."""
    units, name = {}, None
    for line in text.splitlines(True):
        if line.startswith(UNIT_HEAD):
            name = line[len(UNIT_HEAD):].strip()
            units[name] = ""
        if name is None:
            raise Failure("bad-request", "The text of systemd's units does not begin with a unit's name.")
        units[name] += line
    return units


def unit_state(fields, now_s):
    """Return what systemd's properties of a unit mean, in supervisord's words; `now_s` is by the monotonic clock.

    A unit counts as RUNNING once it was up for as long as supervisord would ask.
    """
    active = fields["ActiveState"]
    if active == "active":
        age_s = now_s - int(fields.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        return "STARTING" if 0 <= age_s < STEADY_START_S else "RUNNING"
    if active == "activating":
        return "BACKOFF" if fields["SubState"].startswith("auto-restart") else "STARTING"
    return {"reloading": "RUNNING", "deactivating": "STOPPING", "failed": "FATAL", "inactive": "STOPPED"}.get(active, "UNKNOWN")


class Systemd:
    """The processes of one application under systemd: units windlass-<app>-<slot>.<process>.service.

    No process has a dot in its name, so the name of a unit says without doubt whose it is. Of a slot's units the live ones
    are enabled, so that they start with the machine.
    """

    kind = "systemd"
    look_s = 0.2  # Each look starts a systemctl.

    def __init__(self, settings, app, control):
        self.settings, self.app, self.control = settings, app, control
        self.folder = os.path.expanduser(settings["units"])
        self.argv = located(settings["command"])
        self.is_user = "--user" in settings["command"]
        if self.is_user:  # A login without PAM does not set it.
            os.environ.setdefault("XDG_RUNTIME_DIR", "/run/user/{}".format(os.getuid()))

    # Names and files.

    def unit(self, slot, process):
        """Return the name of a process's unit."""
        return "windlass-{}-{}.{}.service".format(self.app, slot, process)

    def process(self, slot, unit):
        """Return the process of a slot that a unit is for, None when it is none of the slot's."""
        before, after = self.unit(slot, ""), ".service"
        before = before[:-len(after)]
        name = unit[len(before):-len(after)]
        return name if unit == before + name + after and is_plain(name) and "." not in name else None

    def units(self, slot):
        """Return the names of a slot's unit files, by process."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted((name for name in names if self.process(slot, name)), key=lambda name: self.process(slot, name))

    def path(self, unit):
        """Return the path of a unit file."""
        return os.path.join(self.folder, unit)

    def read(self, slot, _name):
        """Return the content of a slot's unit files one after the other, None when there are none."""
        contents = [read_bytes(self.path(unit)) or b"" for unit in self.units(slot)]
        return b"".join(contents) if contents else None

    def write(self, slot, _name, text):
        """Put a slot's unit files in place and take away those of processes that are no longer wanted."""
        wanted = units_in(text)
        for unit in wanted:
            if self.process(slot, unit) is None:
                raise Failure("bad-request", "'{}' cannot be the name of a unit of slot {}.".format(unit, slot))
        self.remove_units([unit for unit in self.units(slot) if unit not in wanted])
        for unit, content in wanted.items():
            if read_bytes(self.path(unit)) != content.encode():
                write_file(self.path(unit), content)

    def remove_units(self, units):
        """Remove unit files and what starts them with the machine; say whether there were any."""
        if units:
            self.must("disable", "--quiet", "--no-reload", *units)
            for unit in units:
                discard(self.path(unit))
            flush_folder(self.folder)
        return bool(units)

    def sweep(self, slot, _name):
        """Remove what a killed agent left beside a slot's unit files."""
        for name in os.listdir(self.folder) if os.path.isdir(self.folder) else ():
            if name.startswith(ASIDE) and self.process(slot, name[len(ASIDE):]):
                discard(self.path(name))

    # Talking to systemd.

    def call(self, *words):
        """Run systemctl; return (exit status, output). Raises Failure when systemd cannot be reached or refuses us."""
        status, text = run_command([*self.argv, "--no-ask-password", "--no-pager", *words], 120, 1 << 20)
        low = text.lower()
        if status and any(phrase in low for phrase in ("connect to bus", "booted with systemd", "connect to system scope")):
            raise Failure("supervisor-unreachable", "systemctl cannot reach systemd: {}".format(text[-300:]), self.remedy())
        if status and any(phrase in low for phrase in ("access denied", "authentication", "password is required",
                                                       "permission denied", "not allowed to")):
            raise Failure("supervisor-denied", "The user {} may not use '{}': {}".format(
                user_name(), " ".join(self.settings["command"]), text[-300:]), self.remedy())
        return status, text

    def remedy(self):
        """Return what makes systemd usable."""
        if self.is_user:
            return "Give the user a systemd that outlives logins: 'loginctl enable-linger {}', as root.".format(user_name())
        return ("Allow it by sudo and set supervisor.command to [\"sudo\", \"-n\", \"systemctl\"], use the user's own systemd "
                "with [\"systemctl\", \"--user\"], or set supervisor.kind to supervisord where systemd is not the init system.")

    def must(self, *words):
        """Run systemctl; return its output. Raises Failure when it does not succeed."""
        status, text = self.call(*words)
        if status:
            raise Failure("supervisor-refused", "'systemctl {}' failed: {}".format(" ".join(words), text[-500:] or status),
                          "Run it by hand on the host and see 'journalctl -xe' there.")
        return text

    def show(self, units):
        """Return {unit: properties}; patterns stand for units that systemd has loaded."""
        found = {}
        for block in self.must("show", "--property=" + ",".join(UNIT_FIELDS), "--", *units).split("\n\n") if units else ():
            fields = dict(line.partition("=")[::2] for line in block.splitlines())
            if "Id" in fields and "ActiveState" in fields:
                found[fields["Id"]] = fields
        return found

    def infos(self, slot, shown):
        """Return {process: info} of the units of a slot among those shown; what systemd does not know is left out."""
        now_s, found = time.monotonic(), {}
        for unit, fields in shown.items():
            process = self.process(slot, unit)
            if process is None or (fields["LoadState"], fields["ActiveState"]) == ("not-found", "inactive"):
                continue
            found[process] = {"state": unit_state(fields, now_s), "pid": int(fields.get("MainPID") or 0) or None, "logs": [],
                              "note": "{}/{}, {}, status {}".format(
                                  fields["ActiveState"], fields["SubState"], fields.get("Result"), fields.get("ExecMainStatus")),
                              "restarts": fields.get("NRestarts")}
        return found

    def all_states(self):
        """Return {slot: {process: info}}; a slot unknown to systemd is absent."""
        names = [name for slot in SLOTS for name in [self.unit(slot, "*"), *self.units(slot)]]
        shown = self.show(names)
        found = {slot: self.infos(slot, shown) for slot in SLOTS}
        return {slot: infos for slot, infos in found.items() if infos}

    def states(self, slot, names):
        """Return {process: info} of some processes of a slot."""
        return self.infos(slot, self.show([self.unit(slot, name) for name in names]))

    # Changing what runs.

    def load(self, slot):
        """Make systemd know the slot's units as their files say now; it reads them again only when one differs."""
        units = self.units(slot)
        shown = self.show(units)
        if any(fields["LoadState"] != "loaded" or fields.get("NeedDaemonReload") == "yes" for fields in shown.values()):
            self.must("daemon-reload")
            shown = self.show(units)
        for unit, fields in shown.items():
            if fields["LoadState"] == "not-found":
                raise Failure("supervisor-ignores-programs", "systemd does not see the unit files in {}.".format(self.folder),
                              "Name in supervisor.units a folder that this systemd reads: see 'systemctl show -p UnitPath'.")
            if fields["LoadState"] != "loaded":
                raise Failure("supervisor-config-broken", "systemd does not take {}: {}".format(unit, fields["LoadState"]),
                              "See 'systemctl status {}' on the host.".format(unit))

    def take_away(self, slot, _name):
        """Have a slot forgotten, whose processes were stopped, with its unit files."""
        if self.remove_units(self.units(slot)):
            self.must("daemon-reload")

    def start(self, slot, names):
        """Start processes, now and with the machine; those that run already are left alone."""
        units = [self.unit(slot, name) for name in names]
        if not units:
            return
        self.must("enable", "--quiet", "--no-reload", *units)
        self.call("reset-failed", *units)  # Earlier starts must not count towards StartLimitBurst.
        status, text = self.call("start", *units)
        if status and "job for" not in text.lower():  # What ends early is seen, with its log, by the check.
            raise Failure("process-failed", "systemd cannot start {}: {}".format(", ".join(units), text[-500:] or status),
                          "See 'journalctl -xe' on the host.", process=names[0])

    def stop(self, slot, names, wait_s):
        """Stop processes and wait until they have ended; systemd kills what outlives TimeoutStopSec.

        Returns the names of those that still run after `wait_s` seconds.
        """
        units = [self.unit(slot, name) for name in names]
        status, text = self.call("stop", "--no-block", *units)
        if status and "not loaded" not in text.lower():
            raise Failure("supervisor-refused", "systemd does not stop {}: {}".format(", ".join(units), text[-500:] or status),
                          "Run 'systemctl stop' by hand on the host.")
        deadline = time.monotonic() + wait_s
        while True:
            infos = self.states(slot, names)
            left = [name for name, info in infos.items() if info["state"] not in DOWN]
            if not left or time.monotonic() > deadline:
                break
            self.control.pause(self.look_s)
        failed = [self.unit(slot, name) for name, info in infos.items() if info["state"] == "FATAL"]
        if failed:
            self.call("reset-failed", *failed)  # It was told to end: how it did is no failure any more.
        return left

    def retire(self, slot, process):
        """Keep a process from being started with the machine."""
        if self.unit(slot, process) in self.units(slot):
            self.must("disable", "--quiet", "--no-reload", self.unit(slot, process))

    # Looking whether it can be used.

    def observe(self, deep):
        """Return (facts, problems)."""
        about, found = {"kind": self.kind, "reachable": False, "version": None, "is_root": not self.is_user}, []
        if find_program(self.settings["command"]) is None:
            found.append(problem("supervisor-missing", "There is no program '{}' on this host.".format(
                self.settings["command"][0]), "Correct supervisor.command, or set supervisor.kind to supervisord."))
            return about, found
        try:
            said = self.must("show", "--property=Version").partition("=")[2].split()
            number = "".join(character for character in (said or ["0"])[0].partition(".")[0] if character.isdigit())
            about["reachable"], about["version"] = True, said[0] if said and deep else None
            if int(number or 0) < OLDEST_SYSTEMD:
                found.append(problem("supervisor-too-old", "This is systemd {}; {} is the oldest that will do.".format(
                    number, OLDEST_SYSTEMD), "Upgrade the host, or set supervisor.kind to supervisord."))
        except Failure as failure:
            found.append(problem(failure.code, failure.message, failure.remedy))
        if not self.may_use():
            found.append(problem("supervisor-denied", "The user {} may look at systemd but not change it.".format(user_name()),
                                 self.remedy()))
        if not self.may_be_made():
            found += problems_of_programs(self.folder, UNITS_REMEDY, "supervisor.units")
        return about, found

    def may_use(self):
        """Say whether systemd will likely let us: we are root, become it by the command, or speak to our own."""
        return os.getuid() == 0 or self.is_user or os.path.basename(self.settings["command"][0]) != "systemctl"

    def may_be_made(self):
        """Say whether the folder is not there but ours to make, as is a user's own before its first unit."""
        home = os.path.expanduser("~")
        is_ours = self.is_user and self.folder.startswith(home + "/") and os.access(home, os.W_OK)
        return is_ours and not os.path.exists(self.folder)

    def check_folder(self):
        """Raise Failure when unit files cannot be written; make a user's own folder for them."""
        if self.may_be_made():
            make_folder(self.folder)
        refuse_programs(self.folder, UNITS_REMEDY, "supervisor.units")


SUPERVISORS = {each.kind: each for each in (Supervisord, Systemd)}


def kind_of(settings):
    """Return the kind of supervisor that settings of one (or what a spec says of it) are for."""
    return settings.get("kind", Supervisord.kind)


def supervisor_from(settings, app, control):
    """Return an application's supervisor on this host."""
    kind = kind_of(settings)
    if kind not in SUPERVISORS:
        raise Failure("bad-request", "'{}' is no kind of supervisor that this agent knows.".format(kind), "Update Windlass.")
    return SUPERVISORS[kind](settings, app, control)


def plain_file(name):
    """Return the name of a program file; raise Failure for one that could lie elsewhere."""
    if not is_plain(name):
        raise Failure("bad-request", "'{}' cannot be the name of a program file.".format(name))
    return name


def problems_of_programs(folder, remedy, setting):
    """Return what keeps us from writing what a supervisor starts processes from into a folder."""
    if not os.path.isdir(folder):
        return [problem("programs-dir-missing", "The folder {} for the supervisor's files does not exist.".format(folder),
                        remedy)]
    if not os.access(folder, os.W_OK):
        return [problem("programs-dir-not-writable", "The user {} may not write in {}.".format(user_name(), folder),
                        "Give that user the right to write there, or correct {} in the host's settings.".format(setting))]
    return []


def refuse_programs(folder, remedy, setting):
    """Raise Failure when what a supervisor starts processes from cannot be written."""
    for found in problems_of_programs(folder, remedy, setting):
        raise Failure(found["code"], found["message"], found["remedy"])


# --- nginx ------------------------------------------------------------------------------------------------------------

PROOF = "# windlass-proof "


def proof_in(text):
    """Return (path, token) of a site's text: a location that answers with the token once this very text is being served."""
    for line in (text or "").splitlines():
        words = line.strip().split()
        if line.strip().startswith(PROOF) and len(words) == 4:
            return words[2], words[3]
    return None


def names_in(text):
    """Return the server names of a site's text."""
    found = []
    for line in (text or "").splitlines():
        words = line.strip().rstrip(";").split()
        found += words[1:] if words[:1] == ["server_name"] else []
    return found


def conflicting_names(said):
    """Return the server names that nginx -t calls conflicting: `conflicting server name "a.example" on 0.0.0.0:80, ignored`."""
    return [part.split('"')[1] for part in said.split("conflicting server name ")[1:] if part.count('"') > 1]


def listen_address(listen):
    """Return the address at which this host's nginx answers, from a listen value such as "80" or "127.0.0.2:8080"."""
    value = str(listen).split()[0]
    if value.startswith("unix:"):
        return value[len("unix:"):]
    host, _, port = value.rpartition(":")
    host = host.strip("[]")
    return ("127.0.0.1" if host in ("", "*", "0.0.0.0") else "::1" if host == "::" else host, int(port))


class Nginx:
    """One application's site, changed under a lock that all agents on the host share (the sites folder itself).

    While a changed site is on trial, `.windlass-undo-<file>` beside it holds what was there before. Whoever takes the lock
    next settles what a killed agent left: forward when the slot the site is for has been switched to, back otherwise.
    """

    def __init__(self, settings, control):
        self.settings, self.control = settings, control
        self.folder = settings["sites"]
        self.lock = None

    def __enter__(self):
        """Take the lock and settle what others left."""
        try:
            self.lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Failure("sites-dir-missing", "The folder {} for nginx sites does not exist.".format(self.folder),
                          SITES_REMEDY) from None
        deadline = time.monotonic() + 60
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self.lock)
                    raise Failure("nginx-locked", "Another deploy on this host has been changing nginx's sites for a minute.",
                                  "Wait until it has ended, then try again.") from None
            self.control.pause()
        try:
            self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        os.close(self.lock)
        self.lock = None

    def path(self, name):
        """Return the path of a site file."""
        return os.path.join(self.folder, name)

    def text(self, name):
        """Return the text of a site file or None."""
        content = read_bytes(self.path(name))
        return None if content is None else content.decode("utf-8", "replace")

    def leftovers(self):
        """Return the names of what killed agents left in the folder."""
        return [entry for entry in os.listdir(self.folder) if entry.startswith((UNDO, ASIDE))]

    def settle(self):
        """Finish or take back what a killed agent had on trial. Only holders of the lock write here, so nobody is disturbed."""
        for entry in self.leftovers():
            undo = read_json(self.path(entry)) if entry.startswith(UNDO) else None
            if undo is not None and read_link(undo["switch"]) != undo["wanted"]:
                self.install(entry[len(UNDO):], undo["text"])
            try:
                if undo is not None and undo["reload"]:
                    self.reload()
            except Failure:
                continue  # nginx does not run now; the note stays until it has been told.
            discard(self.path(entry))

    def install(self, name, text):
        """Put a site's text in place; None removes the file."""
        if text is None:
            discard(self.path(name))
            flush_folder(self.folder)
        else:
            write_file(self.path(name), text)

    def try_out(self, name, text, switch, wanted):
        """Put a new text in place, remembering the old one; `switch` is the link that will name `wanted` once it counts."""
        undo = {"text": self.text(name), "switch": switch, "wanted": wanted, "reload": False}
        write_json(self.path(UNDO + name), undo)
        self.install(name, text)
        return undo

    def test(self, names=()):
        """Raise Failure with nginx's own words when it does not accept its configuration.

        Where two sites have the same server name, nginx only warns and serves one of them; for `names` that is refused, too.
        """
        status, text = run_command([*located(self.settings["command"]), "-t"], 30)
        if status:
            raise Failure("nginx-refused", "nginx does not accept its configuration: {}".format(text[-2000:] or status),
                          "Correct what the message names; the site that served before is still in place.")
        taken = sorted({name.lower() for name in names}.intersection(conflicting_names(text)))
        if taken:
            raise Failure("server-name-taken", "Another site of this host's nginx already has the server name {}.".format(
                ", ".join(taken)), "Give this target other server_names, or take this one out of the other site.")

    def will_reload(self, name, undo):
        """Note that from now on a settlement has to reload nginx too."""
        write_json(self.path(UNDO + name), dict(undo, reload=True))

    def reload(self):
        """Have nginx read its configuration again; it does so on its own time."""
        status, text = run_command([*located(self.settings["command"]), "-s", "reload"], 30)
        if status:
            raise Failure("nginx-not-reloaded", "nginx was not reloaded: {}".format(text[-2000:] or status),
                          "See whether nginx runs on the host and whether nginx.command in its settings is right.")

    def keep(self, name):
        """The text on trial stays."""
        discard(self.path(UNDO + name))

    def take_back(self, name, undo):
        """The text on trial goes, the old one returns."""
        self.install(name, undo["text"])
        discard(self.path(UNDO + name))

    def prove(self, text, host, timeout_s=10, steady_s=0.0):
        """Wait until nginx serves this very text; with `steady_s`, until for so long no worker process of old answered.

        Raises Failure when nginx goes on serving something else. One that does not answer at all serves nobody, so that
        nobody is harmed: whether it should is not decided here.
        """
        proof = proof_in(text)
        if proof is None:
            self.control.pause(max(0.3, steady_s))  # Nothing tells an old worker process from a new one.
            return
        address = listen_address(self.settings["listen"])
        deadline = time.monotonic() + timeout_s
        since, was_answered = None, False
        while True:
            try:
                body = http_get(address, proof[0], host, 2, self.control.check)[1]
                was_answered = True
                since = (since or time.monotonic()) if proof[1].encode() in body else None
            except (OSError, ValueError):
                since = None
            if since is not None and time.monotonic() - since >= steady_s:
                return
            if time.monotonic() > deadline and was_answered:
                raise Failure("nginx-not-reloaded", "nginx was told to reload but still serves its old configuration.",
                              "See nginx's error log; often a port it is to listen on is in use.")
            if time.monotonic() > deadline - timeout_s + 2 and not was_answered:
                return
            self.control.pause()


# --- Places and who may change them -----------------------------------------------------------------------------------

def is_plain(name):
    """Say whether a name may be one component of a path."""
    return isinstance(name, str) and 0 < len(name.encode("utf-8", "replace")) <= 255 and name[0] not in ".-" \
        and not any(character in "/\0\n" for character in name)


def check_root(root):
    """Raise Failure for a root that is no folder below /."""
    if not isinstance(root, str) or not root.startswith("/") or os.path.normpath(root) != root or root == "/":
        raise Failure("bad-request", "The root '{}' is no clean absolute path.".format(root),
                      "Correct it in the host's settings.")


class Place:
    """The names of everything that belongs to one application below a host's root."""

    def __init__(self, root, app):
        check_root(root)
        if not is_plain(app) or not all(character.isalnum() or character in "-_." for character in app):
            raise Failure("bad-request", "'{}' cannot be the name of an application.".format(app))
        self.root, self.app = root, app
        self.base = root + "/" + app
        self.releases, self.environments, self.slots = self.base + "/releases", self.base + "/envs", self.base + "/slots"
        self.run, self.state, self.shared = self.base + "/run", self.base + "/state", self.base + "/shared"
        self.logs, self.once, self.manifests = self.shared + "/logs", self.state + "/once", self.state + "/manifests"
        self.current, self.switch = self.base + "/current", self.run + "/current.sock"
        self.ports = self.state + "/ports.json"

    def folders(self):
        """Return (path, mode) of the folders every application has."""
        public = (self.base, self.releases, self.environments, self.slots, self.run, self.shared, self.logs)
        private = (self.state, self.once, self.manifests)
        return [(path, 0o755) for path in public] + [(path, 0o700) for path in private]

    def trees(self, kind):
        """Return the folder of the trees of a kind: "release" or "environment"."""
        return self.releases if kind == "release" else self.environments

    def manifest(self, kind, name):
        """Return the path of the list of a tree's files."""
        return "{}/{}-{}".format(self.manifests, kind, name)

    def socket(self, slot):
        """Return the path of a slot's socket."""
        return "{}/{}.sock".format(self.run, slot)

    def link(self, slot):
        """Return the path of a slot's link to its release."""
        return "{}/{}".format(self.slots, slot)

    def launcher(self, slot, process):
        """Return the path of the script that starts a process."""
        return "{}/{}-{}".format(self.run, slot, process)

    def supervisor(self, slot):
        """Return the path of the settings of the supervisor that a slot was filled for."""
        return "{}/supervisor-{}.json".format(self.state, slot)

    def record(self, slot):
        """Return the path of what is known of a slot."""
        return "{}/slot-{}.json".format(self.state, slot)

    def make(self):
        """Make the folders."""
        for path, mode in self.folders():
            make_folder(path, mode)

    def active(self):
        """Return the slot that the switch names, or None."""
        target = read_link(self.switch)
        return next((slot for slot in SLOTS if target == slot + ".sock"), None)

    def current_release(self):
        """Return the digest that `current` names, or None."""
        target = read_link(self.current)
        return os.path.basename(target) if target else None

    def complete(self, kind):
        """Return the names of the complete trees of a kind."""
        try:
            names = os.listdir(self.trees(kind))
        except FileNotFoundError:
            return []
        return sorted(name for name in names if ".partial-" not in name and not name.startswith("."))


class Fence:
    """Who may change an application on this host: the newest epoch announced, and a lock that dies with its holder."""

    def __init__(self, place, epoch, deploy):
        self.place, self.epoch, self.deploy = place, epoch, deploy
        self.lock = None

    def path(self):
        """Return the path of the newest epoch announced."""
        return self.place.state + "/epoch"

    def announced(self):
        """Return the newest announcement: {"epoch", "deploy"}."""
        return read_json(self.path()) or {"epoch": 0, "deploy": None}

    def is_overtaken(self):
        """Say whether somebody newer has come."""
        return self.announced()["epoch"] > self.epoch

    def announce(self):
        """Make our epoch known, so that an older holder stops; raise Failure "fenced" when we are the older one."""
        guard = os.open(self.place.state + "/epoch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            newest = self.announced()
            is_foreign = newest["epoch"] == self.epoch and newest["deploy"] != self.deploy
            if newest["epoch"] > self.epoch or is_foreign:
                raise Failure(
                    "fenced", "Epoch {} of deploy {} is not newer than epoch {} of deploy {} seen on this host.".format(
                        self.epoch, self.deploy, newest["epoch"], newest["deploy"]),
                    "A newer run is in charge; there is nothing to do.", epoch=newest["epoch"])
            self.write(json.dumps({"epoch": self.epoch, "deploy": self.deploy}).ljust(96))
        finally:
            os.close(guard)

    def write(self, text):
        """Write the epoch; on a full disk into the old file, which needs no new block."""
        try:
            write_file(self.path(), text, 0o600)
        except OSError as error:
            if error.errno not in FULL or len(read_bytes(self.path()) or b"") != len(text):
                raise
            handle = os.open(self.path(), os.O_WRONLY)
            try:
                os.pwrite(handle, text.encode(), 0)
                os.fsync(handle)
            finally:
                os.close(handle)

    def acquire(self, wait_s, control):
        """Take the lock, waiting up to `wait_s` seconds for an older holder to stop; one that does not stop is killed.

        Killing is sound because every change is made so that a kill at any point does no harm, and needed because a holder
        that is frozen (SIGSTOP, a hung disk) would otherwise keep the host for ever.
        """
        lock = os.open(self.place.state + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline, evicted = time.monotonic() + wait_s, False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = self.holder(lock)
                    if evicted or not self.evict(holder):
                        raise Failure("locked", "Another run holds this application on this host: process {}, deploy {}.".format(
                            holder.get("pid"), holder.get("deploy")), "Wait until it has ended, or end that process on the host.",
                            pid=holder.get("pid")) from None
                    deadline, evicted = time.monotonic() + 5, True
            if self.is_overtaken():
                raise Failure("fenced", "A newer run has taken over while this one waited.", "Nothing to do.")
            control.pause(0.02)
        self.lock = lock
        self.sign()

    def holder(self, lock):
        """Return what the lock's holder wrote about itself."""
        try:
            return json.loads(os.pread(lock, 512, 0))
        except ValueError:
            return {}

    def evict(self, holder):
        """Kill an older holder; say whether that was done."""
        pid = holder.get("pid")
        if not pid or holder.get("epoch", self.epoch) >= self.epoch or start_time(pid) != holder.get("started"):
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            return False
        return True

    def sign(self):
        """Write into the lock who holds it."""
        about = {"pid": os.getpid(), "started": start_time(os.getpid()), "epoch": self.epoch, "deploy": self.deploy}
        os.pwrite(self.lock, json.dumps(about).ljust(256).encode(), 0)


class Journal:
    """A line for each step of each run, for people; the truth is what is found on the host."""
    LIMIT = 1 << 20

    def __init__(self, place, fence):
        self.path, self.fence = place.state + "/journal.jsonl", fence

    def note(self, step, state, message=None):
        """Append a line. A full disk does not stop a deploy here: nothing depends on these lines."""
        line = json.dumps({"at": int(time.time() * 1000), "deploy": self.fence.deploy, "epoch": self.fence.epoch,
                           "step": step, "state": state, "message": message}) + "\n"
        try:
            if os.path.exists(self.path) and os.path.getsize(self.path) > self.LIMIT:
                os.rename(self.path, self.path + ".1")
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                write_all(handle, line.encode())
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno not in FULL:
                raise


def allocate_ports(place):
    """Return {"a": port, "b": port}, kept from the first time on; a port taken by somebody else meanwhile is replaced."""
    root = os.open(place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(root, fcntl.LOCK_EX)  # Two applications at the same time must not choose the same port.
        ports = read_json(place.ports) or {}
        listening = listening_ports()
        taken = listening | others_ports(place)
        wanted = dict(ports)
        for slot in SLOTS:
            is_ours = os.path.exists(place.record(slot))
            if slot in ports and (is_ours or ports[slot] not in listening):
                continue
            taken.update(wanted.values())
            start = zlib.crc32("{}-{}".format(place.base, slot).encode()) % len(PORTS)
            order = (PORTS[(start + step) % len(PORTS)] for step in range(len(PORTS)))
            wanted[slot] = next(port for port in order if port not in taken)
        if wanted != ports:
            write_json(place.ports, wanted)
        return wanted
    finally:
        os.close(root)


def others_ports(place):
    """Return the ports that other applications below the same root were given."""
    ports = set()
    for app in os.listdir(place.root):
        if app != place.app:
            try:
                ports.update((read_json("{}/{}/state/ports.json".format(place.root, app)) or {}).values())
            except OSError:
                continue  # Not ours to read, so not ours to share a supervisord with.
    return ports


def tcp_sockets():
    """Yield (local port, state) of every TCP socket; see proc_net_tcp in the kernel's documentation."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (read_bytes(table) or b"").splitlines()[1:]:
            fields = line.split()
            yield int(fields[1].rpartition(b":")[2], 16), fields[3]


def listening_ports():
    """Return the TCP ports something listens on."""
    return {port for port, state in tcp_sockets() if state == b"0A"}


def open_connections(address):
    """Return how many connections a server at this address has, those it has not accepted yet included."""
    if not isinstance(address, str):
        return sum(1 for port, state in tcp_sockets() if port == address[1] and state in (b"01", b"03", b"08"))
    count, wanted = 0, address.encode()
    for line in (read_bytes("/proc/net/unix") or b"").splitlines()[1:]:
        fields = line.split(None, 7)
        # Field 5 is the state: 2 waits to be accepted, 3 is connected. Accepted sockets bear the listener's path.
        count += len(fields) == 8 and fields[7] == wanted and fields[5] in (b"02", b"03")
    return count


# --- Trees: releases and environments ---------------------------------------------------------------------------------

class Manifest:
    """The list of a tree's files: [path, mode, size, sha256] or [path, "link", target], checked before anything is made."""

    def __init__(self, document, digest, kind):
        if hashlib.sha256(document).hexdigest() != digest:
            raise Failure("bad-transfer", "The list of files does not have the digest {}.".format(digest), "Deploy again.")
        self.document, self.kind = document, kind
        self.entries = json.loads(document)
        self.links = {}
        self.folders = set()
        self.check()

    def check(self):
        """Raise Failure "unsafe-path" for anything that could be written outside the tree."""
        paths = set()
        for entry in self.entries:
            path = entry[0]
            self.check_path(path)
            if path in paths:
                raise self.unsafe(path, "is listed twice")
            paths.add(path)
            while "/" in path:
                path = path.rpartition("/")[0]
                self.folders.add(path)
            if entry[1] == "link":
                self.links[entry[0]] = entry[2]
            elif entry[1] not in (0o644, 0o755) or not isinstance(entry[2], int) or entry[2] < 0 or not is_digest(entry[3]):
                raise self.unsafe(entry[0], "has no valid mode, size or digest")
        for path in self.folders & paths:
            raise self.unsafe(path, "is a file and a folder at the same time")
        for path in self.links:
            self.resolve(path)

    def check_path(self, path):
        """Raise Failure unless `path` is relative, clean and below the tree."""
        parts = path.split("/") if isinstance(path, str) else [""]
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise self.unsafe(path, "is not a clean relative path")
        try:
            is_long = len(path.encode()) > 3000 or any(len(part.encode()) > 255 for part in parts)
        except UnicodeEncodeError:
            raise self.unsafe(path, "is not valid UTF-8") from None
        if is_long:
            raise self.unsafe(path, "is too long")
        own = path == "pyvenv.cfg" or path.startswith("bin/python")
        if self.kind == "environment" and own:
            raise self.unsafe(path, "is made on the host itself")

    def resolve(self, path):
        """Follow a link through the tree the way the kernel would; raise Failure when it leads out of it."""
        done, todo, steps = [], path.split("/"), 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise self.unsafe(path, "is a link that leads out of the tree")
                done.pop()
                continue
            done.append(part)
            target = self.links.get("/".join(done))
            if target is None:
                continue
            steps += 1
            if not isinstance(target, str) or not target or target.startswith("/") or "\0" in target or steps > 40:
                raise self.unsafe(path, "is a link that leads out of the tree or nowhere")
            done.pop()
            todo = target.split("/") + todo

    @staticmethod
    def unsafe(path, why):
        """Return the Failure for a path that is refused."""
        return Failure("unsafe-path", "The path {} {}.".format(json.dumps(path), why),
                       "Take it out of the repository or package, or rename it.")

    def files(self):
        """Return [(index, path, mode, size, sha256)] of the files."""
        return [(index, *entry) for index, entry in enumerate(self.entries) if entry[1] != "link"]


def is_digest(value):
    """Say whether a value is a hex SHA-256."""
    return isinstance(value, str) and len(value) == 64 and all(character in "0123456789abcdef" for character in value)


class Shipment:
    """One tree on its way: built aside from what the host has and what it is sent, then renamed into place."""

    def __init__(self, place, control, emitter, request):
        self.place, self.control, self.emitter = place, control, emitter
        self.kind, self.name, self.digest = request["kind"], request["name"], request["digest"]
        self.python, self.mend = request.get("python"), bool(request.get("mend"))
        self.step = "ship" if self.kind == "release" else "environment"
        if self.kind not in ("release", "environment") or not is_digest(self.name) or not is_digest(self.digest):
            raise Failure("bad-request", "'ship' needs kind, name and digest.", step="ship")
        if self.kind == "environment" and not self.python:
            raise Failure("bad-request", "'ship' of an environment needs python: {path, version}.", step=self.step)
        self.target = os.path.join(place.trees(self.kind), self.name)
        self.partial = "{}.partial-{}".format(self.target, os.getpid())
        self.manifest = None
        self.lacks = []
        self.said_at = 0.0

    def is_complete(self):
        """Say whether the tree is there; an environment whose interpreter moved gets its links renewed.

        Of a tree that is to be mended every file is read; if one is not what the list says, the tree is built anew.
        """
        if not os.path.isdir(self.target) or (self.mend and damage_of(self.place, self.kind, self.name, True)):
            return False
        if self.kind == "environment" and read_link(self.target + "/bin/python") != self.python["path"]:
            os.chmod(self.target, 0o755)
            os.chmod(self.target + "/bin", 0o755)
            self.add_interpreter(self.target)
            self.seal_folders(self.target, ("", "bin"))
        return True

    def begin(self, document):
        """Take the list of files, build what can be built from trees that are here; return the indexes that are lacking."""
        if self.is_complete():
            return []
        self.manifest = Manifest(document, self.digest, self.kind)
        known = self.known_files()
        self.check_room(known)
        remove_tree(self.partial)
        make_folder(self.partial)
        for folder in sorted(self.manifest.folders):
            os.mkdir(os.path.join(self.partial, folder), 0o755)
        for index, path, mode, _, digest in self.manifest.files():
            self.control.check()
            source = known.get((digest, mode))
            if source is None or not self.reuse(source, path, mode, digest):
                self.lacks.append(index)
        return self.lacks

    def check_room(self, known):
        """Raise Failure "disk-full" before anything is written when the tree cannot fit; hard links take no room."""
        files = self.manifest.files()
        written = [size for _, _, mode, size, digest in files if self.kind == "release" or (digest, mode) not in known]
        needed = sum((size + 4095) // 4096 * 4096 for size in written) + (1 << 20)
        count = len(files) + len(self.manifest.folders) + 16
        free, inodes = free_space(self.place.releases)
        if needed > free:
            raise Failure("disk-full", "{} needs {:,} bytes on the disk of {} but {:,} are free.".format(
                self.step.capitalize(), needed, self.place.root, free),
                "Free some space there, then deploy again; nothing needs to be cleaned up.", needed=needed, free=free)
        if inodes is not None and count > inodes:
            raise Failure("disk-full", "The disk of {} has {:,} inodes free but {:,} files are to be written.".format(
                self.place.root, inodes, count), "Remove files there, then deploy again.",
                needed_inodes=count, free_inodes=inodes)

    def known_files(self):
        """Return {(sha256, mode): path} of the files in the newest complete trees of this kind."""
        folder, known = self.place.trees(self.kind), {}
        names = self.place.complete(self.kind)
        names.sort(key=lambda name: os.stat(os.path.join(folder, name)).st_mtime, reverse=True)
        for name in names[:3]:
            document = read_bytes(self.place.manifest(self.kind, name))
            for entry in json.loads(zlib.decompress(document)) if document else ():
                if entry[1] != "link":
                    known.setdefault((entry[3], entry[1]), "{}/{}/{}".format(folder, name, entry[0]))
        return known

    def reuse(self, source, path, mode, digest):
        """Take a file over from another tree if it really has the wanted content; say whether that was done.

        Environments share files by hard links. Releases do not: an application that writes to its own code must not reach
        into another release.
        """
        target = os.path.join(self.partial, path)
        try:
            if self.kind == "environment" and sha256_of(source) == digest:
                os.link(source, target)
                return True
            if self.kind == "release" and copy_checked(source, target, 0o555 if mode == 0o755 else 0o444, digest):
                return True
        except OSError as error:
            if error.errno in FULL:
                raise
        discard(target)
        return False

    def receive(self, frames):
        """Write the lacking files from the stream: for each an 8-byte length, then that many bytes of zlib data."""
        total = sum(self.manifest.entries[index][2] for index in self.lacks) or 1
        done = 0
        for index in self.lacks:
            path, mode, size, digest = self.manifest.entries[index]
            self.control.check()
            length, = struct.unpack(">Q", frames.exactly(8))
            self.write_one(frames, length, os.path.join(self.partial, path), mode, size, digest)
            done += size
            if time.monotonic() - self.said_at > 0.2 or index == self.lacks[-1]:
                self.said_at = time.monotonic()
                self.emitter.send({"event": "progress", "step": self.step, "done": done, "total": total})
        if frames.some(1):
            raise Failure("bad-transfer", "More was sent than the host lacks.", "Deploy again.")

    def write_one(self, frames, length, target, mode, size, digest):
        """Unpack one file, refusing anything but the size and digest that were announced."""
        unpack, check, written = zlib.decompressobj(), hashlib.sha256(), 0
        name = os.path.relpath(target, self.partial)
        damaged = Failure("bad-transfer", "The file {} arrived damaged.".format(name), "Deploy again.")
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while length:
                piece = frames.some(length)
                if not piece:
                    raise damaged
                length -= len(piece)
                while piece:
                    content = unpack.decompress(piece, 1 << 20)
                    piece = unpack.unconsumed_tail
                    written += len(content)
                    if written > size:
                        raise damaged
                    check.update(content)
                    write_all(handle, content)
            if not unpack.eof or written != size or check.hexdigest() != digest:
                raise damaged
            os.fchmod(handle, 0o555 if mode == 0o755 else 0o444)
        except zlib.error:
            raise damaged from None
        except OSError as error:
            raise OSError(error.errno, error.strerror, target) from None
        finally:
            os.close(handle)

    def finish(self):
        """Complete the tree, flush it and rename it into place."""
        for path, target in self.manifest.links.items():
            os.symlink(target, os.path.join(self.partial, path))
        if self.kind == "environment":
            self.add_interpreter(self.partial)
        self.seal_folders(self.partial, ["", *self.manifest.folders])
        write_file(self.place.manifest(self.kind, self.name), zlib.compress(self.manifest.document, 1), 0o600)
        flush_file_system(self.partial)
        self.control.check()
        if os.path.isdir(self.target):
            retire_tree(self.target)  # It is damaged; the processes started from it are started anew from this one.
        os.rename(self.partial, self.target)
        flush_folder(os.path.dirname(self.target))

    def add_interpreter(self, tree):
        """Make the parts of an environment that depend on where the host keeps Python (see PEP 405)."""
        path, version = self.python["path"], str(self.python["version"])
        make_folder(tree + "/bin")
        for name in {"python", "python3", "python" + version}:
            point(os.path.join(tree, "bin", name), path if name == "python" else "python")
        write_file(tree + "/pyvenv.cfg", "home = {}\ninclude-system-site-packages = false\nversion = {}\n".format(
            os.path.dirname(path), version), 0o444)

    @staticmethod
    def seal_folders(tree, folders):
        """Make folders read-only, the inner ones first."""
        for folder in sorted(folders, key=len, reverse=True):
            os.chmod(os.path.join(tree, folder), 0o555)

    def discard(self):
        """Leave nothing of an unfinished tree."""
        remove_tree(self.partial)


# --- One application on this host -------------------------------------------------------------------------------------

class Step:
    """One named step: said and journaled when it begins and when it ends, whichever way.

    One that needs several requests is left under way by all but the last of them, so that its beginning and end are said once.
    """

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.message, self.state, self.goes_on = None, "done", False

    def __enter__(self):
        if self.host.under_way != self.name:
            self.say("running")
        return self

    def skip(self, message):
        """The step had nothing to do."""
        self.state, self.message = "skipped", message

    def __exit__(self, _kind, error, _trace):
        self.host.under_way = self.name if error is None and self.goes_on else None
        if error is None:
            if not self.goes_on:
                self.say(self.state, self.message)
        elif isinstance(error, Exception):
            failure = failure_of(error)
            failure.step = failure.step or self.name
            self.say("failed", failure.message)
            if failure is not error:
                raise failure from error

    def say(self, state, message=None):
        """Tell the controller and the journal."""
        self.host.emitter.step(self.name, state, message)
        self.host.journal.note(self.name, state, message)


class Host:
    """What a session works with: one application's places, settings, supervisor and nginx on this host."""

    def __init__(self, request, control, emitter):
        self.place = Place(request["root"], request["app"])
        self.settings = request["settings"]
        self.control, self.emitter = control, emitter
        self.supervisor = supervisor_from(self.settings["supervisor"], self.place.app, control)
        self.former = None  # The supervisor before a change of the host's settings, while it runs one of the slots.
        self.journal, self.ports = None, {}
        self.under_way = None  # The name of a step that another request is to end.

    def step(self, name):
        """Return the context manager of a step."""
        return Step(self, name)

    def slot(self, name):
        """Return a slot by its letter."""
        return Slot(self, name)

    def nginx(self):
        """Return this host's nginx, or None when sites are not Windlass's business here."""
        return Nginx(self.settings["nginx"], self.control) if self.settings.get("nginx") else None

    def supervisor_for(self, settings):
        """Return who runs what was filled for a supervisor with these settings: this host's, or a former one of another kind.

        A former one that is not installed any more runs nothing.
        """
        if settings is None or kind_of(settings) == self.supervisor.kind or find_program(settings["command"]) is None:
            return self.supervisor
        if self.former is None:
            self.former = supervisor_from(settings, self.place.app, self.control)
        return self.former

    def all_states(self):
        """Return {slot: {process: info}}, each slot asked of the supervisor that runs it; a slot it does not know is absent."""
        whose = {name: self.slot(name).supervisor() for name in SLOTS}
        states = {supervisor.kind: supervisor.all_states() for supervisor in set(whose.values())}
        return {name: states[supervisor.kind][name] for name, supervisor in whose.items() if name in states[supervisor.kind]}

    def files(self):
        """Return the names of the files outside the root that belong to this application."""
        return read_json(self.place.state + "/files.json") or {}

    def remember_file(self, what, name):
        """Note the name of a file outside the root before it is made, so that it is found again."""
        files = self.files()
        if files.get(what) != name:
            write_json(self.place.state + "/files.json", dict(files, **{what: name}))

    def note(self, step, text):
        """Send one line of the agent's own words as output of a step."""
        self.emitter.send({"event": "output", "step": step, "text": text + "\n"})


def environment_of(host, spec, slot):
    """Return the variables of a slot's processes, as (name, value) pairs; later ones win."""
    place = host.place
    release, env = "{}/{}".format(place.releases, spec["release"]), "{}/{}".format(place.environments, spec["environment"])
    source = [release] + ([release + "/src"] if os.path.isdir(release + "/src") else [])
    import pwd
    return [("PATH", env + "/bin:" + SYSTEM_PATH), ("VIRTUAL_ENV", env), ("HOME", pwd.getpwuid(os.getuid()).pw_dir),
            ("LANG", "C.UTF-8"), ("PYTHONUNBUFFERED", "1"), ("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONPATH", ":".join(source)),
            *sorted((spec.get("variables") or {}).items()),
            ("SOCKET", place.socket(slot)), ("PORT", str(host.ports.get(slot, ""))),
            ("WINDLASS_RELEASE", spec["release"]), ("WINDLASS_SLOT", slot)]


# A server that crashed, or a machine that did, leaves its socket file behind, and many servers do not start over one. And
# many make their socket for their own user only, while nginx runs as another. Both also happen when nobody deploys.
OPEN_SOCKET = """rm -f "$SOCKET"
( (
  tries=0
  until [ -S "$SOCKET" ] || [ $tries -ge 300 ]; do sleep 0.2; tries=$((tries + 1)); done
  chmod a+rw "$SOCKET"; sleep 1; chmod a+rw "$SOCKET"
) >/dev/null 2>&1 </dev/null & )"""


def launcher_text(host, spec, slot, what, command, is_exec, serves_socket=False):
    """Return the script that starts a command in a release with its variables."""
    import shlex
    lines = ["#!/bin/sh", "# Starts {} in slot {}. Written by Windlass; the next deploy writes it anew.".format(what, slot)]
    for name, value in environment_of(host, spec, slot):
        is_name = name.replace("_", "a").isalnum() and name.isascii() and not name[0].isdigit()
        if not is_name or "\0" in str(value):
            raise Failure("bad-request", "The variable {} cannot be set in a process.".format(json.dumps(name)),
                          "Names are letters, digits and underscores; values hold no NUL.")
        lines.append("export {}={}".format(name, shlex.quote(str(value))))
    lines.append("cd {} || exit 1".format(shlex.quote("{}/{}".format(host.place.releases, spec["release"]))))
    if serves_socket:
        lines.append(OPEN_SOCKET)
    lines.append(("exec " if is_exec and not command.startswith("exec ") else "") + command)
    return "\n".join(lines) + "\n"


RETIRED = "#!/bin/sh\n# This slot is not active, so this process has nothing to do. Written by Windlass.\nexit 0\n"


class Slot:
    """One of the two places a release can run in: its record, link, launchers, program file, processes and socket.

    The record says what the slot's processes were started from. It is removed after they were stopped and before anything
    they are started from changes, and written before the new ones are started; so processes with a record are what it says.
    """

    def __init__(self, host, name):
        self.host, self.name, self.place = host, name, host.place

    def record(self):
        """Return {"phase", "spec"} or None."""
        record = read_json(self.place.record(self.name))
        return record if isinstance(record, dict) and isinstance(record.get("spec"), dict) else None

    def spec(self):
        """Return the spec the slot was filled from, or None."""
        record = self.record()
        return record["spec"] if record else None

    def supervisor(self):
        """Return who runs the slot's processes."""
        return self.host.supervisor_for(read_json(self.place.supervisor(self.name)))

    def take_over(self, spec):
        """Let the supervisor that a spec is for have the slot; one of another kind forgets it first."""
        wanted = kind_of(spec["supervisor"][self.name])
        former = self.supervisor()
        if former.kind == wanted and former is not self.host.supervisor:
            return  # What ran before the change of the settings is restored as it was.
        if self.host.supervisor.kind != wanted:
            raise Failure("bad-request", "This is to run under {}, which the host's settings do not name.".format(wanted),
                          "Deploy again.")
        if former.kind != wanted:
            former.take_away(self.name, self.host.files().get("supervisor-" + self.name))
        if read_json(self.place.supervisor(self.name)) != self.host.settings["supervisor"]:
            write_json(self.place.supervisor(self.name), self.host.settings["supervisor"])

    def set_phase(self, phase, spec):
        """Write the record: "starting" until the check has passed, then "ready"."""
        record = self.record()
        if record is None or record["phase"] != phase or record["spec"] != spec:
            write_json(self.place.record(self.name), {"phase": phase, "spec": spec})

    def address(self, spec):
        """Return where the slot's web process answers: a path, (host, port), or None without one."""
        if not spec.get("web"):
            return None
        return self.place.socket(self.name) if spec.get("binding") == "socket" else ("127.0.0.1", self.host.ports[self.name])

    def launcher(self, spec, process):
        """Return the text of a process's launcher."""
        about = spec["processes"][process]
        serves_socket = process == spec.get("web") and spec.get("binding") == "socket"
        return launcher_text(self.host, spec, self.name, "the process '{}'".format(process), about["command"],
                             about.get("exec", True), serves_socket)

    def program(self, spec):
        """Return (name, text) of the file, or the unit files, that the supervisor starts the processes from."""
        about = spec["supervisor"][self.name]
        return plain_file(about["path"]), about["text"]

    def has_program(self, spec):
        """Say whether what the supervisor starts the processes from is as a spec wants it."""
        name, text = self.program(spec)
        return self.supervisor().read(self.name, name) == text.encode()

    def holds(self, spec):
        """Say whether what the slot was started from is what `spec` wants."""
        mine = self.spec()
        if mine is None or mine["spec_digest"] != spec["spec_digest"]:
            return False
        if not self.has_program(spec):
            return False
        web = spec.get("web")
        return not web or read_bytes(self.place.launcher(self.name, web)) == self.launcher(spec, web).encode()

    def wait_until_unrouted(self):
        """Wait until no worker process of nginx leads to the slot's port any more.

        After a reload the old ones go on accepting for some 100 ms, which matters when one deploy follows closely on another.
        """
        spec, nginx, site = self.spec(), self.host.nginx(), self.host.files().get("nginx")
        text = nginx.text(site) if nginx is not None and site else None
        if not spec or spec.get("binding") != "port" or text is None or self.name == self.place.active():
            return
        age_s = time.time() - changed_at(nginx.path(site))
        nginx.prove(text, (spec.get("health") or {}).get("host") or "localhost",
                    steady_s=STEADY_S if 0 <= age_s < 60 else 0.0)

    def wait_until_idle(self, limit_s):
        """Wait until the slot's server has no connections, at most `limit_s` seconds; say whether it has none."""
        spec = self.spec()
        address = self.address(spec) if spec else None
        if address is None:
            return True
        deadline, quiet = time.monotonic() + limit_s, 0
        while quiet < 2:
            quiet = quiet + 1 if open_connections(address) == 0 else 0
            if quiet < 2 and time.monotonic() > deadline:
                return False
            self.host.control.pause()
        return True

    def stop(self, names=None, wait_s=120):
        """Stop processes of the slot (default: all that supervisord knows); return those that still run after the wait."""
        known = self.supervisor().all_states().get(self.name, {})
        running = [name for name, info in known.items() if info["state"] not in DOWN and (names is None or name in names)]
        return self.supervisor().stop(self.name, running, wait_s) if running else []

    def vacate(self, drain_s, wanted=None):
        """Stop what runs in the slot once its connections have ended, and forget it unless it is what is `wanted` next."""
        self.wait_until_unrouted()
        self.wait_until_idle(drain_s)
        left = self.stop()
        if left:
            raise Failure("process-stuck", "The processes {} of slot {} do not end.".format(", ".join(left), self.name),
                          "End them on the host: the supervisor's own time for that is over.")
        if (wanted is None or self.spec() != wanted) and discard(self.place.record(self.name)):
            flush_folder(self.place.state)

    def fill(self, spec):
        """Write everything the slot's processes are started from, the record last."""
        self.take_over(spec)
        point(self.place.link(self.name), "../releases/" + spec["release"])
        self.remove_launchers(set(spec["processes"]))
        for process in spec["processes"]:
            self.write_launcher(spec, process)
        if not self.has_program(spec):
            self.host.remember_file("supervisor-" + self.name, self.program(spec)[0])
            self.supervisor().write(self.name, *self.program(spec))
        self.set_phase("starting", spec)

    def write_launcher(self, spec, process):
        """Write a launcher unless it is as it should be."""
        path, text = self.place.launcher(self.name, process), self.launcher(spec, process)
        if read_bytes(path) != text.encode():
            write_file(path, text, 0o700)

    def retire_launcher(self, process):
        """Keep a process of a slot that is no longer active from being started when the machine starts anew."""
        path = self.place.launcher(self.name, process)
        if read_bytes(path) != RETIRED.encode():
            write_file(path, RETIRED, 0o700)
            self.supervisor().retire(self.name, process)

    def mend_program(self):
        """Put the program file back to what the slot's processes were started from, should somebody have edited it."""
        spec = self.spec()
        if not self.has_program(spec):
            self.supervisor().write(self.name, *self.program(spec))

    def remove_launchers(self, keep=()):
        """Remove the launchers of processes that are no longer wanted."""
        for entry in os.listdir(self.place.run):
            if entry.startswith(self.name + "-") and entry[2:] not in keep:
                discard(os.path.join(self.place.run, entry))

    def free_address(self, spec):
        """Remove the socket file that an ended server left; raise Failure when somebody else listens there."""
        address = self.address(spec)
        if address is None:
            return
        if isinstance(address, str) and not accepts(address):
            discard(address)
        elif isinstance(address, str):
            raise Failure("socket-in-use", "Something that the supervisor does not know listens on {}.".format(address),
                          "End that process on the host (see 'ss -xlp'), then deploy again.")
        elif address[1] in listening_ports():
            raise Failure("port-in-use", "Something that the supervisor does not know listens on port {}.".format(address[1]),
                          "Deploy again for another port, or end that process on the host (see 'ss -tlp').")

    def clear(self):
        """Make the slot empty: processes stopped, group forgotten, files removed."""
        self.vacate(0)
        self.supervisor().take_away(self.name, self.host.files().get("supervisor-" + self.name))
        discard(self.place.supervisor(self.name))
        self.remove_launchers()
        discard(self.place.socket(self.name))
        point(self.place.link(self.name), None)

    def open_socket(self):
        """Let nginx's worker processes, which run as another user, connect to the slot's socket."""
        path = self.place.socket(self.name)
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISSOCK(mode) and mode & 0o666 != 0o666:
                os.chmod(path, mode | 0o666)
        except FileNotFoundError:
            return
        except PermissionError:
            return  # Made by another user's supervisord; whether nginx can connect is seen after the switch.


class Watch:
    """Looks at the processes of a slot while they start, and at what they say."""

    def __init__(self, host, slot, names):
        self.host, self.slot, self.names = host, slot, list(names)
        self.supervisor = host.slot(slot).supervisor()
        self.infos, self.backoffs, self.looked_at = {}, {}, 0.0
        self.marks = {path: size_of(path) for path in self.default_logs()}

    def default_logs(self):
        """Return where the processes' output goes unless the supervisor says otherwise."""
        return ["{}/{}.log".format(self.host.place.logs, name) for name in self.names]

    def mark(self):
        """Note how long the logs are, so that only what comes now is shown."""
        for info in self.supervisor.states(self.slot, self.names).values():
            for path in info["logs"]:
                self.marks.setdefault(path, size_of(path))

    def look(self):
        """Look at the states, now and then; raise Failure when a process does not stay up."""
        self.host.control.check()
        if time.monotonic() - self.looked_at < self.supervisor.look_s:
            return
        infos = self.supervisor.states(self.slot, self.names)
        self.looked_at = time.monotonic()
        for name in self.names:
            info, before = infos.get(name), self.infos.get(name)
            if info is None:
                raise Failure("process-failed", "{} knows no process '{}' in slot {}.".format(
                    self.supervisor.kind, name, self.slot), "Deploy again; somebody may have removed it.", process=name)
            if info["state"] == "BACKOFF" and (before is None or before["state"] != "BACKOFF" or (
                    before.get("restarts") != info.get("restarts"))):
                self.backoffs[name] = self.backoffs.get(name, 0) + 1
            if info["state"] in ("FATAL", "EXITED", "STOPPED", "UNKNOWN") or self.backoffs.get(name, 0) > 1:
                raise self.failed(name, info)
        self.infos = infos

    def failed(self, name, info):
        """Return the Failure for a process that does not stay up."""
        return Failure("process-failed", "The process '{}' does not stay up ({}: {}).{}".format(
            name, info["state"], info["note"] or "it ended", self.tail(name, info)),
            "Correct what its log says, then deploy again.", process=name)

    def tail(self, name, info=None):
        """Return the last lines a process has written since it was started, ready to be appended to a message."""
        paths = (info or self.infos.get(name) or {"logs": []})["logs"] or ["{}/{}.log".format(self.host.place.logs, name)]
        texts = []
        for path in paths:
            text = tail_of(path, self.marks.get(path, 0))
            if text:
                texts.append("\n--- end of {}\n{}".format(path, text))
        return "".join(texts)

    def await_running(self, names, limit_s):
        """Wait until processes have been up for as long as their supervisor asks (startsecs)."""
        deadline = time.monotonic() + limit_s
        while True:
            self.look()
            waiting = [name for name in names if self.infos.get(name, {}).get("state") != "RUNNING"]
            if not waiting:
                return
            if time.monotonic() > deadline:
                name = waiting[0]
                raise Failure("process-failed", "The process '{}' was not up within {} seconds.{}".format(
                    name, limit_s, self.tail(name)), "Correct what its log says, then deploy again.", process=name)
            self.host.control.pause()


def size_of(path):
    """Return a file's size in bytes, 0 when it cannot be seen."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def changed_at(path):
    """Return when a file was changed last, in seconds since 1970, 0 when it cannot be seen."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def tail_of(path, start, limit=4096):
    """Return the last lines of a log from offset `start` on, as text without control characters."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(start if start <= size else 0, size - limit))
            text = file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
    text = "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)
    return "\n".join(line[:500] for line in text.strip().splitlines()[-25:])


def pass_on(log, output, offset):
    """Send what a command's log has beyond `offset`, a bounded part of it; return how far that came.

    A log that grew large is emptied: the command appends, so it goes on at the new end.
    """
    try:
        with open(log, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size - offset > 64 << 20:
                output.add("… [{} bytes left out]".format(size - offset - (1 << 20)))
                offset = size - (1 << 20)
            file.seek(offset if offset <= size else 0)
            data = file.read(8 << 20)
            offset = file.tell()
    except FileNotFoundError:
        return offset
    output.feed(data)
    if offset > 64 << 20:
        os.truncate(log, 0)
        offset = 0
    return offset


class Once:
    """A command that must run exactly once for its key, whatever happens to us meanwhile.

    It runs in a session of its own, writes into a file and leaves its exit status in another one, so it outlives a killed
    agent and the next one adopts it. Where neither status nor process is left, nobody knows: that is reported, not repeated.
    """
    WRAPPER = '/bin/sh "$1" </dev/null >>"$2" 2>&1; printf "%s\\n" "$?" >"$3.partial" && mv "$3.partial" "$3"'

    def __init__(self, host, spec, slot, once):
        self.host, self.spec, self.slot, self.once = host, spec, slot, once
        if not is_plain(once["key"]):
            raise Failure("bad-request", "'{}' cannot be the key of a command.".format(once["key"]))
        base = os.path.join(host.place.once, once["key"])
        self.journal, self.script, self.log, self.status = base + ".json", base + ".sh", base + ".log", base + ".status"

    def run(self):
        """Run the command or find out how it ended; return a sentence. Raises Failure when it failed or nobody knows."""
        entry = read_json(self.journal)
        if entry is None:
            entry = self.start()
        elif entry["state"] == "finished":
            return self.judge(entry, "had run already")
        elif entry["state"] == "stopped":
            raise self.unclear("was stopped ({})".format(entry["why"]))
        return self.judge(self.follow(entry), "has run")

    def start(self):
        """Write the journal, then start the command."""
        import subprocess
        write_file(self.script, launcher_text(self.host, self.spec, self.slot, "the command '{}'".format(self.once["name"]),
                                              self.once["command"], False), 0o700)
        entry = {"state": "starting", "at": int(time.time() * 1000), "name": self.once["name"], "deploy": self.spec["deploy"]}
        write_json(self.journal, entry)
        argv, nothing = ["/bin/sh", "-c", self.WRAPPER, "windlass-once", self.script, self.log, self.status], subprocess.DEVNULL
        process = subprocess.Popen(argv, cwd="/", env=plain_environment(), stdin=nothing, stdout=nothing, stderr=nothing,
                                   start_new_session=True)
        entry.update(state="started", pid=process.pid, started=start_time(process.pid))
        write_json(self.journal, entry)
        threading.Thread(target=process.wait, daemon=True).start()
        return entry

    def is_alive(self, entry):
        """Say whether the command's wrapper still runs."""
        return entry.get("pid") is not None and entry["started"] is not None and start_time(entry["pid"]) == entry["started"]

    def follow(self, entry):
        """Pass the output on until the command has ended; return the journal's entry."""
        output, offset = Output(self.host.emitter, "start"), 0
        deadline = time.monotonic() + self.once["timeout_s"]
        while True:
            alive = self.is_alive(entry)
            before, offset = offset, pass_on(self.log, output, offset)
            if not alive and offset == before:
                break
            if time.monotonic() > deadline:
                output.end()
                raise self.stop(entry, "timeout", "did not end within {} seconds".format(self.once["timeout_s"]))
            try:
                self.host.control.pause()
            except Aborted as aborted:
                output.end()
                if aborted.code == "aborted":
                    self.stop(entry, "cancelled", "was cancelled")
                raise
        output.end()
        status = read_bytes(self.status)
        if status is None or not status.strip().isdigit():
            raise self.unclear("was started, but how it ended is not known")
        entry = dict(entry, state="finished", status=int(status), tail=tail_of(self.log, 0))
        write_json(self.journal, entry)
        discard(self.log)
        return entry

    def stop(self, entry, why, how):
        """End the command with its whole process group and note that it did not finish; return the Failure for it."""
        write_json(self.journal, dict(entry, state="stopped", why=why))
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 5
            try:
                os.killpg(entry["pid"], number)
                while time.monotonic() < deadline:
                    time.sleep(0.02)
                    os.killpg(entry["pid"], 0)  # Fails once nobody of the group is left.
            except ProcessLookupError:
                break
        return Failure("once-" + why, "The command '{}' {} and was ended.".format(self.once["name"], how),
                       "See how far it came before you deploy again.")

    def judge(self, entry, how):
        """Return the sentence for a command that ended well; raise Failure for one that did not."""
        if entry["status"] == 0:
            return "'{}' {}".format(self.once["name"], how)
        raise Failure("once-failed", "The command '{}' {} and ended with status {}.\n{}".format(
            self.once["name"], how, entry["status"], entry.get("tail", "")), "Correct it, then deploy again.",
            status=entry["status"])

    def unclear(self, how):
        """Return the Failure for a command of which nobody knows whether it did its work."""
        return Failure("unclear", "The command '{}' {}; it is not repeated, as that might do its work twice.".format(
            self.once["name"], how), "See on the host or in its database what it did, put that right, then make a new deploy.")


# --- One-off commands -------------------------------------------------------------------------------------------------

COMMANDS = ".commands"    # below the root; no application's name begins with a dot
RECORD_BYTES = 1024       # made beforehand, so that a full disk cannot hide how a command ended
CANCEL_LIMIT_S = 30
KEEP_RECORDS_S = 7 * 86400

# Runs beside us, in a session of its own: writes down that a command begins, starts it, ends it with its whole process group
# when its time is over or SIGTERM asks for that, and writes down how it ended. What it leaves running in its group ends with it.
KEEPER = """
import json, os, signal, subprocess, sys, time
size, limit_s, argv = int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
record, asked = os.open(sys.argv[1], os.O_WRONLY | os.O_CLOEXEC), []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
signal.signal(signal.SIGHUP, signal.SIG_DFL)
def write(**about):
    os.pwrite(record, json.dumps(dict(about, pid=os.getpid(), at=int(time.time() * 1000))).ljust(size).encode(), 0)
    os.fsync(record)
def reach(number):
    try:
        os.killpg(child.pid, number)
        return True
    except OSError:
        return False
def end_group():
    for number in (signal.SIGTERM, signal.SIGKILL):
        reach(number)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            child.poll()
            if not reach(0):
                return
            time.sleep(0.02)
write(state="begun")
deadline, pause_s, why = time.monotonic() + limit_s, 0.005, None
try:
    child = subprocess.Popen(argv, start_new_session=True)
except OSError as error:
    write(state="ended", status=None, why="not-started", said=error.strerror)
    raise SystemExit
while child.poll() is None and why is None:
    time.sleep(pause_s)
    pause_s = min(pause_s * 1.5, 0.1)
    why = "cancelled" if asked else "timeout" if time.monotonic() > deadline else None
why = None if child.poll() is not None else why
end_group()
status = child.poll()
write(state="ended", status=status if status is None or status >= 0 else 128 - status, why=why)
""".strip()


class OneOff:
    """A command that somebody runs by hand: once for its key, whatever happens to us meanwhile.

    Its keeper holds the lock `alive` while it lives. So whoever comes next knows: where nothing is written and nobody holds
    the lock, the command never began, and is started; where it has begun and nobody holds the lock, nobody knows how it
    ended, which is reported and not repeated; in between it is followed.
    """

    def __init__(self, request, control, emitter):
        check_root(request["root"])
        if not is_plain(request["key"]) or not request["argv"]:
            raise Failure("bad-request", "'{}' cannot be the key of a command.".format(request["key"]))
        self.request, self.control, self.emitter = request, control, emitter
        self.all = "{}/{}".format(request["root"], COMMANDS)
        self.state = "{}/{}".format(self.all, request["key"])  # Where the fence keeps its epoch and its lock, too.
        self.record, self.log, self.alive = self.state + "/record", self.state + "/log", self.state + "/alive"
        self.output, self.offset = Output(emitter, None), request.get("offset") or 0
        self.told = self.offset

    def run(self):
        """Run the command, or follow the one that runs, to its end; return {"status", "why", "said"}."""
        make_folder(self.all, 0o700)
        self.sweep()
        make_folder(self.state, 0o700)
        fence = Fence(self, self.request["epoch"], self.request["key"])
        fence.announce()
        fence.acquire(self.request.get("lock_wait_s") or 0, self.control)
        self.control.fence = fence
        alive = self.take_alive()
        if alive is not None:
            try:
                begun = self.written()
                if begun is None and self.request.get("cancel"):
                    return {"status": None, "why": "cancelled", "said": "it had not begun"}
                if begun is None:
                    self.begin(alive)
            finally:
                os.close(alive)
        return self.follow()

    def begin(self, alive):
        """Start it unless it is too late for that; whatever hinders it says that it has not begun, which is certain here."""
        try:
            if self.request.get("late"):
                raise Failure("too-late", "It has not begun, and the time that it was given is over.",
                              "Run it again if it is still wanted.")
            self.start(alive)
        except (Failure, OSError) as error:
            failure = failure_of(error)
            failure.detail["begun"] = False
            raise failure from error

    def sweep(self):
        """Remove what is left of commands that ended long ago."""
        for key in os.listdir(self.all):
            folder = "{}/{}".format(self.all, key)
            if folder != self.state and time.time() - changed_at(folder + "/record") > KEEP_RECORDS_S \
                    and time.time() - changed_at(folder) > KEEP_RECORDS_S and not self.is_kept(folder + "/alive"):
                remove_tree(folder)

    def take_alive(self):
        """Return a descriptor that holds the keeper's lock, or None while a keeper has it."""
        handle = os.open(self.alive, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            os.close(handle)
            return None

    @staticmethod
    def is_kept(alive):
        """Say whether a keeper holds the lock at this path."""
        try:
            with open(alive, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True

    def written(self):
        """Return what the keeper wrote, None when it wrote nothing."""
        return read_json(self.record)

    def start(self, alive):
        """Start a keeper, which takes the lock over."""
        import subprocess
        folder, environment = self.surroundings()
        self.require_program(folder, environment["PATH"])
        write_file(self.record, " " * RECORD_BYTES, 0o600)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        given = self.input()
        try:
            about = [self.record, str(RECORD_BYTES), str(self.request["time_limit_s"])]
            argv = [sys.executable, "-I", "-S", "-c", KEEPER, *about, *self.request["argv"]]
            process = subprocess.Popen(argv, cwd=folder, env=environment, stdin=given,
                                       stdout=log, stderr=log, start_new_session=True, pass_fds=(alive,))
        finally:
            os.close(log)
            os.close(given)
        threading.Thread(target=process.wait, daemon=True).start()

    def input(self):
        """Return a descriptor of what the command reads: a file without a name, as what is in it may be secret."""
        path = self.state + "/input"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.unlink(path)
        with open(handle, "wb", closefd=False) as file:
            file.write((self.request.get("input") or "").encode())
        os.lseek(handle, 0, os.SEEK_SET)
        return handle

    def surroundings(self):
        """Return (folder, environment): the user's home, or the release that an application runs now, with its variables."""
        if not self.request.get("app"):
            environment = dict(plain_environment(), LANG="C.UTF-8")
            home = environment.get("HOME", "/")
            return home if os.access(home, os.X_OK) else "/", environment
        host = Host(self.request, self.control, self.emitter)
        name = host.place.active()
        spec = host.slot(name).spec() if name else None
        if spec is None:
            raise Failure("nothing-deployed", "Nothing of {} runs on this host.".format(host.place.app), "Deploy it first.")
        host.ports = read_json(host.place.ports) or {}
        folder = "{}/{}".format(host.place.releases, spec["release"])
        if not os.path.isdir(folder):
            raise Failure("nothing-deployed", "{} is missing.".format(folder), "Deploy the release again.")
        more = {name: value for name, value in plain_environment().items() if name != "PATH"}
        return folder, dict(more, **{name: str(value) for name, value in environment_of(host, spec, name)})

    def require_program(self, folder, path):
        """Raise Failure when the program is not there, which the command's own output could hardly say."""
        name = self.request["argv"][0]
        folders = [folder] if "/" in name else path.split(":")
        places = [os.path.join(where, name) for where in folders if where]
        if not any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places):
            raise Failure("command-missing", "There is no program '{}' on this host.".format(name),
                          "Looked for in {}.".format(folder if "/" in name else path))

    def follow(self):
        """Pass the output on until the command has ended; return how it did. One that is to be cancelled is asked to end."""
        try:
            if not self.request.get("cancel"):
                return self.watch()
        except Aborted as aborted:
            if aborted.code != "aborted":
                raise
        with self.control:
            return self.watch(time.monotonic() + CANCEL_LIMIT_S)

    def watch(self, ends_by=None):
        """Follow it; with `ends_by` its keeper is asked to end it, by that time."""
        is_asked = False
        while True:
            is_over = not self.is_kept(self.alive)
            before = self.offset
            self.offset = pass_on(self.log, self.output, self.offset)
            if is_over and self.offset == before:
                return self.judge()
            if not self.output.batch:
                self.tell()
            if ends_by is not None and not is_asked:
                is_asked = self.ask_keeper()
            if ends_by is not None and time.monotonic() > ends_by:
                raise self.unclear("could not be ended")
            self.control.pause()

    def tell(self):
        """Say up to which byte of the log all was sent, so that whoever goes on sends none of it again."""
        told = max(0, self.offset - len(self.output.line) - self.output.cut)
        if told != self.told:
            self.told = told
            self.emitter.send({"event": "told", "offset": told})

    def ask_keeper(self):
        """Ask the keeper to end the command; say whether it could be asked."""
        begun = self.written()
        if begun is None or not self.is_kept(self.alive):
            return False
        try:
            os.kill(begun["pid"], signal.SIGTERM)
        except ProcessLookupError:
            return False
        return True

    def judge(self):
        """Return how the command ended, by what its keeper wrote last."""
        self.output.end()
        self.tell()
        ended = self.written()
        if ended is None:
            why = tail_of(self.log, 0) or "its keeper ended at once."
            raise Failure("keeper-failed", "The command was not started: {}".format(why), "See that this host's Python works.",
                          begun=False)
        if ended["state"] != "ended":
            raise self.unclear("was started, but how it ended is not known")
        return {"status": ended["status"], "why": ended["why"], "said": ended.get("said")}

    @staticmethod
    def unclear(how):
        """Return the Failure for a command of which nobody knows whether it did its work."""
        return Failure("unclear", "The command {}; it is not repeated, as that might do its work twice.".format(how),
                       "See on the host what it did before you run it again.")


# --- Activation -------------------------------------------------------------------------------------------------------

class Activation:
    """Make a slot with the wanted release answer, and put everything back when that does not work out."""

    def __init__(self, host, spec, once=None, keep=None, only=None, fresh=False):
        self.host, self.place, self.spec, self.once, self.keep = host, host.place, spec, once, keep
        self.active, self.is_fresh = self.place.active(), fresh
        self.before = (read_link(self.place.switch), read_link(self.place.current))
        self.slot, self.is_warm = self.choose(only)
        self.is_restoring = only is not None
        self.started, self.watch = [], None
        self.is_emptied = self.is_moved = False
        self.site_before = None
        self.nginx = host.nginx() if spec.get("nginx") and spec.get("web") else None

    def run(self):
        """Do it; return the answer of the verb."""
        try:
            self.environment()
            self.configure()
            self.start()
            self.check()
            self.switch()
            self.confirm()
        except Failure as failure:
            self.put_back(failure)
            raise
        self.drain()
        self.clean()
        return {"active": self.slot.name, "current": self.spec["release"], "warm": self.is_warm,
                "switched": self.before[0] != self.slot.name + ".sock", "application": application(self.host, texts=True)}

    def choose(self, only):
        """Return (slot, whether it runs what is wanted already)."""
        states = self.host.all_states()
        inactive = "b" if self.active == "a" else "a"
        for name in [only] if only else [self.active, inactive]:
            is_up = not self.is_fresh and name and self.is_up(states.get(name, {}))
            if is_up and self.host.slot(name).holds(self.spec):
                return self.host.slot(name), True
        return self.host.slot(only or inactive), False

    def is_up(self, infos):
        """Say whether the processes that count run: the web process, or all of them where there is none."""
        names = [self.spec["web"]] if self.spec.get("web") else list(self.spec["processes"])
        return all(infos.get(name, {}).get("state") in UP for name in names)

    def others(self):
        """Return the names of the processes that are not the web process."""
        return [name for name in self.spec["processes"] if name != self.spec.get("web")]

    def environment(self):
        """The release and its environment are there, and its interpreter runs."""
        with self.host.step("environment") as step:
            if self.is_warm:
                step.skip("slot {} still runs this release".format(self.slot.name))
                return
            for kind, name in (("release", self.spec["release"]), ("environment", self.spec["environment"])):
                if not os.path.isdir(os.path.join(self.place.trees(kind), name)):
                    raise Failure("not-shipped", "The {} {} is not on this host.".format(kind, name),
                                  "Deploy again; it will be sent.")
            step.message = "Python {}".format(self.interpreter_version())

    def interpreter_version(self):
        """Return the version of the environment's interpreter, found by running it."""
        python = "{}/{}/bin/python".format(self.place.environments, self.spec["environment"])
        try:
            status, text = run_command([python, "-I", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"], 30)
        except Failure as failure:
            status, text = 1, failure.message
        if status:
            raise Failure("environment-broken", "The environment's interpreter {} does not run: {}".format(
                os.path.realpath(python), text[-500:]), "Install that Python on the host, then deploy again.")
        return text

    def configure(self):
        """The supervisor's folder can be written to, and nginx accepts the site."""
        with self.host.step("configure") as step:
            if not self.is_warm:
                self.host.supervisor.check_folder()
                self.slot.program(self.spec)
            if not self.site_differs():
                step.skip("nothing differs") if self.is_warm else None
                return
            name, text = self.site()
            self.host.remember_file("nginx", name)
            with self.host.control, self.nginx:
                undo = self.nginx.try_out(name, text, self.place.switch, self.slot.name + ".sock")
                try:
                    self.nginx.test(names_in(text))
                finally:
                    self.nginx.take_back(name, undo)
            step.message = "nginx accepts the new site {}".format(name)

    def site(self):
        """Return (file name, text) of the nginx site for the slot."""
        about = self.spec["nginx"]
        if not is_plain(about["path"]):
            raise Failure("bad-request", "'{}' cannot be the name of a site file.".format(about["path"]))
        return about["path"], about.get("closed") or about["text"][self.slot.name]

    def is_closed(self):
        """Say whether nginx is to answer by itself that the application is closed for maintenance."""
        return self.nginx is not None and bool(self.spec["nginx"].get("closed"))

    def site_differs(self):
        """Say whether nginx's file has to change."""
        if self.nginx is None:
            return False
        name, text = self.site()
        return self.nginx.text(name) != text

    def start(self):
        """Run the once command, empty the slot, fill it and start its processes."""
        with self.host.step("start") as step:
            said = Once(self.host, self.spec, self.slot.name, self.once).run() if self.once else None
            if self.is_warm:
                self.start_others()
                step.skip("slot {} runs already".format(self.slot.name)) if not said and not self.started else None
            else:
                self.start_cold()
            step.message = step.message or said

    def start_cold(self):
        """Start the slot anew."""
        self.host.control.check()
        self.is_emptied = True
        self.slot.vacate(self.spec.get("drain_s") or 0, self.spec)
        self.slot.free_address(self.spec)
        self.slot.fill(self.spec)
        self.watch = Watch(self.host, self.slot.name, self.spec["processes"])
        self.slot.supervisor().load(self.slot.name)
        self.watch.mark()
        self.slot.supervisor().start(self.slot.name, list(self.spec["processes"]))

    def start_others(self):
        """Start what was stopped when the slot was left: all but the web process."""
        states = self.slot.supervisor().states(self.slot.name, self.spec["processes"])
        self.watch = Watch(self.host, self.slot.name, self.spec["processes"])
        self.started = [name for name in self.others() if states.get(name, {}).get("state") not in UP]
        for name in self.started:
            self.slot.write_launcher(self.spec, name)
        self.slot.supervisor().start(self.slot.name, self.started)

    def check(self):
        """The new slot answers on its own socket or port, and its other processes stay up."""
        with self.host.step("check") as step:
            health = self.spec.get("health") or {}
            limit_s = health.get("timeout_s") or 60
            began = time.monotonic()
            if self.spec.get("web"):
                status = self.await_health(health, limit_s)
                step.message = "answered {} after {:.2f} s".format(status, time.monotonic() - began)
            if not self.is_warm:
                self.watch.await_running(self.others(), max(limit_s, 15))
            self.note_ready()

    def note_ready(self):
        """Write into the slot's record that it passed, with this spec, whose health check or site may be newer than the slot.

        A slot whose record says so already is not kept from taking over by a full disk: that may be the way out of it.
        """
        was_ready = self.is_warm and self.slot.record()["phase"] == "ready"
        try:
            self.slot.set_phase("ready", self.spec)
        except OSError as error:
            if error.errno not in FULL or not was_ready:
                raise

    def await_health(self, health, limit_s):
        """Wait for the expected status from the slot itself; return the status."""
        address, path, host = self.slot.address(self.spec), health.get("path") or "/", health.get("host") or "localhost"
        deadline = time.monotonic() + limit_s
        while True:
            try:
                self.slot.open_socket()
                left_s = max(0.2, min(10, deadline - time.monotonic()))
                status = http_get(address, path, host, left_s, self.watch.look)[0]
                if is_expected(status, health.get("expect_status")):
                    self.slot.open_socket()  # It may have been made, or closed to others, since a moment ago.
                    self.watch.looked_at = 0.0
                    self.watch.look()
                    return status
                last = "it answered with status {}".format(status)
            except (FileNotFoundError, ConnectionRefusedError):
                last = "nothing listens on {}".format(address if isinstance(address, str) else "{}:{}".format(*address))
            except (OSError, ValueError) as error:
                last = getattr(error, "strerror", None) or str(error)
            if time.monotonic() > deadline:
                raise Failure("unhealthy", "{} did not answer {} with {} within {} seconds: {}.{}".format(
                    "The web process", path, health.get("expect_status") or "a status below 400", limit_s, last,
                    self.watch.tail(self.spec["web"])), "See the log's end above, and whether the web process listens on "
                    "$SOCKET or $PORT and the health path is right.")
            self.watch.look()
            self.host.control.pause()

    def switch(self):
        """One rename makes the slot the one that answers; nginx's file changes with it where it has to."""
        with self.host.step("switch") as step, self.host.control:
            if self.site_differs():
                with self.nginx:
                    self.switch_with_site()
                step.message = "slot {} answers; nginx reloaded".format(self.slot.name)
            elif (self.slot.name + ".sock", "releases/" + self.spec["release"]) == self.before:
                self.verify()
                step.skip("slot {} answers already".format(self.slot.name))
            else:
                self.move_links()
                self.verify()
                step.message = "slot {} answers".format(self.slot.name)
            if self.is_closed():
                step.message = "slot {} is in place; nginx answers 503 until maintenance is lifted".format(self.slot.name)

    def move_links(self):
        """Name the slot and its release as the current ones."""
        self.is_moved = True
        point(self.place.switch, self.slot.name + ".sock")
        point(self.place.current, "releases/" + self.spec["release"])

    def move_links_back(self):
        """Name what was current before."""
        if self.is_moved:
            point(self.place.switch, self.before[0])
            point(self.place.current, self.before[1])
            self.is_moved = False

    def switch_with_site(self):
        """Change nginx's file and the links so that at each moment both lead to a slot that answers.

        A site that names the socket leads to the new slot once the link is moved, so the link goes first. One that names a
        port leads there by itself, and the old site may need the link as it is, so nginx goes first.
        """
        name, text = self.site()
        old, is_reloaded = self.nginx.text(name), False
        undo = self.nginx.try_out(name, text, self.place.switch, self.slot.name + ".sock")
        try:
            self.nginx.test()
            self.nginx.will_reload(name, undo)
            if self.spec["binding"] == "socket":
                self.move_links()
            is_reloaded = True
            self.nginx.reload()
            # Should the old site need the link as it is, then not even the last of nginx's old worker processes may use it.
            self.nginx.prove(text, self.host_header(), steady_s=self.settling_time(old))
            self.move_links()
            self.verify()
            self.nginx.keep(name)
        except (Failure, OSError):
            self.site_back(name, old, is_reloaded)
            raise
        self.site_before = (name, old)

    def settling_time(self, old):
        """Return for how long nginx must have served the new site before the links may move and the switch counts as done."""
        is_link_in_use = self.place.switch in (old or "") and self.spec["binding"] != "socket"
        return STEADY_S if is_link_in_use else STEADY_S / 2

    def site_back(self, name, old, is_reloaded):
        """Put nginx's file and the links back, in the order opposite to that of the switch."""
        undo = self.nginx.try_out(name, old, self.place.switch, self.before[0])
        try:
            if self.spec["binding"] != "socket":
                self.move_links_back()
            if is_reloaded:
                self.nginx.will_reload(name, undo)
                self.nginx.reload()
                self.nginx.prove(old, self.host_header(), steady_s=STEADY_S)
        finally:
            self.move_links_back()
        self.nginx.keep(name)

    def host_header(self):
        """Return the Host header for requests to the application."""
        return (self.spec.get("health") or {}).get("host") or "localhost"

    def verify(self):
        """The application answers through nginx too."""
        if self.nginx is None:
            return
        health, listen = self.spec.get("health") or {}, self.host.settings["nginx"]["listen"]
        deadline = time.monotonic() + 3
        while True:
            try:
                status = http_get(listen_address(listen), health.get("path") or "/", self.host_header(), 5, lambda: None)[0]
                if status == 503 if self.is_closed() else is_expected(status, health.get("expect_status")):
                    return
                last = "it answered with status {}".format(status)
            except (OSError, ValueError) as error:
                last = getattr(error, "strerror", None) or str(error)
            if time.monotonic() > deadline:
                raise Failure("not-served", "The release answers on its own, but not through nginx at {}: {}.".format(
                    listen, last), self.why_not_served())
            self.host.control.pause()

    def why_not_served(self):
        """Return what most likely keeps nginx from serving the application."""
        path = self.place.run
        while self.spec.get("binding") == "socket" and path != "/":
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return "nginx's user may not enter the folder {}: 'chmod o+x' it or choose another root.".format(path)
            path = os.path.dirname(path)
        return "See nginx's error log, whether nginx runs, and whether another site claims the same server name."

    def confirm(self):
        """Processes started again in a warm slot stay up; only then may the old slot's be stopped."""
        if not self.started:
            return
        try:
            self.watch.await_running(self.started, 60)
        except Failure as failure:
            failure.step = "check"
            raise

    def put_back(self, failure):
        """Leave everything as it was before; the error says whether that worked out.

        When another run takes over, things are left as they are: it goes on from what it finds.
        """
        failure.detail["restored"] = False
        if failure.code in LEFT_TO_OTHERS:
            return
        with self.host.control:
            try:
                was_moved = self.is_moved
                if self.site_before is not None:
                    with self.nginx:
                        self.site_back(*self.site_before, True)
                self.move_links_back()
                if self.slot.name != self.active:
                    self.empty_again(was_moved)
                failure.detail["restored"] = self.slot.name != self.active or not self.is_emptied
            except (Failure, Fault, OSError) as second:
                failure.message += " Putting things back did not work out either: {}".format(second)

    def empty_again(self, was_moved):
        """Stop what was started in the slot, which is not the active one."""
        if was_moved:
            self.slot.wait_until_idle(self.spec.get("drain_s") or 0)
        if self.is_emptied and self.is_restoring:
            self.slot.stop()  # What is known of the slot stays, so that a later attempt can restore it.
            self.slot.set_phase("ready", self.spec)
        elif self.is_emptied:
            self.slot.clear()
        elif self.started:
            self.stop_others_of(self.slot, 60)

    @staticmethod
    def stop_others_of(slot, wait_s):
        """Stop a slot's processes other than web and keep them from being started with the machine.

        Returns (their names, the names of those that are still ending).
        """
        spec = slot.spec() or {"processes": {}}
        names = [name for name in spec["processes"] if name != spec.get("web")]
        left = slot.stop(names, wait_s) if names else []
        for name in names:
            slot.retire_launcher(name)
        return names, left

    def drain(self):
        """Stop what the old slot need not go on with: its other processes, and the web process unless it is kept warm."""
        old = self.host.slot("b" if self.slot.name == "a" else "a")
        with self.host.step("drain") as step:
            spec, drain_s = old.spec(), self.spec.get("drain_s") or 0
            if spec is None:
                step.skip("the other slot is empty")
                return
            old.mend_program()
            try:
                names, left = self.stop_others_of(old, max(drain_s, 5))
                if spec.get("web") and not self.spec.get("keep_warm", True):
                    left += self.drain_web(old, spec, drain_s)
                    names = [*names, spec["web"]]
            except Aborted:
                step.message = "left to {}".format(old.supervisor().kind)
                return
            if not names:
                step.skip("slot {} stays up for a quick way back".format(old.name))
            else:
                step.message = "stopped {}".format(", ".join(names)) + (
                    "; still ending: {}".format(", ".join(left)) if left else "")

    def drain_web(self, old, spec, drain_s):
        """Stop the old web process after its last connection; return its name in a list when it is still ending."""
        if self.nginx is not None and spec.get("binding") == "port":
            self.nginx.prove(self.site()[1], self.host_header(), steady_s=STEADY_S)
        old.wait_until_idle(drain_s)
        return old.stop([spec["web"]], max(drain_s, 5))

    def clean(self):
        """Remove the releases and environments that nobody needs any more."""
        with self.host.step("clean") as step:
            if not self.keep:
                step.skip("nothing was named to be kept")
                return
            removed, kept = [], []
            for path, kind in self.unneeded():
                if self.host.control.reason is not None:
                    break
                try:
                    retire_tree(path)
                    discard(self.place.manifest(kind, os.path.basename(path)))
                    removed.append(path)
                except OSError as error:
                    kept.append("{} ({})".format(error.filename or path, error.strerror))
            if kept:
                step.message = "could not remove {}".format(", ".join(kept))
            elif removed:
                step.message = "removed {} old releases and environments".format(len(removed))
            else:
                step.skip("nothing to remove")

    def unneeded(self):
        """Return [(path, kind)] of the trees that are neither to be kept nor in use."""
        needed = referenced(self.host)
        return [(os.path.join(self.place.trees(kind), name), kind)
                for kind, key in (("release", "releases"), ("environment", "environments")) for name in self.place.complete(kind)
                if name not in needed[kind] and name not in self.keep.get(key, ())]


def closed_or_open(spec, closed):
    """Return a slot's spec with the site that nginx serves instead of the application's; with None, the application's."""
    return dict(spec, nginx=dict(spec["nginx"], closed=closed)) if spec.get("nginx") else spec


class Gate(Activation):
    """Close an application to its users, or open it: of all that an activation does, only nginx's site.

    Its processes are left as they are, and it may be opened when they do not answer: whether it is fit is for people to say.
    """

    def __init__(self, host, closed):
        active = host.place.active()
        spec = host.slot(active).spec() if active else None
        if spec is None:
            raise Failure("nothing-to-close", "Nothing of {} runs on this host.".format(host.place.app), "Deploy it first.")
        if not spec.get("nginx") or host.nginx() is None:
            raise Failure("not-behind-nginx", "{} is not served through nginx on this host.".format(host.place.app),
                          "Only nginx can answer in an application's stead; give the host nginx and the application a web "
                          "process.")
        super().__init__(host, closed_or_open(spec, closed), only=active)
        self.said = None

    def choose(self, only):
        """The slot that answers, in whatever state: its supervisor is not even asked."""
        return self.host.slot(only), True

    def run(self):
        """Do it; return the answer of the verb."""
        if not self.site_differs():
            self.read_again()
        self.configure()
        self.switch()
        return {"closed": self.is_closed(), "said": self.said, "application": application(self.host, texts=True)}

    def read_again(self):
        """nginx reads the site that is in place already: who put it there may have been killed before telling it."""
        with self.host.control, self.nginx:
            self.nginx.reload()
            self.nginx.prove(self.site()[1], self.host_header(), steady_s=STEADY_S)

    def verify(self):
        """A closed application answers 503; what an open one answers is told and changes nothing."""
        try:
            super().verify()
        except Failure as failure:
            if self.is_closed():
                raise
            self.said = failure.message


def is_expected(status, wanted):
    """Say whether a status counts as healthy: the wanted one, or any below 400 where none is named."""
    return status == wanted if wanted else 200 <= status < 400


def referenced(host):
    """Return {"release": names, "environment": names} that links or slots still need."""
    needed = {"release": {host.place.current_release()}, "environment": set()}
    for name in SLOTS:
        target = read_link(host.place.link(name))
        needed["release"].add(os.path.basename(target) if target else None)
        spec = host.slot(name).spec()
        if spec:
            needed["release"].add(spec["release"])
            needed["environment"].add(spec["environment"])
    return needed


class Withdrawal:
    """Take the application off this host: site, processes, links. Releases, environments and shared files stay."""

    def __init__(self, host):
        self.host, self.place, self.nginx = host, host.place, host.nginx()

    def run(self):
        """Do it; return the answer of the verb."""
        with self.host.step("switch"), self.host.control:
            site = self.host.files().get("nginx")
            if self.nginx is not None and site and os.path.exists(self.nginx.path(site)):
                with self.nginx:
                    self.remove_site(site)
            point(self.place.switch, None)
            point(self.place.current, None)
        with self.host.step("drain"):
            for name in SLOTS:
                slot = self.host.slot(name)
                spec = slot.spec()
                slot.wait_until_idle((spec or {}).get("drain_s") or 0)
                slot.clear()
        discard(self.place.state + "/files.json")
        return {"active": None, "current": None, "switched": True, "warm": False,
                "application": application(self.host, texts=True)}

    def remove_site(self, site):
        """Remove the site and have nginx forget it."""
        undo = self.nginx.try_out(site, None, self.place.switch, None)
        try:
            self.nginx.test()
            self.nginx.will_reload(site, undo)
            self.nginx.reload()
        except (Failure, OSError):
            self.nginx.take_back(site, undo)
            raise
        point(self.place.switch, None)
        self.nginx.keep(site)


def settle(host):
    """Leave no processes behind that an unfinished activation started in the slot that is not active."""
    active = host.place.active()
    for name in SLOTS:
        slot = host.slot(name)
        record = slot.record() if name != active else None
        if record is None:
            continue
        if record["phase"] == "starting":
            slot.clear()
            continue
        others = [process for process in record["spec"]["processes"] if process != record["spec"].get("web")]
        if others and slot.stop(others, 10) is not None:
            for process in others:
                slot.retire_launcher(process)


def sweep(host):
    """Remove what killed agents left, and finish a switch that was cut in two."""
    place = host.place
    for kind in ("release", "environment"):
        folder = place.trees(kind)
        for entry in os.listdir(folder):
            if ".partial-" in entry:
                remove_tree(os.path.join(folder, entry))
    for folder in (place.base, place.run, place.slots, place.state, place.once, place.manifests):
        for entry in os.listdir(folder):
            if entry.startswith(ASIDE):
                discard(os.path.join(folder, entry))
    for name in SLOTS:
        if "supervisor-" + name in host.files():
            host.slot(name).supervisor().sweep(name, host.files()["supervisor-" + name])
    spec = host.slot(place.active()).spec() if place.active() else None
    if spec:
        point(place.current, "releases/" + spec["release"])
    nginx = host.nginx()
    if nginx is not None and os.path.isdir(nginx.folder) and nginx.leftovers():
        with nginx:
            return  # Taking the lock settles it.


# --- Observation ------------------------------------------------------------------------------------------------------

def facts(request):
    """Return what this host is."""
    release = os.uname()
    free, inodes = free_space(request["root"])
    return {"python": "{}.{}.{}".format(*sys.version_info[:3]), "implementation": sys.implementation.name,
            "pythons": pythons(), "system": release.sysname.lower(), "machine": release.machine, "libc": libc(),
            "hostname": release.nodename, "user": user_name(), "uid": os.getuid(), "cpus": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "disk_free_bytes": free, "inodes_free": inodes,
            "distribution": distribution(), "clock_ms": int(time.time() * 1000), "agent": VERSION}


def libc():
    """Return [name, version] of the C library."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION").split()
    except (ValueError, OSError, AttributeError):
        return ["musl", ""] if any(name.startswith("ld-musl-") for name in os.listdir("/lib")) else ["unknown", ""]


def distribution():
    """Return the distribution's own name for itself."""
    for line in (read_bytes("/etc/os-release") or b"").decode("utf-8", "replace").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return ""


def pythons():
    """Return {"3.11": path} of the CPython interpreters found by name, the running one included."""
    found = {"{}.{}".format(*sys.version_info[:2]): running_python()}
    folders = (os.environ.get("PATH", "") + ":" + SYSTEM_PATH + ":" + os.path.expanduser("~/.local/bin")).split(":")
    for folder in folders:
        try:
            names = os.listdir(folder) if folder else []
        except OSError:
            continue
        for name in names:
            version = name[len("python"):]
            if name.startswith("python3.") and version[2:].isdigit() and version not in found and is_binary(folder + "/" + name):
                found[version] = folder + "/" + name
    return found


def running_python():
    """Return the path of the interpreter that runs us, by its most particular name, which upgrades of others do not change."""
    path = getattr(sys, "_base_executable", None) or sys.executable
    named = os.path.join(os.path.dirname(path), "python{}.{}".format(*sys.version_info[:2]))
    return named if os.path.realpath(named) == os.path.realpath(path) else os.path.realpath(path)


def is_binary(path):
    """Say whether a file is a program and not a script that may pass on to a program that is not there."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF" and os.access(path, os.X_OK)
    except OSError:
        return False


def problem(code, message, remedy):
    """Return one item of the list of problems."""
    return {"code": code, "message": message, "remedy": remedy}


def problems_of_place(request):
    """Return what is wrong with the root of this host."""
    root, found = request["root"], []
    nearest = existing(root)
    if os.statvfs(nearest).f_flag & os.ST_RDONLY:
        found.append(problem("read-only", "{} is on a read-only file system.".format(nearest),
                             "Mount it writable or choose another root for this host."))
    elif not os.access(nearest, os.W_OK | os.X_OK) or not os.path.isdir(nearest):
        found.append(problem("root-not-writable", "The user {} may not write in {}.".format(user_name(), nearest),
                             "Give that user the folder {}, or choose another root for this host.".format(root)))
    free, inodes = free_space(root)
    if free < 64 << 20 or (inodes is not None and inodes < 1000):
        found.append(problem("disk-low", "The disk of {} has {:,} bytes and {} inodes free.".format(nearest, free, inodes),
                             "Free some space there."))
    length = len("{}/{}/run/current.sock".format(root, request.get("app") or "").encode())
    if length > SOCKET_PATH_BYTES:
        found.append(problem("socket-path-too-long", "The path of the sockets below {} has {} bytes, the system allows "
                             "{}.".format(root, length, SOCKET_PATH_BYTES), "Choose a shorter root for this host."))
    return found


def observe_nginx(settings, deep):
    """Return (facts, problems) about nginx."""
    nginx, about, found = settings.get("nginx"), {"version": None}, []
    if not nginx:
        return about, found
    if find_program(nginx["command"]) is None:
        found.append(problem("nginx-missing", "There is no program '{}' on this host.".format(nginx["command"][0]),
                             "Install nginx (Debian: apt install nginx), correct nginx.command, or set nginx to null."))
    elif deep:
        argv = located(nginx["command"])
        status, text = run_command([*argv, "-t"], 30)
        if status:
            found.append(problem("nginx-config-broken", "nginx does not accept its own configuration: {}".format(text[-1000:]),
                                 "Correct what the message names."))
        plain = run_command([find_program(["nginx"]) or argv[0], "-v"], 10)[1]
        about["version"] = plain.rpartition("/")[2].split()[0] if "/" in plain else None
    if not os.path.isdir(nginx["sites"]):
        found.append(problem("sites-dir-missing", "The folder {} for nginx sites does not exist.".format(nginx["sites"]),
                             SITES_REMEDY))
    elif not os.access(nginx["sites"], os.W_OK):
        found.append(problem("sites-dir-not-writable", "The user {} may not write in {}.".format(user_name(), nginx["sites"]),
                             "Give that user the right to write there, or correct nginx.sites."))
    return about, found


def application(host, deep=False, texts=False):
    """Return what runs of the application on this host; with `texts` also what its files say and its variables are."""
    place = host.place
    try:
        states = host.all_states()
    except Failure:
        states = {}
    files = host.files()
    host.ports = host.ports or read_json(place.ports) or {}
    seen = {"current": place.current_release(), "active": place.active(),
            "slots": {name: slot_seen(host, name, states.get(name, {})) for name in SLOTS},
            "releases": place.complete("release"), "environments": place.complete("environment"),
            "files": files_seen(host, files), "ports": host.ports,
            "epoch": (read_json(place.state + "/epoch") or {}).get("epoch", 0)}
    if deep or texts:
        seen["damaged"] = damaged_trees(host, deep)
    if texts:
        seen["texts"] = {what: content and content[:TEXT_BYTES].decode("utf-8", "replace")
                         for what, content in contents_seen(host, files).items()}
        for name in filter(seen["slots"].get, SLOTS):
            seen["slots"][name]["variables"] = variables_seen(host.slot(name).spec() or {})
    return seen


def variables_seen(spec):
    """Return {name: sha256 of the value}: enough to tell what changes, and no secret travels."""
    return {name: hashlib.sha256(value.encode()).hexdigest() for name, value in (spec.get("variables") or {}).items()}


def slot_seen(host, name, states):
    """Return what is known of one slot, or None when it is empty."""
    slot = host.slot(name)
    record = slot.record()
    if record is None and not states:
        return None
    spec = record["spec"] if record else {"processes": {}}
    is_up = bool(spec["processes"]) and all(states.get(process, {}).get("state") in UP for process in (
        [spec["web"]] if spec.get("web") else spec["processes"]))
    address = slot.address(spec) if is_up and (spec.get("binding") == "socket" or name in host.ports) else None
    return {"release": spec.get("release"), "environment": spec.get("environment"), "spec_digest": spec.get("spec_digest"),
            "version": spec.get("version"), "binding": spec.get("binding"), "deploy": spec.get("deploy"),
            "phase": record["phase"] if record else None, "supervisor": slot.supervisor().kind,
            "processes": {process: {"state": info["state"], "pid": info["pid"]} for process, info in states.items()},
            "serving": is_up and (not spec.get("web") or accepts(address))}


def probe(host):
    """Return {"healthy", "said"}: what the health check of the slot that answers gives now, asked once."""
    name = host.place.active()
    record = host.slot(name).record() if name else None
    if record is None:
        return {"healthy": False, "said": "nothing runs here"}
    spec = record["spec"]
    if not spec.get("web"):
        return {"healthy": True, "said": "there is no web process to ask"}
    health = spec.get("health") or {}
    path, limit_s = health.get("path") or "/", min(10, health.get("timeout_s") or 10)
    try:
        status = http_get(host.slot(name).address(spec), path, health.get("host") or "localhost", limit_s, lambda: None)[0]
    except (OSError, ValueError) as error:
        return {"healthy": False, "said": "GET {}: {}".format(path, getattr(error, "strerror", None) or error)}
    return {"healthy": is_expected(status, health.get("expect_status")),
            "said": "GET {} answered with status {}".format(path, status)}


def contents_seen(host, files):
    """Return {"supervisor-a", "supervisor-b", "nginx": bytes or None} of the files outside the root."""
    seen = {}
    for slot in SLOTS:
        name = files.get("supervisor-" + slot)
        seen["supervisor-" + slot] = host.slot(slot).supervisor().read(slot, name) if name else None
    folder, site = (host.settings.get("nginx") or {}).get("sites"), files.get("nginx")
    seen["nginx"] = read_bytes(os.path.join(folder, site)) if folder and site else None
    return seen


def files_seen(host, files):
    """Return {"supervisor-a", "supervisor-b", "nginx": sha256 or None} of the files outside the root."""
    return {what: None if content is None else hashlib.sha256(content).hexdigest()
            for what, content in contents_seen(host, files).items()}


def damaged_trees(host, deep):
    """Return [[kind, name, path]] of the first files in each tree in use that are not what its list says."""
    return [[kind, name, path] for kind, names in referenced(host).items() for name in sorted(filter(None, names))
            for path in damage_of(host.place, kind, name, deep)]


def damage_of(place, kind, name, deep):
    """Return the first paths of a tree that differ from its list; unless `deep`, files are only looked at, not read."""
    document = read_bytes(place.manifest(kind, name))
    if document is None:
        return ["its list of files is missing"]
    damaged = []
    for entry in json.loads(zlib.decompress(document)):
        path = os.path.join(place.trees(kind), name, entry[0])
        try:
            is_right = (read_link(path) == entry[2] if entry[1] == "link" else
                        sha256_of(path) == entry[3] if deep else is_file_of(path, entry[2]))
        except OSError:
            is_right = False
        if not is_right:
            damaged.append(entry[0])
        if len(damaged) == MOST_DAMAGED:
            break
    return damaged


def is_file_of(path, size):
    """Say whether a path is a file, not a link, of this size."""
    about = os.lstat(path)
    return stat.S_ISREG(about.st_mode) and about.st_size == size


def observation(request, host):
    """Return the answer of `observe` and `begin`."""
    deep = bool(request.get("deep"))
    about = facts(request)
    about["supervisor"], of_supervisor = supervisor_from(
        request["settings"]["supervisor"], request.get("app"), None).observe(deep)
    about["nginx"], of_nginx = observe_nginx(request["settings"], deep)
    return {"facts": about, "problems": problems_of_place(request) + of_supervisor + of_nginx,
            "application": application(host, deep, bool(request.get("texts"))) if host else None}


# --- The agent --------------------------------------------------------------------------------------------------------

FIRST_STEPS = {"begin": "preflight", "ship": "ship", "files": "ship", "activate": "configure", "restore": "configure",
               "withdraw": "switch", "close": "configure"}


class Agent:
    """Serves the requests of one controller, one after the other."""

    def __init__(self, inbox, control, emitter):
        self.inbox, self.control, self.emitter = inbox, control, emitter
        self.host = None
        self.shipment = None
        self.verbs = {"observe": self.observe, "begin": self.begin, "ship": self.ship, "files": self.files,
                      "activate": self.activate, "restore": self.restore, "withdraw": self.withdraw, "close": self.close,
                      "run": self.run_command}

    def run(self):
        """Serve until the input ends or the work is aborted, then leave things tidy."""
        for request in iter(self.next_request, None):
            self.emitter.working = True
            answer = self.serve(request)
            self.emitter.working = False
            self.emitter.send(dict(answer, id=request.get("id")))
        self.leave()

    def next_request(self):
        """Return the next request, or None when there is to be none: the input ended, or the work was aborted.

        One that was sent before the work was aborted still gets its answer.
        """
        while True:
            try:
                return self.inbox.requests.get(timeout=0.2)
            except queue.Empty:
                if self.control.reason is not None:
                    return None
            try:
                self.control.check()  # A newer run must not wait for the lock of one that has nothing to do.
            except Aborted:
                return None

    def serve(self, request):
        """Carry out one request; return {"done"} or {"error"}."""
        try:
            self.control.check()
            verb = self.verbs.get(request.get("do"))
            if verb is None:
                raise Failure("bad-request", "There is no verb '{}'.".format(request.get("do")), "Update Windlass.")
            return {"done": verb(request)}
        except Exception as error:  # Whatever it is, the controller must get its one answer.
            failure = failure_of(error)
            failure.step = failure.step or FIRST_STEPS.get(request.get("do"))
            return {"error": failure.answer()}
        finally:
            if request.get("blobs"):
                self.frames(request).drain()

    def frames(self, request):
        """Return the stream of the request being served."""
        if "frames" not in request:
            request["frames"] = Frames(self.inbox, self.control)
        return request["frames"]

    def observe(self, request):
        """Look and change nothing."""
        host = Host(request, self.control, self.emitter) if request.get("app") else None
        seen = observation(request, host)
        if host and request.get("probe"):
            seen["probe"] = probe(host)
        return seen

    def begin(self, request):
        """Announce the epoch, take the lock, tidy up, look."""
        if self.host is not None:
            raise Failure("bad-request", "This session has begun already.")
        host = Host(request, self.control, self.emitter)
        with Step(QuietHost(self.emitter), "preflight"):
            host.place.make()
            fence = Fence(host.place, request["epoch"], request.get("deploy"))
            fence.announce()
            fence.acquire(request.get("lock_wait_s") or 0, self.control)
            self.control.fence, host.journal = fence, Journal(host.place, fence)
            self.host = host
            led_to = host.place.current_release()
            sweep(host)
            host.ports = allocate_ports(host.place)
            return dict(observation(request, host), current_before=led_to)

    def begun(self, step):
        """Return the host; raise Failure when the lock is not held."""
        if self.host is None:
            raise Failure("not-begun", "Nothing may change before 'begin'.", "Update Windlass.", step=step)
        return self.host

    def ship(self, request):
        """Take a tree's list of files; return what of it is lacking here."""
        host = self.begun("ship")
        self.drop_shipment()
        shipment = Shipment(host.place, self.control, self.emitter, request)
        with host.step(shipment.step) as step:
            document = self.unpacked(self.frames(request).rest(256 << 20))
            self.shipment = shipment
            try:
                lacks = shipment.begin(document)
                is_complete = not lacks
                if is_complete and shipment.manifest is not None:
                    shipment.finish()
            except BaseException:
                self.drop_shipment()
                raise
            step.message = "all is here"
            step.goes_on = not is_complete or shipment.kind == "environment"  # Its interpreter is yet to be tried.
        if is_complete:
            self.shipment = None
        return {"lacks": lacks, "complete": is_complete}

    @staticmethod
    def unpacked(document):
        """Return the unpacked list of files, refusing one that would fill the memory."""
        unpack = zlib.decompressobj()
        try:
            text = unpack.decompress(document, 256 << 20)
        except zlib.error:
            text = b""
        if not unpack.eof:
            raise Failure("bad-transfer", "The list of files arrived damaged or is too large.", "Deploy again.")
        return text

    def files(self, request):
        """Take the lacking files and complete the tree."""
        host, shipment = self.begun("ship"), self.shipment
        if shipment is None:
            return {"complete": True}
        with host.step(shipment.step) as step:
            try:
                shipment.receive(self.frames(request))
                shipment.finish()
            finally:
                self.drop_shipment()
            step.message = "{} of {} files received".format(len(shipment.lacks), len(shipment.manifest.entries))
            step.goes_on = shipment.kind == "environment"
        return {"complete": True}

    def drop_shipment(self):
        """Leave nothing of a tree that was not completed."""
        if self.shipment is not None:
            self.shipment.discard()
            self.shipment = None

    def activate(self, request):
        """Make a release the one that answers."""
        return self.activation(request["spec"], request.get("once"), request.get("keep"), fresh=bool(request.get("fresh"))).run()

    def activation(self, *words, **more):
        """Return an Activation; failing to look at the host means that nothing has been changed."""
        host = self.begun("configure")
        try:
            return Activation(host, *words, **more)
        except Failure as failure:
            failure.detail["restored"] = True
            raise

    def restore(self, request):
        """Go back to what a slot was last filled with, or off this host altogether."""
        host, name = self.begun("switch"), request.get("slot")
        if name is None:
            return Withdrawal(host).run()
        spec = host.slot(name).spec() if name in SLOTS else None
        if spec is None:
            raise Failure("nothing-to-restore", "Slot {} of {} is empty on this host.".format(name, host.place.app),
                          "Deploy the wanted release instead.", step="switch")
        return self.activation(closed_or_open(spec, request.get("closed")), only=name).run()

    def close(self, request):
        """Have nginx answer by itself that the application is closed, or lead to it again; its processes go on."""
        return Gate(self.begun("configure"), request.get("closed")).run()

    def run_command(self, request):
        """Run a command by hand, once; it has a lock of its own, so rollouts go on meanwhile."""
        if self.control.fence is not None:
            raise Failure("bad-request", "A session that holds a lock runs no command by hand.")
        return OneOff(request, self.control, self.emitter).run()

    def withdraw(self, _request):
        """Take the application off this host."""
        return Withdrawal(self.begun("switch")).run()

    def leave(self):
        """Tidy up at the end of the session; what a newer run is working on is left alone."""
        reason = self.control.reason
        is_left = reason is not None and reason[0] in LEFT_TO_OTHERS
        if self.host is not None and not is_left and not self.control.fence.is_overtaken():
            with self.control:
                try:
                    self.drop_shipment()
                    settle(self.host)
                except (Failure, Fault, OSError) as error:
                    self.host.journal.note("clean", "failed", str(error))
        self.emitter.close()


class QuietHost:
    """Stands in for a Host where a step is told of before its journal can be written."""

    def __init__(self, emitter):
        self.emitter, self.journal, self.under_way = emitter, self, None

    def note(self, *_words):
        """There is no journal yet."""


def main():
    """Run the agent on standard input and output."""
    out = os.dup(1)
    os.dup2(2, 1)  # Nothing but our own messages may reach the controller.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # A lost connection ends our input, which is the orderly way to learn of it.
    control, emitter = Control(), Emitter(out)
    emitter.send({"event": "hello", "agent": VERSION, "python": "{}.{}".format(*sys.version_info[:2]), "pid": os.getpid()})
    inbox = Inbox(0, control, emitter)
    inbox.start()
    Agent(inbox, control, emitter).run()
    os._exit(0)  # The reading thread may be blocked; nothing else is left to be done.


if __name__ == "__main__":
    main()
