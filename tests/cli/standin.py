"""A small stand-in of Windlass's API, version 1, served over real HTTP, whose faults a test can choose.

It holds its state in plain dicts, records every request, checks token, client version, idempotency keys and unknown
fields as the API promises to, and streams events with ``Last-Event-ID``. ``fail`` plans faults, ``scenario``
decides how a deploy goes. ``is_held_to_the_api`` is False where a test lets it say what the API never would.
"""

import collections
import json
import re
import socket
import struct
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests import contract, shapes
from tests.cli.resources import ROUTES, Refused, known, tag_of
from tests.cli.scenarios import succeed

TOKEN = "wl_0123456789abcdef"
Request = collections.namedtuple("Request", "method path query headers body")


ENDED = ("succeeded", "failed", "rolled_back", "cancelled")


class StandIn:
    """The state of the API, and the HTTP server that answers from it."""

    def __init__(self):
        self.requests, self.faults, self.answered, self.complaints = [], [], {}, []
        self.is_held_to_the_api = True
        self.desired, self.minimum = "0.1.0", "0.1.0"
        source = {"repository": "https://git.example.org/shop.git", "branch": "main"}
        self.applications = {"shop": shapes.application("shop", source=source)}
        self.releases = {"shop": [self.a_release("v2", "ready"), self.a_release("v1", "ready")]}
        self.hosts, self.targets, self.variables = {}, {}, {}
        self.environments = {name: shapes.environment(name, position) for position, name in ((1, "staging"), (2, "production"))}
        self.deploys, self.events, self.runs, self.release_events = {}, {}, {}, collections.defaultdict(list)
        self.commands, self.command_events = {}, {}
        self.status, self.changes = [], {}
        self.build_ends = "ready"
        self.scenario = succeed
        self.cuts = []
        self.changed = threading.Condition()
        self.over = False
        self._serve()

    # What tests arrange.

    def fail(self, method, path, times=1, **fault):
        """Plan a fault for the ``times`` requests: ``status``, ``body`` (bytes), ``kind``, ``headers``, ``cut``."""
        self.faults.append({"method": method, "path": path, "times": times, **fault})

    def sent(self, method, path):
        """Return the recorded requests of one method to one path below /api/v1."""
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    def add_event(self, number, kind, **more):
        """Append an event to a deploy and wake the streams up."""
        with self.changed:
            events = self.events[number]
            events.append(
                {
                    "number": len(events) + 1,
                    "at": f"2026-01-01T10:{len(events) // 60:02d}:{len(events) % 60:02d}.000Z",
                    "kind": kind,
                    **more,
                }
            )
            if kind == "deploy":
                self.deploys[number]["state"] = more["data"]["state"]
            self.changed.notify_all()

    def a_release(self, version, state, ref="main"):
        return shapes.release(version, state, ref=ref, size_bytes=1_400_000)

    def a_deploy(self, release, environment="production", state="queued", application="shop", **more):
        """Add a deploy and return it."""
        number = len(self.deploys) + 1
        self.deploys[number] = shapes.deploy(
            number,
            state,
            application=application,
            release=release,
            environment=environment,
            strategy={**shapes.ALL_AT_ONCE, "kind": "rolling"},
            progress=shapes.progress(2),
            started_at=None,
            ended_at=None,
            previous_release="v1",
            **more,
        )
        self.events[number] = []
        self.runs[number] = [
            shapes.host_run(name, "pending", 0, wave=wave, bytes_sent=0, started_at=None, ended_at=None)
            for wave, name in ((1, "web1"), (2, "web2"))
        ]
        return self.deploys[number]

    # The server.

    def _serve(self):
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                api._handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that goes away in the middle is what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self):
        """Stop serving; open streams end. Fails when an answer was none that the API gives. May be called twice."""
        with self.changed:
            was_over, self.over = self.over, True
            self.changed.notify_all()
        if was_over:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        assert not self.complaints or not self.is_held_to_the_api, self.complaints[:20]

    def _handle(self, http):
        split = urllib.parse.urlsplit(http.path)
        length = int(http.headers.get("Content-Length") or 0)
        text = http.rfile.read(length)
        path = split.path.removeprefix("/api/v1")
        query = dict(urllib.parse.parse_qsl(split.query))
        body = json.loads(text) if text else None
        request = Request(http.command, path, query, dict(http.headers), body)
        self.requests.append(request)
        fault = self._fault(request)
        if fault is not None:
            return self._break(http, fault)
        try:
            self._admit(request)
            if path.endswith("/stream"):
                is_command, number = path.startswith("/commands/"), int(path.split("/")[2])
                resource = known(self.commands if is_command else self.deploys, number, "deploy")
                events = (self.command_events if is_command else self.events)[number]
                return self._stream(http, path, resource, events, int(request.headers.get("Last-Event-ID") or 0))
            status, answer = self._once(request)
        except Refused as refused:
            return self._send(http, refused.status, refused.document, "application/problem+json", refused.headers)
        return self._send(http, status, answer, headers={"ETag": tag_of(answer)})

    def _fault(self, request):
        for fault in self.faults:
            if fault["times"] > 0 and (fault["method"], fault["path"]) == (request.method, request.path):
                fault["times"] -= 1
                return fault
        return None

    def _break(self, http, fault):
        if fault.get("after"):
            fault["after"]()
        if fault.get("do_it"):  # the request is carried out, only its answer is lost
            self._once(self.requests[-1])
        if fault.get("cut"):
            # A reset, as from a killed server, not an orderly end.
            http.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            http.close_connection = True
            return http.connection.close()
        body = fault.get("body", b"")
        http.send_response(fault.get("status", 200))
        for name, value in {"Content-Type": fault.get("kind", "text/html"), **fault.get("headers", {})}.items():
            http.send_header(name, value)
        http.send_header("Content-Length", str(len(body)))
        http.end_headers()
        return http.wfile.write(body)

    def _send(self, http, status, answer, kind="application/json", headers=None):
        body = b"" if answer is None else answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        kind = "text/plain" if isinstance(answer, str) else kind
        path = urllib.parse.urlsplit(http.path).path.removeprefix("/api/v1")
        self.complaints += contract.complaints(http.command, path, status, kind, body)
        http.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "X-Windlass-Client-Desired": self.desired,
            **(headers or {}),
        }.items():
            http.send_header(name, value)
        http.send_header("Content-Length", str(len(body)))
        http.end_headers()
        http.wfile.write(body)

    def _admit(self, request):
        version = [int(part) for part in request.headers["X-Windlass-Client"].split(".")]
        if version < [int(part) for part in self.minimum.split(".")]:
            raise Refused(
                400,
                "client-too-old",
                "This client is too old for the server.",
                minimum=self.minimum,
                desired=self.desired,
                upgrade=f"pip install --upgrade 'windlass-cli=={self.desired}'",
            )
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "unauthenticated", "Log in first.")

    def _once(self, request):
        """Carry a request out, a POST with the same key only once."""
        key = request.headers.get("Idempotency-Key")
        if request.method != "POST":
            return self._answer(request)
        if not key:
            raise Refused(400, "no-key", "The stand-in wants an Idempotency-Key on every POST.")
        if key not in self.answered:
            self.answered[key] = self._answer(request)
        return self.answered[key]

    def _stream(self, http, path, resource, events, after):
        http.send_response(200)
        http.send_header("Content-Type", "text/event-stream")
        http.send_header("Transfer-Encoding", "chunked")
        http.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        self._chunk(http, ": hello\n\n")
        while not self.over:
            with self.changed:
                ready = events[after:]
                if not ready and resource["state"] in ENDED:
                    return self._chunk(http, "")
                if not ready:
                    self.changed.wait(5)
                    continue
            for event in ready:
                after = event["number"]
                text = f"id: {after}\nevent: {event['kind']}\ndata: {json.dumps(event)}\n\n"
                self.complaints += contract.event_complaints(path, event)
                if cut == after:  # in the middle of this event
                    self._chunk(http, text[: len(text) // 2])
                    http.close_connection = True
                    return http.connection.shutdown(socket.SHUT_RDWR)
                self._chunk(http, text)
        return None

    def _chunk(self, http, text):
        data = text.encode()
        http.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        http.wfile.flush()

    # The resources.

    def _answer(self, request):
        for pattern, handle in ROUTES.items():
            found = re.fullmatch(pattern, f"{request.method} {request.path}")
            if found:
                return handle(self, request, *map(urllib.parse.unquote, found.groups()))
        raise Refused(404, "not-found", f"There is nothing at {request.path}.")
