"""The web server as it runs in production: gunicorn with gevent workers, on SQLite and on PostgreSQL."""

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from tests.conftest import ADMIN_TOKEN
from tests.fleet.keeper import Keeper, await_process, free_port

ROOT = Path(__file__).resolve().parent.parent


class Server:
    """A web server of a test's own; `settings` are further variables WINDLASS_…"""

    def __init__(self, keeper, folder, **settings):
        self.data, self.port = folder / "data", free_port()
        self.url = f"http://127.0.0.1:{self.port}/api/v1"
        self.environment = {
            "PATH": os.environ["PATH"],
            "WINDLASS_DATA": str(self.data),
            "WINDLASS_WEB_PORT": str(self.port),
            "WINDLASS_ADMIN_TOKEN": ADMIN_TOKEN,
            "WINDLASS_LOG_FORMAT": "json",
            **settings,
        }
        self.process = keeper.start(
            [sys.executable, "-m", "gunicorn", "--config", "etc/gunicorn.conf.py", "app:application"],
            folder / "web.log",
            env=self.environment,
            cwd=ROOT,
            stop_signal=signal.SIGTERM,
        )
        await_process(self.process, self.answers, timeout_s=60)

    def answers(self):
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(f"{self.url}/health", timeout=2).status_code == 200

    def request(self, method, path, **options):
        """Make a request as the administrator."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **options)

    def open_stream(self):
        """Open the stream of all deploys; returns the socket, its headers and opening read."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(f"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n".encode())
        received = b""
        while b": windlass" not in received:
            piece = connection.recv(4096)
            assert piece, received
            received += piece
        assert received.startswith(b"HTTP/1.1 200"), received
        return connection


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory):
    """A running server on SQLite."""
    with Keeper() as keeper:
        yield Server(keeper, tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="module")
def on_postgresql(tmp_path_factory, postgresql_url):
    """A running server on PostgreSQL, with few connections."""
    with Keeper() as keeper:
        yield Server(
            keeper,
            tmp_path_factory.mktemp("postgresql"),
            WINDLASS_DATABASE_URL=postgresql_url,
            WINDLASS_DATABASE_POOL="5",
        )


@pytest.fixture(params=["on_sqlite", "on_postgresql"])
def server(request):
    """A running server, on each database."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def own_server(tmp_path):
    """own_server(**settings) starts a server on SQLite for one test."""
    with Keeper() as keeper:
        yield lambda **settings: Server(keeper, tmp_path, **settings)


def chunks(*parts):
    """Return a body that is sent in chunks, because nobody says how long it is."""
    yield from parts


def test_a_chunked_body_is_read(server):
    made = server.request(
        "POST", "/tokens", data=chunks(b'{"name"', b': "chunky"}'), headers={"Content-Type": "application/json"}
    )
    assert (made.status_code, made.json()["name"]) == (201, "chunky")


def test_a_chunked_body_that_is_too_large_is_refused_and_the_server_goes_on(server):
    refused = server.request("POST", "/tokens", data=chunks(*[b" " * 65536] * 40), headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (413, "body-too-large")
    assert server.request("GET", "/me").status_code == 200


def test_more_requests_than_connections_are_all_answered(server):
    with concurrent.futures.ThreadPoolExecutor(30) as clients:
        answers = list(
            clients.map(lambda number: server.request("POST", "/tokens", json={"name": f"t{number}"}).status_code, range(60))
        )
    assert set(answers) == {201}


def test_open_streams_hold_nobody_up(server):
    with contextlib.ExitStack() as streams:
        for _ in range(50):  # Ten times as many as there are database connections.
            streams.enter_context(server.open_stream())
        with concurrent.futures.ThreadPoolExecutor(10) as clients:
            assert set(clients.map(lambda _: server.request("GET", "/tokens?limit=1").status_code, range(20))) == {200}
    assert server.request("GET", "/me").status_code == 200


def test_what_no_http_client_would_send_harms_nobody(server):
    for junk in (
        b"\x00\xff" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{",
        b"POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    assert server.request("GET", "/me").status_code == 200


def test_waiting_for_sqlites_writer_lets_other_requests_go_on(on_sqlite):
    server = on_sqlite
    server.request("GET", "/me")  # Notes the use of the token, so that only the POST below has something to write.
    with contextlib.closing(sqlite3.connect(server.data / "windlass.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = []
        writer = threading.Thread(target=lambda: answers.append(server.request("POST", "/tokens", json={"name": "patient"})))
        writer.start()
        for _ in range(20):
            assert server.request("GET", "/me").status_code == 200
        assert not answers
        other.execute("COMMIT")
        writer.join(60)
    assert answers[0].status_code == 201


def test_a_writer_that_does_not_end_is_503_busy(on_sqlite):
    server = on_sqlite
    server.request("GET", "/me")
    with contextlib.closing(sqlite3.connect(server.data / "windlass.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = server.request("POST", "/tokens", json={"name": "impatient"})
        assert (refused.status_code, refused.json()["code"]) == (503, "busy") and int(refused.headers["Retry-After"]) > 0
        other.execute("ROLLBACK")
    assert "impatient" not in server.request("GET", "/tokens").text


def test_it_ends_on_sigterm_with_streams_open_and_tells_no_token(own_server):
    server = own_server()
    with server.open_stream():
        os.kill(server.process.pid, signal.SIGTERM)
        server.process.stop(grace_s=30)
    log = server.process.log(lines=1000)
    assert not server.process.is_running and ADMIN_TOKEN not in log
    assert all(json.loads(line)["role"] == "web" for line in log.splitlines()), log


def test_figures_are_those_of_all_processes(own_server):
    server = own_server(WINDLASS_WEB_WORKERS="2")
    for _ in range(40):  # Each on a connection of its own, so both processes get some.
        server.request("GET", "/me")
    (line,) = [
        line
        for line in server.request("GET", "/metrics").text.splitlines()
        if line.startswith("windlass_http_requests_total") and 'route="/api/v1/me"' in line
    ]
    assert float(line.rsplit(" ", 1)[1]) == 40


def run_python(code, folder, **settings):
    """Run Python code in the checkout with a data folder of its own."""
    environment = {"PATH": os.environ["PATH"], "WINDLASS_DATA": str(folder / "data"), **settings}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def test_importing_it_is_all_it_takes(tmp_path):
    done = run_python("import app; print(app.application.inside is not None)", tmp_path)
    assert done.stdout == "True\n", done.stderr
    token = (tmp_path / "data" / "admin.token").read_text().strip()
    assert token not in done.stderr and (tmp_path / "data" / "windlass.db").exists()


@pytest.mark.parametrize(
    "variable, value, named",
    [
        ("WINDLASS_WEB_PORT", "http", "WINDLASS_WEB_PORT"),
        ("WINDLASS_DATABASE_URL", "mysql://x/y", "database.url"),
        ("WINDLASS_CONFIG", "/nowhere.json", "/nowhere.json"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start_and_is_named(tmp_path, variable, value, named):
    done = run_python("import app", tmp_path, **{variable: value})
    assert done.returncode != 0 and named in done.stderr.splitlines()[-1], done.stderr
