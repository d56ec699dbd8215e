"""Run a local command: the one place where Windlass starts processes of other programs on its own machine.

A command is an argv list with an environment of its own, never a shell line. It runs in a process group of its own,
has a limit on its whole time and on how long it may be silent, and is ended by TERM and then KILL to that whole group.
What it writes is kept in bounded memory and handed on line by line.

CommandError
├── NotStarted      the program is missing or may not be run
├── Failed          it ended with another status than 0
├── TimedOut        it ran too long or was silent too long
├── TooMuchOutput   it wrote more than the caller can take
└── Stopped         the caller asked for its end
"""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, field

READ_BYTES = 256 * 1024
TICK_S = 0.25
GRACE_S = 5.0
LINGER_S = 1.0  # A child that was left behind may hold the pipes open; it is not waited for longer than this.
LONGEST_LINE = 8 * 1024
TAIL_LINES = 60
MOST_OUTPUT = 64 * 1024 * 1024
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")


class CommandError(Exception):
    """A command did not do what it was for. `program` is its name, `tail` the last lines it wrote."""

    def __init__(self, message, program, tail=()):
        super().__init__(message)
        self.program = program
        self.tail = list(tail)


class NotStarted(CommandError):
    """The program is missing or may not be run."""


class Failed(CommandError):
    """The program ended with a status other than 0: `status`, negative for a signal."""

    def __init__(self, message, program, tail, status):
        super().__init__(message, program, tail)
        self.status = status


class TimedOut(CommandError):
    """The program ran longer, or was silent longer, than it may."""


class TooMuchOutput(CommandError):
    """The program wrote more than the caller can take."""


class Stopped(CommandError):
    """The caller asked for the program's end."""


@dataclass
class Done:
    """What a command that succeeded wrote: its standard output as bytes and the last lines of everything else."""

    output: bytes
    tail: list = field(default_factory=list)


class Lines:
    """Make lines of text from bytes as they come: bounded, valid, without terminal codes. The last ones are kept."""

    def __init__(self, on_line=None):
        self.on_line = on_line
        self.rest = b""
        self.tail = []

    def feed(self, data):
        """Take more bytes and hand on each line that is complete now."""
        *complete, self.rest = re.split(rb"[\r\n]", self.rest + data)
        for line in complete:
            self._take(line)
        if len(self.rest) > LONGEST_LINE:
            self._take(self.rest)
            self.rest = b""

    def close(self):
        """Hand on what the last line break left over."""
        self._take(self.rest)
        self.rest = b""

    def _take(self, line):
        text = TERMINAL_CODES.sub("", line[:LONGEST_LINE].decode("utf-8", "replace")).rstrip()
        if not text:
            return
        if len(line) > LONGEST_LINE:
            text += f" … ({len(line) - LONGEST_LINE} bytes more)"
        self.tail = [*self.tail[1 - TAIL_LINES :], text]
        if self.on_line:
            self.on_line(text)


def run(
    argv,
    *,
    environment,
    timeout_s,
    folder=None,
    silence_s=None,
    stdin=b"",
    on_output=None,
    on_line=None,
    merged=False,
    most_output=MOST_OUTPUT,
    keep_open=(),
    stop=None,
    on_tick=None,
):
    """Run a command to its end and return what it wrote (Done).

    environment: all variables it gets; folder: where it runs; timeout_s, silence_s: seconds it may take, and may write
    nothing; stdin: bytes it reads. on_output(bytes) gets its standard output as it comes, which is then not kept;
    on_line(text) gets each line of its standard error, and with `merged` of its standard output too. most_output: bytes
    kept. keep_open: descriptors it inherits. stop: an Event that ends it; on_tick() is called some times a second.
    Raises a CommandError.
    """
    return _Run(argv, environment, folder, merged, keep_open).go(
        stdin, timeout_s, silence_s, on_output, Lines(on_line), most_output, stop, on_tick
    )


