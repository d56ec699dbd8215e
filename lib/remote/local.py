"""The transport `local`: the agent runs on this machine, as a child of this process."""

import os
import socket
import subprocess
import threading

from remote.session import SILENCE_S, AgentError, Session, agent_argv, agent_code

STDERR_BYTES = 16 << 10
LEAVE_S = 90


class LocalAgent:
    """An agent's process and the sockets it is spoken to through.

    Sockets and not pipes: a read from a pipe would hold up every other greenlet of a process that gevent has patched.
    """

    def __init__(self, python):
        self.ours, theirs = socket.socketpair()
        self.complaints, errors = socket.socketpair()
        self.stderr = b""
        with theirs, errors:
            self.process = subprocess.Popen(
                agent_argv(python),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors.fileno(),
                start_new_session=True,
                cwd="/",
                env=agent_environment(),
            )
        self.listener = threading.Thread(target=self.listen, daemon=True, name="agent-stderr")
        self.listener.start()

    def listen(self):
        """Keep the end of what the agent's interpreter complains about."""
        with self.complaints:
            while True:
                data = self.complaints.recv(4096)
                if not data:
                    return
                self.stderr = (self.stderr + data)[-STDERR_BYTES:]

    def read(self, limit):
        """Return up to `limit` bytes from the agent."""
        return self.ours.recv(limit)

    def close(self):
        """End the agent's input and output; it tidies up on its own and its process is collected when it has ended."""
        try:
            self.ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # It was closed before.
        threading.Thread(target=self.collect, daemon=True, name="agent-collector").start()

    def collect(self):
        """Wait for the agent's process; one that does not end, as it should within seconds, is killed: that does no harm."""
        try:
            self.process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.ours.close()

    def explain(self):
        """Return what the interpreter wrote on its standard error, and how it ended."""
        self.listener.join(2)
        status = self.process.poll()
        text = self.stderr.decode("utf-8", "replace").strip()
        return text if status is None else f"{text} (exit status {status})".strip()


def agent_environment():
    """Return the part of our environment that the agent gets: nothing that may hold a secret of Windlass."""
    names = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR")
    return {name: os.environ[name] for name in names if name in os.environ}


def open_local(python="python3", silence_s=SILENCE_S, code=agent_code):
    """Return a Session with an agent on this machine, run by the interpreter `python` (a path or a name on the PATH).

    `silence_s` and `code` are those of Session.

    Raises AgentError "python-missing" when there is no such interpreter.
    """
    try:
        agent = LocalAgent(python)
    except OSError as error:
        raise AgentError(
            "python-missing",
            "connect",
            f"'{python}' cannot be run on this machine: {error.strerror}.",
            "Install Python 3.8 or newer, or name it in the host's settings (python).",
        ) from None
    session = Session(agent.read, agent.ours.sendall, agent.close, agent.explain, silence_s, code)
    session.process = agent.process
    return session
