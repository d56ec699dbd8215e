"""HTTP, as much of it as a health check needs."""

import errno
import socket
import time

from remote.agent.failures import Failure


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
        raise Failure("bad-request", f"The health path {path!r} or host {host!r} cannot be asked for.")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: windlass\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    deadline = time.monotonic() + timeout_s
    data = bytearray()
    with connect_to(address, min(timeout_s, 2)) as connection:
        connection.sendall(request.encode("utf-8", "replace"))
        connection.settimeout(0.05)
        while len(data) < 64 << 10:
            tick()
            if time.monotonic() > deadline:
                raise OSError(errno.ETIMEDOUT, f"no answer within {timeout_s:.0f} seconds")
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
        raise ValueError(f"the answer is not HTTP: {data[:60]!r}")
    return int(first[1]), body


def is_expected(status, expected):
    """Say whether a status counts as healthy: the expected one, or any below 400 where none is named."""
    return status == expected if expected else 200 <= status < 400
