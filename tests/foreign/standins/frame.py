"""The base of all stand-ins for foreign systems: an HTTP server on loopback that records requests and can misbehave.

    class Shop(StandIn):
        @route("GET", r"/things/(?P<name>[^/]+)")
        def thing(self, request, name):
            return Reply({"name": name})

    with Shop() as shop:
        shop.fault("reset", on="GET /things", times=1)

Faults: slow (seconds), drip, reset, lost (done, then the connection ends), truncate, garbage, wrong-type, status (status,
retry_after, headers, body), redirect (to). A fault holds for requests whose "METHOD /path?query" the pattern `on` finds,
`times` times or until `recover()`.
"""

import contextlib
import json
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

DRIP_S = 0.02
LOGIN_PAGE = b"<!DOCTYPE html><html><body><h1>Log in</h1></body></html>"


def route(method, pattern):
    """Mark a method of a StandIn as what answers requests; groups of the pattern are its arguments, percent-decoded."""

    def mark(handler):
        handler.routes = [*getattr(handler, "routes", []), (method, re.compile(pattern + r"\Z"))]
        return handler

    return mark


@dataclass
class Request:
    """What was asked: `target` is path and query as they came."""

    method: str
    target: str
    headers: object
    body: bytes

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        """Parameters; of several of a name the last."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query, True).items()}

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def form(self):
        return {name: values[-1] for name, values in parse_qs(self.body.decode(), True).items()}

    @property
    def login(self):
        """The header Authorization, or None."""
        return self.headers.get("Authorization")

    def number(self, name, default):
        """Return a parameter that is a number."""
        return int(self.query.get(name, default))


@dataclass
class Reply(Exception):
    """An answer, to return or to raise: content is JSON, or bytes with a `kind`."""

    content: object = None
    status: int = 200
    headers: dict = field(default_factory=dict)
    kind: str = "application/json"

    @property
    def body(self):
        if isinstance(self.content, bytes):
            return self.content
        return b"" if self.content is None else json.dumps(self.content).encode()


@dataclass
class Fault:
    """One way of misbehaving."""

    kind: str
    on: str
    times: int | None
    options: dict
    seen: int = 0


class Handler(BaseHTTPRequestHandler):
    """Passes requests to the stand-in, and misbehaves as configured."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        standin = self.server.standin
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if not self.is_chunked() else self.chunks()
        request = Request(self.command, self.path, self.headers, body)
        standin.requests.append(request)
        fault = standin.fault_for(request)
        if fault is None:
            return self.send(standin.reply_to(request))
        getattr(self, "do_" + fault.kind.replace("-", "_"))(standin, request, **fault.options)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = answer

    def is_chunked(self):
        return self.headers.get("Transfer-Encoding", "").lower() == "chunked"

    def chunks(self):
        """Return a body that came in chunks."""
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send(self, reply, body=None, length=None, kind=None):
        """Send an answer, or parts of one."""
        body = reply.body if body is None else body
        self.send_response(reply.status)
        headers = {"Content-Type": kind or reply.kind, **reply.headers} if body else dict(reply.headers)
        for name, value in {**headers, "Content-Length": str(len(body) if length is None else length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def cut(self):
        """End the connection as a machine does that crashes."""
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def do_slow(self, standin, request, seconds=30):
        standin.over.wait(seconds)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.send(standin.reply_to(request))

    def do_drip(self, standin, request, in_head=False):
        """Send a byte now and then: no single read takes long, the whole takes for ever."""
        reply = standin.reply_to(request)
        head = f"HTTP/1.1 {reply.status} OK\r\nContent-Type: {reply.kind}\r\nX-Padding: "
        rest = f"x\r\nContent-Length: {len(reply.body) + 100_000}\r\n\r\n"
        with contextlib.suppress(OSError):
            self.wfile.write((head if in_head else head + rest).encode())
            while not standin.over.wait(DRIP_S):
                self.wfile.write(b"x" if in_head else b" ")
        self.close_connection = True

    def do_reset(self, standin, request):
        self.cut()

    def do_lost(self, standin, request):
        standin.reply_to(request)
        self.cut()

    def do_truncate(self, standin, request):
        reply = standin.reply_to(request)
        self.send(reply, reply.body[: len(reply.body) // 2], len(reply.body))
        self.close_connection = True

    def do_garbage(self, standin, request):
        self.send(standin.reply_to(request), b'\x00\xff{"]' * 20)

    def do_wrong_type(self, standin, request):
        self.send(Reply(LOGIN_PAGE, kind="text/html; charset=utf-8"))

    def do_status(self, standin, request, status, retry_after=None, headers=None, body=None, kind="application/json"):
        more = {**(headers or {}), **({"Retry-After": str(retry_after)} if retry_after is not None else {})}
        self.send(Reply(standin.error(status) if body is None else body, status, more, kind))

    def do_redirect(self, standin, request, to):
        self.send(Reply(None, 302, {"Location": to}))

    def log_message(self, *_):
        pass


class QuickServer(ThreadingHTTPServer):
    """A server whose threads end with it."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that hangs up is none of a test's business."""


class StandIn:
    """A foreign system as drivers see it; subclasses add routes, `error` in the vendor's shape, and state of their own."""

    def __init__(self):
        self.requests = []
        self.done = []
        self.faults = []
        self.over = threading.Event()
        self.guard = threading.Lock()
        self.table = [
            (*way, getattr(self, name)) for name in dir(type(self)) for way in getattr(getattr(type(self), name), "routes", ())
        ]

    def __enter__(self):
        self.server = QuickServer(("127.0.0.1", 0), Handler)
        self.server.standin = self
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        """Where it is, without a path."""
        return f"http://127.0.0.1:{self.port}"

    # Misbehaving.

    def fault(self, kind, /, on="", times=None, **options):
        """Misbehave from now on."""
        with self.guard:
            self.faults.append(Fault(kind, on, times, options))

    def recover(self):
        """Behave again."""
        with self.guard:
            self.faults.clear()

    def fault_for(self, request):
        """Return the Fault that holds for a request, or None."""
        with self.guard:
            for fault in self.faults:
                if re.search(fault.on, f"{request.method} {request.target}") and fault.seen != fault.times:
                    fault.seen += 1
                    return fault
        return None

    # Answering.

    def reply_to(self, request):
        """Return the Reply to a request."""
        try:
            self.admit(request)
            for method, pattern, handler in self.table:
                found = pattern.match(request.path)
                if found and method == request.method:
                    reply = handler(request, **{name: unquote(value or "") for name, value in found.groupdict().items()})
                    self.done.append(request)
                    return reply
            raise Reply(self.error(404), 404)
        except Reply as reply:
            return reply

    def admit(self, request):
        """Raise a Reply for a request whose credentials are not taken."""

    def error(self, status, message="Refused by the stand-in"):
        """Return an error's body in the vendor's shape."""
        return {"message": message}

    def asked(self, pattern):
        """Return the requests whose "METHOD /path?query" a pattern finds."""
        return those(self.requests, pattern)

    def did(self, pattern):
        """Return those of them that were carried out, whether or not their answer arrived."""
        return those(self.done, pattern)


def those(requests, pattern):
    """Return the requests whose "METHOD /path?query" a pattern finds."""
    return [made for made in list(requests) if re.search(pattern, f"{made.method} {made.target}")]
