"""The fence: which addresses Windlass may be sent to, and that git's and uv's way out obeys it."""

import contextlib
import http.server
import socket
import subprocess
import threading

import pytest

import egress
import egress_proxy

PROXIES = [name for lower in egress.PROXY_VARIABLES for name in (lower, lower.upper())]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch, settings):
    """No proxy of the machine decides here."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    """A web server on loopback; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made.server_address[1]
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "10.1.2.3", "172.16.0.1", "192.168.7.7", "fd12::1"]
)
def test_public_addresses_and_the_listed_private_ones_are_open(address):
    egress.check_address(address)


@pytest.mark.parametrize(
    "address, kind",
    [
        ("127.0.0.1", "this machine itself"),
        ("127.9.9.9", "this machine itself"),
        ("::1", "this machine itself"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("0.0.0.0", "no single machine"),
        ("224.0.0.1", "no single machine"),
        ("255.255.255.255", "no single machine"),
        ("ff02::1", "no single machine"),
        ("100.64.0.1", "private"),
        ("198.18.0.1", "private"),
        ("fec0::1", "private"),
        ("::ffff:127.0.0.1", "this machine itself"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::7f00:1", "this machine itself"),
        ("2002:7f00:1::", "this machine itself"),
        ("::", "no single machine"),
    ],
)
def test_what_is_not_listed_is_closed(address, kind):
    with pytest.raises(egress.Refused, match=kind):
        egress.check_address(address)


def test_private_ranges_are_closed_when_the_setting_says_so(settings):
    settings.network.allow = []
    with pytest.raises(egress.Refused, match=r"network.allow"):
        egress.check_address("10.1.2.3")


def test_loopback_is_open_when_it_is_listed(settings):
    settings.network.allow = ["127.0.0.0/8"]
    egress.check_address("127.0.0.1")
    egress.check_address("::ffff:127.0.0.1")


def test_a_metadata_service_must_be_listed_by_its_very_address(settings):
    settings.network.allow = ["0.0.0.0/0", "169.254.0.0/16"]
    with pytest.raises(egress.Refused, match="metadata"):
        egress.check_address("169.254.169.254")
    settings.network.allow = ["169.254.169.254/32"]
    egress.check_address("169.254.169.254")


def test_a_name_is_judged_by_all_its_addresses(monkeypatch):
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(egress.Refused, match=r"rebind.example.*127\.0\.0\.1"):
        egress.addresses_of("rebind.example", 443)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://",
        "https://-x/",
        "http://[::1",
        "https://example.com:99999/",
    ],
)
def test_urls_that_lead_nowhere_are_refused(url):
    with pytest.raises((egress.Refused, ValueError)):
        egress.check_url(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]"])
def test_loopback_in_any_spelling_is_refused(host):
    with pytest.raises(egress.NetworkError):
        egress.check_url(f"http://{host}:8080/")


def test_a_name_without_an_address_is_told():
    with pytest.raises(egress.Unresolved, match=r"no-such-host.invalid"):
        egress.addresses_of("no-such-host.invalid", 80)


def test_a_closed_port_is_told(settings):
    settings.network.allow = ["127.0.0.0/8"]
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(egress.Unreachable, match=f"127.0.0.1, port {port}.*refused"):
        egress.connect("127.0.0.1", port, 5)


def through(way_out, url):
    """Let git ask a server for a repository by way of a proxy; returns how that ended."""
    environment = {"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0", **way_out.variables()}
    return subprocess.run(["git", "ls-remote", url], capture_output=True, text=True, timeout=30, env=environment)


def test_the_gate_lets_through_what_the_fence_allows(settings, server):
    settings.network.allow = ["127.0.0.0/8"]
    with egress_proxy.EgressProxy() as way_out:
        plug = socks(way_out, "localhost", server)
        plug.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: plug.recv(4096), b""))
        plug.close()
    assert answer.endswith(b"hello")
    assert way_out.failures == []


def test_the_gate_refuses_loopback_and_says_why(server):
    with egress_proxy.EgressProxy() as way_out:
        done = through(way_out, f"http://127.0.0.1:{server}/repository.git")
    assert done.returncode != 0
    assert "this machine itself" in way_out.failures[0]


def test_nothing_goes_through_a_gate_that_is_closed(settings, server):
    settings.network.allow = ["127.0.0.0/8"]
    with egress_proxy.EgressProxy() as way_out:
        plug = socks(way_out, "127.0.0.1", server)
    assert plug.recv(1) == b""
    with pytest.raises(OSError):
        socks(way_out, "127.0.0.1", server)


@pytest.mark.parametrize("opening", [b"GET / HTTP/1.1\r\n\r\n", b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"\x05"])
def test_the_gate_survives_what_is_no_socks(settings, server, opening):
    settings.network.allow = ["127.0.0.0/8"]
    with egress_proxy.EgressProxy() as way_out:
        with socket.create_connection(port_of(way_out)) as plug:
            plug.sendall(opening)
            with contextlib.suppress(OSError):  # The proxy may have hung up already.
                plug.shutdown(socket.SHUT_WR)
            assert b"hello" not in b"".join(iter(lambda: plug.recv(4096), b""))
        socks(way_out, "127.0.0.1", server).close()


def test_a_configured_proxy_is_the_way_out(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intern.example")
    with egress_proxy.EgressProxy() as way_out:
        variables = way_out.variables()
    assert variables["https_proxy"] == variables["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert variables["no_proxy"] == "intern.example"
    assert "all_proxy" not in variables


def port_of(way_out):
    """Return the address of a proxy."""
    host, port = way_out.variables()["all_proxy"].removeprefix("socks5h://").split(":")
    return host, int(port)


def socks(way_out, host, port):
    """Return a socket connected through a proxy (RFC 1928)."""
    plug = socket.create_connection(port_of(way_out))
    plug.sendall(b"\x05\x01\x00")
    assert plug.recv(2) == b"\x05\x00"
    plug.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big"))
    assert plug.recv(10)[1] == 0
    return plug
