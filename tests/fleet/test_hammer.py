"""The hammer notices every failure, and nothing that is none."""

import http.server
import socket
import threading

import pytest

from . import Hammer
from .keeper import free_port
from .test_fleet import await_answer, serve


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what its server says just now."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.headers["Host"], self.headers["Connection"], self.client_address))
        if self.server.hang:
            self.server.hang.wait(60)
        body = self.server.body
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or self.server.closes

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server():
    """A web server with knobs: status, body, hang (an Event to wait for) and closes (after each answer, unannounced)."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # Clients that give up are what some of these tests are about.
        server.status, server.body, server.hang, server.closes, server.seen = 200, b"one\n", None, False, []
        server.url = f"http://127.0.0.1:{server.server_port}/where"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_it_counts_versions_and_when_they_change(server):
    with Hammer(server.url, "shop.example", rate=200) as hammer:
        hammer.await_version("one")
        server.body = b"two"
        hammer.await_version("two")
        hammer.await_requests(20)
    assert hammer.failures == []
    assert hammer.requests == sum(hammer.versions.values())
    assert hammer.changes[0][1] == "one" and hammer.changes[-1][1] == "two"
    assert set(hammer.versions) == {"one", "two"}


def test_it_asks_for_the_host_with_and_without_keeping_the_connection(server):
    with Hammer(server.url, "shop.example", rate=200) as hammer:
        hammer.await_requests(40)
    assert {host for host, _, _ in server.seen} == {"shop.example"}
    kept = {address for _, variant, address in server.seen if variant == "keep-alive"}
    fresh = [address for _, variant, address in server.seen if variant == "close"]
    assert len(kept) == 1
    assert len(set(fresh)) == len(fresh) > 1


def test_an_error_status_is_a_failure(server):
    server.status = 502
    with Hammer(server.url, rate=200) as hammer:
        hammer.await_requests(4)
    assert len(hammer.failures) == hammer.requests
    assert {failure.variant for failure in hammer.failures} == {"close", "keep-alive"}
    assert "502" in hammer.failures[0].reason
    assert not hammer.versions


def test_a_single_failure_among_many_answers_is_kept(server):
    with Hammer(server.url, rate=200, variants=("close",)) as hammer:
        hammer.await_requests(5)
        server.status = 500
        hammer.await_failure()
        server.status = 200
        hammer.await_requests(5)
    assert hammer.failures and len(hammer.failures) < hammer.requests
    assert hammer.failures[0].at >= hammer.changes[0][0]


def test_a_refused_connection_is_a_failure():
    with Hammer(f"http://127.0.0.1:{free_port()}", rate=200) as hammer:
        hammer.await_requests(4)
    assert len(hammer.failures) == hammer.requests
    assert "refused" in hammer.failures[0].reason


def test_an_answer_that_does_not_come_is_a_failure(server):
    server.hang = threading.Event()
    with Hammer(server.url, rate=200, timeout_s=0.2) as hammer:
        hammer.await_requests(2)
    server.hang.set()
    assert "timed out" in hammer.failures[0].reason


def test_a_kept_connection_that_the_server_closes_between_requests_is_no_failure(server):
    server.closes = True
    with Hammer(server.url, rate=200, variants=("keep-alive",)) as hammer:
        hammer.await_requests(20)
    assert hammer.failures == []
    assert len({address for _, _, address in server.seen}) >= 20


def test_waiting_for_a_version_that_does_not_come_says_what_came(server):
    with Hammer(server.url, rate=200) as hammer, pytest.raises(TimeoutError, match="one"):
        hammer.await_version("three", timeout_s=0.2)


def test_a_reload_of_a_hosts_nginx_fails_nothing_and_a_restart_does(host):
    serve(host, 1)
    await_answer(host)
    with Hammer(host.url, rate=200) as hammer:
        hammer.await_version("version 1")
        serve(host, 2)
        hammer.await_version("version 2")
        assert hammer.failures == []
        host.stop_nginx()
        hammer.await_failure()
        host.start_nginx()
        hammer.await_requests(10)
    assert "version 2" in hammer.changes[-1][1]


def test_a_body_may_be_read_for_its_version(server):
    server.body = b'{"version": "7", "pid": 1}'
    with Hammer(server.url, version_of=lambda body: body.split(b'"')[3].decode()) as hammer:
        hammer.await_version("7")
    assert set(hammer.versions) == {"7"}


def test_an_answer_that_ends_too_early_is_a_failure():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_half():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

        thread = threading.Thread(target=answer_half)
        thread.start()
        with Hammer(f"http://127.0.0.1:{listener.getsockname()[1]}", variants=("close",), timeout_s=60) as hammer:
            hammer.await_failure()
            listener.close()
        thread.join()
    assert "IncompleteRead" in hammer.failures[0].reason