class _Run:
    """One running command: its process group, its pipes and what it wrote so far."""

    def __init__(self, argv, environment, folder, merged, keep_open):
        self.program = os.path.basename(argv[0])
        self.lines = Lines()
        self.output = bytearray()
        try:
            self.process = subprocess.Popen(
                argv,
                env=environment,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                start_new_session=True,
                pass_fds=keep_open,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise NotStarted(f"{self.program} cannot be started: {reason}.", self.program) from error
        self.merged = merged

    def go(self, stdin, timeout_s, silence_s, on_output, lines, most_output, stop, on_tick):
        """Feed and read the command until it ends; its process group never outlives this call."""
        self.lines = lines
        self.take_output = self.lines.feed if self.merged else (on_output or self._keeper(most_output))
        try:
            self._converse(stdin, timeout_s, silence_s, stop, on_tick)
            self.lines.close()
        finally:
            self._end_group()
        status = self.process.returncode
        if status:
            how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
            raise Failed(f"{self.program} {how}.", self.program, self.lines.tail, status)
        return Done(bytes(self.output), self.lines.tail)

    def _keeper(self, most_output):
        def keep(data):
            """Keep a piece of the output. Raises TooMuchOutput."""
            if len(self.output) + len(data) > most_output:
                raise TooMuchOutput(f"{self.program} wrote more than {most_output} bytes.", self.program, self.lines.tail)
            self.output.extend(data)

        return keep

    def _converse(self, stdin, timeout_s, silence_s, stop, on_tick):
        """Move bytes both ways until the program has ended and its pipes are empty."""
        begun = active = time.monotonic()
        ended = None
        with selectors.DefaultSelector() as selector:
            self._register(selector, stdin)
            while selector.get_map() or not self._has_ended():
                events = selector.select(TICK_S) if selector.get_map() else self._wait()
                active = time.monotonic() if self._move(selector, events) else active
                now = time.monotonic()
                if on_tick:
                    on_tick()
                if ended is None and self._has_ended():
                    ended = now
                if ended is not None and now - ended > LINGER_S:
                    return
                self._check(stop, now - begun, timeout_s, now - active, silence_s)

    def _has_ended(self):
        """Say whether the program has ended, leaving its process id taken: the group is still to be signalled by it."""
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _wait(self, longest_s=TICK_S):
        """Wait for the program's end once there is nothing to read, in naps that grow, for `longest_s` at most."""
        nap_s, over = 0.001, time.monotonic() + longest_s
        while not self._has_ended() and time.monotonic() < over:
            time.sleep(nap_s)
            nap_s = min(nap_s * 2, 0.05)
        return []

    def _register(self, selector, stdin):
        self.unsent = memoryview(stdin)
        streams = [self.process.stdout] if self.merged else [self.process.stdout, self.process.stderr]
        for stream in streams:
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        if stdin:
            os.set_blocking(self.process.stdin.fileno(), False)
            selector.register(self.process.stdin, selectors.EVENT_WRITE)
        else:
            self.process.stdin.close()

    def _move(self, selector, events):
        """Do what the ready pipes allow; returns whether the program wrote anything."""
        spoke = False
        for key, _ in events:
            stream = key.fileobj
            if stream is self.process.stdin:
                self._send(selector)
                continue
            data = os.read(stream.fileno(), READ_BYTES)
            if not data:
                selector.unregister(stream)
                continue
            spoke = True
            take = self.take_output if stream is self.process.stdout else self.lines.feed
            take(data)
        return spoke

    def _send(self, selector):
        try:
            self.unsent = self.unsent[os.write(self.process.stdin.fileno(), self.unsent[:READ_BYTES]) :]
        except BrokenPipeError:
            self.unsent = self.unsent[:0]  # It ended without reading all; its status says whether that was a failure.
        if not self.unsent:
            selector.unregister(self.process.stdin)
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def _check(self, stop, age_s, timeout_s, quiet_s, silence_s):
        if stop is not None and stop.is_set():
            raise Stopped(f"{self.program} was stopped.", self.program, self.lines.tail)
        if age_s > timeout_s:
            raise TimedOut(f"{self.program} took longer than {timeout_s:.0f} s.", self.program, self.lines.tail)
        if silence_s is not None and quiet_s > silence_s:
            raise TimedOut(f"{self.program} said nothing for {silence_s:.0f} s.", self.program, self.lines.tail)

    def _end_group(self):
        """End what is left of the process group: TERM, a moment, KILL."""
        if not self._has_ended():
            self._signal(signal.SIGTERM)
            self._wait(GRACE_S)
        self._signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _signal(self, number):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)
