"""A session survives whatever the other side does: noise, nonsense, silence, floods and sudden ends."""

import json
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from remote import session as sessions
from remote.local import open_local
from remote.session import AgentError, ConnectionLost, Session

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
NO_SETTINGS = {"supervisor": {"programs": "/nowhere", "command": ["/nowhere/supervisorctl"]}, "nginx": None}
HELLO = b'{"event": "hello", "agent": 1, "python": "3.11"}\n'


class Peer:
    """The other side of a session, driven by the test: what it received and what it is to say."""

    def __init__(self, **options):
        self.socket, ours = socket.socketpair()
        self.file = self.socket.makefile("rb")
        self.session = Session(ours.recv, ours.sendall, lambda: self.shut(ours), code=lambda _reads: b"code\n", **options)
        self.say({"event": "boot", "reads": ""})

    @staticmethod
    def shut(ours):
        """End our side."""
        try:
            ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def say(self, data):
        """Send bytes or a message to the session."""
        self.socket.sendall(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")

    def hear(self):
        """Return the next message of the session, the agent and pings left out."""
        while True:
            line = self.file.readline()
            if line == b"code\n":
                continue
            message = json.loads(line)
            if message["do"] != "ping":
                return message

    def close(self):
        """End the other side."""
        self.socket.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def peer():
    """A Peer that has said hello."""
    peer = Peer()
    peer.say(HELLO)
    yield peer
    peer.session.close()
    peer.file.close()
    peer.socket.close()


def answering(peer, *messages):
    """Let the peer answer the next request with messages, in a thread."""

    def answer():
        number = peer.hear()["id"]
        for message in messages:
            peer.say({**message, "id": number} if isinstance(message, dict) and "event" not in message else message)

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_events_come_before_the_answer_and_signs_of_life_are_kept_away(peer):
    events = []
    step = {"event": "step", "step": "ship", "state": "running"}
    answering(peer, step, {"event": "alive"}, {"done": {"fine": True}})
    assert peer.session.request("observe", on_event=events.append) == {"fine": True}
    assert events == [step]


def test_an_error_is_raised_with_all_it_says(peer):
    error = {
        "code": "disk-full",
        "step": "ship",
        "message": "No space.",
        "remedy": "Free some.",
        "needed": 5,
        "restored": True,
    }
    answering(peer, {"error": error})
    with pytest.raises(AgentError) as caught:
        peer.session.request("ship")
    raised = caught.value
    assert (raised.code, raised.step, raised.message, raised.remedy) == ("disk-full", "ship", "No space.", "Free some.")
    assert raised.restored is True and raised.detail["needed"] == 5 and str(raised) == "No space."


def test_an_answer_to_something_else_is_not_taken_for_ours(peer):
    def answer():
        number = peer.hear()["id"]
        peer.say({"id": number - 1, "done": {"stale": True}})
        peer.say({"id": number, "done": {"right": True}})

    threading.Thread(target=answer).start()
    assert peer.session.request("observe") == {"right": True}


@pytest.mark.parametrize("nonsense", [b"this is no message\n", b"[1, 2]\n", b"\xff\xfe\x00\n", b'{"half": \n'])
def test_nonsense_ends_the_session(peer, nonsense):
    answering(peer, nonsense)
    with pytest.raises(ConnectionLost, match="something else than messages"):
        peer.session.request("observe")
    with pytest.raises(ConnectionLost):
        peer.session.request("observe")


def test_a_line_without_end_is_not_gathered_for_ever(peer, monkeypatch):
    monkeypatch.setattr(sessions, "MAX_LINE", 1 << 20)

    def flood():
        peer.hear()
        try:
            while True:
                peer.say(b"x" * 65536)
        except OSError:
            return

    threading.Thread(target=flood).start()
    with pytest.raises(ConnectionLost, match="a line of more than"):
        peer.session.request("observe")


def test_what_a_login_script_prints_is_passed_over():
    peer = Peer()
    peer.say(b"Welcome to this machine!\n{not json}\n")
    peer.say(HELLO)
    answering(peer, {"done": {}})
    assert peer.session.request("observe") == {}
    peer.session.close()


def test_a_shell_that_never_becomes_an_agent_is_quoted():
    peer = Peer(explain=lambda: "Your account has expired.")
    peer.say(b"some banner\n")
    peer.close()
    with pytest.raises(ConnectionLost, match=r"Your account has expired\. some banner"):
        peer.session.request("observe")


@pytest.mark.parametrize(
    "said", ["sh: 1: python9: not found (exit status 127)", "bash: line 1: /opt/python: No such file or directory"]
)
def test_an_interpreter_that_is_missing_is_named(said):
    peer = Peer(explain=lambda: said)
    peer.close()
    with pytest.raises(AgentError) as caught:
        peer.session.request("observe")
    assert (caught.value.code, caught.value.step) == ("python-missing", "connect")
    assert said in caught.value.message and caught.value.remedy


def test_an_idle_agent_is_asked_for_a_sign_of_life_before_it_counts_as_silent():
    peer = Peer(silence_s=1.5)
    assert peer.file.readline() == b"code\n"
    assert json.loads(peer.file.readline()) == {"do": "ping"}
    assert peer.session.lost is None
    peer.session.close()


def test_a_silent_host_is_given_up():
    peer = Peer(silence_s=0.4)
    peer.say(HELLO)
    with pytest.raises(ConnectionLost, match=r"silent for 0\.4 seconds"):
        peer.session.request("observe", timeout_s=60)


def test_a_host_that_only_says_that_it_lives_is_given_up_at_the_deadline(peer):
    over = threading.Event()

    def live():
        while not over.wait(0.05):
            try:
                peer.say({"event": "alive"})
            except OSError:
                return

    threading.Thread(target=live).start()
    with pytest.raises(ConnectionLost, match="did not finish in the time"):
        peer.session.request("observe", timeout_s=0.5)
    over.set()


def test_a_host_that_accepts_and_never_reads_does_not_block_a_transfer_for_ever(peer):
    with pytest.raises(ConnectionLost, match="did not finish in the time"):
        peer.session.request("files", blobs=(b"x" * 100_000 for _ in range(1000)), timeout_s=0.5)


def test_an_end_in_the_middle_of_an_answer(peer):
    def answer():
        peer.hear()
        peer.say(b'{"id": 1, "do')
        peer.close()

    threading.Thread(target=answer).start()
    with pytest.raises(ConnectionLost, match="ended"):
        peer.session.request("observe")


def test_closing_from_another_thread_ends_a_request(peer):
    threading.Thread(target=lambda: (peer.hear(), peer.session.close())).start()
    with pytest.raises(ConnectionLost, match="closed"):
        peer.session.request("observe")


def test_a_listener_that_fails_ends_the_session(peer):
    answering(peer, {"event": "step", "step": "ship", "state": "running"})

    def failing(_event):
        raise ValueError("the database is gone")

    with pytest.raises(ValueError, match="database"):
        peer.session.request("observe", on_event=failing)
    assert peer.file.read() is not None  # The other side sees the end of its input.


def test_pings_are_sent_while_nothing_else_is(monkeypatch):
    monkeypatch.setattr(sessions, "PING_S", 0.1)
    peer = Peer()
    peer.say(HELLO)
    lines = [peer.file.readline() for _ in range(3)]
    assert lines == [b"code\n", b'{"do": "ping"}\n', b'{"do": "ping"}\n']
    peer.session.close()


def test_frames_carry_the_stream_whatever_its_pieces(peer):
    pieces = [b"a" * 10, b"", b"b" * 700_000, b"c" * 3]
    received = []

    def read():
        number = peer.hear()["id"]
        while True:
            length = int.from_bytes(peer.file.read(4), "big")
            if not length:
                break
            assert length <= sessions.FRAME
            received.append(peer.file.read(length))
        peer.say({"id": number, "done": {}})

    threading.Thread(target=read).start()
    before = peer.session.bytes_sent
    peer.session.request("files", blobs=pieces)
    assert b"".join(received) == b"".join(pieces)
    assert peer.session.bytes_sent - before > 700_013


def test_an_abort_never_comes_between_the_frames_of_a_transfer(peer):
    def blobs():
        yield b"first"
        peer.session.abort("handed-over")
        yield b"second"

    heard = []

    def read():
        heard.append(peer.hear()["do"])
        while (length := peer.file.read(4)) != sessions.CANCELLED:
            peer.file.read(int.from_bytes(length, "big"))
        heard.append(peer.hear())
        peer.say({"id": 1, "error": {"code": "handed-over"}})

    threading.Thread(target=read).start()
    with pytest.raises(AgentError):
        peer.session.request("files", blobs=blobs())
    assert heard == ["files", {"do": "abort", "why": "handed-over"}]


def test_a_flood_of_events_reaches_a_slow_listener_in_order(peer):
    count = 3000
    answering(peer, *[{"event": "output", "step": "start", "text": str(number)} for number in range(count)], {"done": {}})
    texts = []

    def slowly(event):
        if len(texts) % 1000 == 0:
            time.sleep(0.01)
        texts.append(int(event["text"]))

    peer.session.request("activate", on_event=slowly)
    assert texts == list(range(count))


def test_a_python_that_is_not_there():
    with pytest.raises(AgentError) as caught:
        open_local("/nowhere/python3")
    assert caught.value.code == "python-missing" and "/nowhere/python3" in caught.value.message


def too_old():
    """Return the paths of Pythons that are too old for the agent, if this machine has any."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [str(path) for path in [*versions.glob("3.6*/bin/python3.6"), *versions.glob("3.7*/bin/python3.7")]]


@pytest.mark.parametrize("python", too_old())
def test_a_python_that_is_too_old_is_told_so(python):
    with open_local(python) as session, pytest.raises(AgentError) as caught:
        session.request("observe")
    assert (caught.value.code, caught.value.step) == ("python-too-old", "connect")
    assert "3.8" in caught.value.message


def test_an_interpreter_that_crashes_is_quoted(tmp_path):
    script = tmp_path / "python3"
    script.write_text("#!/bin/sh\necho cannot find my own library >&2\nexit 1\n")
    script.chmod(0o755)
    with open_local(str(script)) as session, pytest.raises(ConnectionLost, match="cannot find my own library"):
        session.request("observe")


def test_the_agent_gets_no_secrets_from_our_environment(monkeypatch):
    monkeypatch.setenv("WINDLASS_SECRET_KEY_FILE", "/secret")
    environment = dict(item.split(b"=", 1) for item in environment_of_agent().split(b"\0") if item)
    assert not any(name.startswith(b"WINDLASS") for name in environment) and b"PATH" in environment


def environment_of_agent():
    """Return the environment of a running agent as the kernel shows it."""
    with open_local(shutil.which("python3")) as session:
        with pytest.raises(AgentError):
            session.request("no such verb")
        return Path(f"/proc/{session.process.pid}/environ").read_bytes()


def test_the_agents_process_is_gone_when_the_session_is_over():
    session = open_local(sys.executable)
    with pytest.raises(AgentError):
        session.request("no such verb")
    session.close()
    assert session.process.wait(60) == 0


def test_an_interpreter_that_reads_our_bytecode_gets_bytecode():
    with open_local(sys.executable) as session:
        assert session.request("observe", root="/nowhere", app=None, settings=NO_SETTINGS)["facts"]["agent"]
        assert session.bytes_sent > len(sessions.agent_code(sessions.READS))
    assert sessions.agent_code(sessions.READS).startswith(b"bytecode ")


@pytest.mark.parametrize("reads", ["", None, "cpython-38 550d0d0a", sessions.READS + "0"])
def test_any_other_interpreter_gets_the_source(reads):
    code = sessions.agent_code(reads)
    assert code.startswith(b"source ")
    with open_local(sys.executable, code=lambda _reads: code) as session:
        assert session.request("observe", root="/nowhere", app=None, settings=NO_SETTINGS)["facts"]["agent"]


def test_hosts_get_the_source_where_the_agent_cannot_be_compiled(monkeypatch):
    monkeypatch.setattr(sessions.sys, "executable", "/nowhere/python")
    sessions.agent_bytecode.cache_clear()
    try:
        assert sessions.agent_code(sessions.READS).startswith(b"source ")
    finally:
        sessions.agent_bytecode.cache_clear()


def test_an_abort_before_the_agent_has_arrived_follows_it():
    ours, theirs = socket.socketpair()
    session = Session(ours.recv, ours.sendall, lambda: Peer.shut(ours), code=lambda _reads: b"code\n")
    session.abort("fenced")
    with theirs, theirs.makefile("rb") as file:
        theirs.sendall(b"Welcome!\n" + b'{"event": "boot", "reads": ""}\n')
        assert file.readline() == b"code\n"
        assert json.loads(file.readline()) == {"do": "abort", "why": "fenced"}
        session.close()
    ours.close()
