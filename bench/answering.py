"""Requests per second and CPU per request of gunicorn with one gevent worker: Windlass beside bare Bottle, in turns."""

import argparse
import contextlib
import os
import selectors
import signal
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import requests

from bench.meter import tree_cpu_s
from tests.fleet.keeper import Keeper, await_process, free_port

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "benchmark-" + os.urandom(16).hex()
CONNECTIONS = 8
HEADER_END = b"\r\n\r\n"
CASES = (  # (name, server, path, with a token)
    ("bare Bottle, GET /me", "bare", "/me", False),
    ("health, no token", "windlass", "/health", False),
    ("GET /me, token", "windlass", "/me", True),
    ("GET /tokens, token", "windlass", "/tokens?limit=50", True),
)


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="bench/api", description="Measure an authenticated GET beside bare Bottle.")
    made.add_argument("--rounds", type=int, default=5, help="how often each case runs, in turns; the median counts (default: 5)")
    made.add_argument("--requests", type=int, default=2000, help="requests of a round (default: 2000)")
    made.add_argument("--database", help="a postgresql:// URL of an empty database (default: SQLite)")
    return made


def start(keeper, folder, application, **variables):
    """Start gunicorn with one gevent worker; returns (process, port)."""
    port = free_port()
    argv = [sys.executable, "-m", "gunicorn"]
    if application == "app:application":
        argv += ["--config", "etc/gunicorn.conf.py", application]
    else:
        argv += ["--worker-class", "gevent", "--no-control-socket", "--bind", f"127.0.0.1:{port}", application]
    environment = {
        "PATH": os.environ["PATH"],
        "WINDLASS_DATA": str(folder),
        "WINDLASS_WEB_PORT": str(port),
        "WINDLASS_ADMIN_TOKEN": TOKEN,
        **variables,
    }
    log = folder / f"{application.partition(':')[0]}.log"
    process = keeper.start(argv, log, env=environment, cwd=ROOT, stop_signal=signal.SIGTERM)
    await_process(process, lambda: answers(port), timeout_s=60)
    return process, port


def answers(port):
    """Say whether a server answers on this port."""
    with contextlib.suppress(requests.ConnectionError, requests.Timeout):
        return requests.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=2).ok


def ask(port, path, with_token, count):
    """Send `count` requests over a few open connections, each as soon as the one before is answered; raises on a refusal."""
    credentials = f"Authorization: Bearer {TOKEN}\r\n" if with_token else ""
    request = f"GET /api/v1{path} HTTP/1.1\r\nHost: bench\r\n{credentials}\r\n".encode()
    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, bytearray())
            connection.sendall(request)
        sent, answered = CONNECTIONS, 0
        while answered < count:
            for key, _ in selector.select():
                key.data.extend(key.fileobj.recv(65536))
                if take_answer(key.data):
                    answered += 1
                    if sent < count:
                        key.fileobj.sendall(request)
                        sent += 1


def take_answer(received):
    """Remove a complete answer from the bytes received; returns whether there was one. Raises RuntimeError unless it is a 200."""
    end = received.find(HEADER_END)
    if end < 0:
        return False
    head = bytes(received[:end]).lower()
    if b" 200 " not in head[:20]:
        raise RuntimeError(f"refused: {bytes(received[:300])!r}")
    length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    if len(received) < end + len(HEADER_END) + length:
        return False
    del received[: end + len(HEADER_END) + length]
    return True


def measure(server, path, with_token, count):
    """Return (requests per second, the server's CPU microseconds per request) of one round."""
    process, port = server
    cpu_s, begun = tree_cpu_s(process.pid), time.monotonic()
    ask(port, path, with_token, count)
    return count / (time.monotonic() - begun), (tree_cpu_s(process.pid) - cpu_s) / count * 1e6


def run(options, folder):
    """Return {case: [(requests per second, CPU microseconds), …]}."""
    rounds = {case[0]: [] for case in CASES}
    variables = {"WINDLASS_DATABASE_URL": options.database} if options.database else {}
    with Keeper() as keeper:
        servers = {
            "bare": start(keeper, folder, "bench.bare:application"),
            "windlass": start(keeper, folder, "app:application", **variables),
        }
        for number in range(options.rounds + 1):
            for name, server, path, with_token in CASES:
                figures = measure(servers[server], path, with_token, options.requests)
                if number:  # The first round warms both up.
                    rounds[name].append(figures)
    return rounds


def main(arguments):
    """Measure and print; returns the exit code."""
    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="wl-bench-") as folder:
        rounds = run(options, Path(folder))
    bare_rate, bare_cpu = (statistics.median(figures) for figures in zip(*rounds[CASES[0][0]], strict=True))
    print(f"{'':22} {'requests/s':>11} {'of bare':>8} {'CPU µs each':>12} {'of bare':>8}")
    for name, figures in rounds.items():
        rate, cpu = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"{name:22} {rate:11.0f} {rate / bare_rate:7.0%} {cpu:12.0f} {cpu / bare_cpu:8.2f}")
    return 0
