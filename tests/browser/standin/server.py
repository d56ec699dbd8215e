"""A stand-in for the API with scripted data and scripted faults, behind the real pages and static files.

The data are plain dicts that a test changes while the browser looks on. A fault is put in for requests to come: a status
instead of an answer, a stream that is cut off in the middle or reset, an answer that never comes.
"""

import hashlib
import json
import threading
from socketserver import ThreadingMixIn
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from bottle import Bottle, HTTPResponse, request

import routes
from tests import contract, shapes
from tests.browser.standin.access import Access
from tests.browser.standin.answers import Problem, named
from tests.browser.standin.applications import Applications
from tests.browser.standin.deploys import Deploys
from tests.browser.standin.hosts import Hosts
from tests.browser.standin.outside import Outside
from tests.browser.standin.world import Asked, World

TOKEN = "a-token-that-is-right"
COOKIE = "windlass"
HEARTBEAT_S = 2.0


class StandIn(Applications, Deploys, Hosts, Access, Outside):
    """The server. `world` is what it knows; `asked` are the requests that came; `sessions` who is signed in.

    `port` is the wished one; if it is taken, another one is used.
    """

    def __init__(self, port=0):
        self.world = World()
        self.asked = []
        self.complaints = []
        self.sessions = {}
        self.topics = {}
        self.faults = []
        self.cuts = []
        self.wrong_csrf = 0
        self.changed = threading.Condition()
        self.heartbeat_s = HEARTBEAT_S
        self.is_stopping = False
        app = Bottle()
        self.mount(app)
        routes.mount(app)
        self.server = listening(app, port)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def stop(self):
        """End every stream and the server; fail when an answer was none that the API gives."""
        self.is_stopping = True
        with self.changed:
            self.changed.notify_all()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        assert not self.complaints, self.complaints[:20]

    # What tests do.

    def sign_in(self):
        """Return a session's cookie, as after POST /session."""
        secret = hashlib.sha256(str(len(self.sessions)).encode()).hexdigest()
        self.sessions[secret] = f"csrf-{len(self.sessions)}"
        return {"name": COOKIE, "value": secret, "url": self.url}

    def publish(self, topic, *items):
        """Append events to a topic; they get number and time."""
        with self.changed:
            events = self.topics.setdefault(topic, [])
            for item in items:
                events.append({"number": len(events) + 1, "at": shapes.at(), **item})
            self.changed.notify_all()

    def finish(self, number, state, *items):
        """Let a deploy end in a state: its row and its last events at once."""
        with self.changed:
            self.world.deploys[number].update(state=state, ended_at=shapes.at())
            self.publish(f"deploy-{number}", *items, shapes.deploy_event(state))

    def hint(self):
        """Tell the followers of all deploys that something has changed."""
        self.publish("deploys", shapes.deploy_event("running"))

    def fail(self, path, status=500, times=1, detail="It broke.", code="internal-error", method=None, errors=None):
        """Answer the next requests to a path with a problem."""
        self.faults.append({"path": path, "times": times, "problem": Problem(status, detail, code, errors), "method": method})

    def cut(self, after, how="close"):
        """Cut the next stream of a deploy or build after so many events.

        `how` is "close", "break" (an error for the browser) or "garble" (half a message, then the end).
        """
        self.cuts.append((after, how))

    def asked_for(self, path, method=None):
        """Return the requests to a path."""
        return [one for one in list(self.asked) if one.path == path and method in (None, one.method)]

    # What it answers.

    def mount(self, app):
        """Add the routes."""
        app.route("/api/v1/<path:path>", ["GET", "POST", "PUT", "PATCH", "DELETE"], self.answer)

    def answer(self, path):
        """Answer one request, and hold the answer against openapi.json."""
        answer = self.answer_to(path)
        kind = answer.get_header("Content-Type")
        if kind != contract.STREAM:
            self.complaints += contract.complaints(request.method, f"/{path}", answer.status_code, kind, answer.body)
        return answer

    def answer_to(self, path):
        """Return the answer to one request: faults first, then who is asking, then what was asked for."""
        body = json.loads(request.body.read() or "null")
        query = dict(parse_qsl(request.query_string))
        asked = Asked(request.method, path, query, body, {name.lower(): value for name, value in request.headers.items()})
        self.asked.append(asked)
        try:
            self.fault(asked)
            if path == "session" and asked.method == "POST":
                return self.start_session(body)
            csrf = self.identify(asked)
            if path == "stream" or path.endswith("/stream"):
                return self.stream(asked)
            return self.reply(asked, contract.status_of_success(asked.method, f"/{path}"), self.find(asked, csrf))
        except Problem as problem:
            return self.json(problem.status, problem.body, "application/problem+json")

    def fault(self, asked):
        """Raise the problem that was put in for this request."""
        for fault in self.faults:
            if fault["path"] == asked.path and fault["times"] and fault["method"] in (None, asked.method):
                fault["times"] -= 1
                raise fault["problem"]

    def start_session(self, body):
        """POST /session."""
        if body.get("token") != TOKEN:
            raise Problem(401, "This token is unknown, revoked or expired: make a new one and use that.", "token-invalid")
        cookie = self.sign_in()
        answer = self.json(201, {**self.world.me, "csrf_token": self.sessions[cookie["value"]]})
        answer.set_cookie(COOKIE, cookie["value"], path="/", httponly=True, samesite="lax")
        return answer

    def identify(self, asked):
        """Return the session's CSRF token; refuse who is not signed in, and changes without the token."""
        csrf = self.sessions.get(request.get_cookie(COOKIE))
        if csrf is None:
            raise Problem(401, "This session has ended: log in again.", "session-ended")
        if asked.method != "GET" and asked.headers.get("x-csrf-token") != csrf:
            self.wrong_csrf += 1
            raise Problem(403, "Send the session's csrf_token.", "csrf-token-invalid")
        return csrf

    def find(self, asked, csrf):
        """Return what a path names, or do what a change asks for."""
        parts = asked.path.split("/")
        if parts == ["me"]:
            return {**self.world.me, "csrf_token": csrf}
        if parts == ["session"]:
            self.sessions.clear()
            return None
        handler = getattr(self, f"{asked.method.lower()}_{parts[0]}", None)
        if handler is None:
            raise Problem(404, f"There is no {asked.path}.", "not-found")
        return handler(asked, parts[1:])

    # How it answers.

    def events(self, topic, asked):
        """Return a page of a topic's events."""
        after, limit = int(asked.query.get("after", 0)), int(asked.query.get("limit", 200))
        found = [event for event in self.topics.get(topic, []) if event["number"] > after][:limit]
        return {"items": found, "next": found[-1]["number"] if len(found) == limit else None}

    def stream(self, asked):
        """Answer with a topic's events as they come, until the topic is over or the stream is cut."""
        if asked.path == "stream":
            topic, begin = "deploys", len(self.topics.get("deploys", []))
        else:
            kind, *names = asked.path.removesuffix("/stream").split("/")
            topic = f"release-{names[0]}-{names[2]}" if kind == "applications" else f"{kind[:-1]}-{names[0]}"
            begin = int(asked.headers.get("last-event-id") or 0)
        cut = self.cuts.pop(0) if self.cuts and topic != "deploys" else None
        headers = {"Content-Type": "text/event-stream"}
        if cut and cut[1] == "break":  # A length that is never reached makes the end an error for the browser.
            headers["Content-Length"] = "1000000000"
        return HTTPResponse(self.follow(asked.path, topic, begin, cut), headers=headers)

    def follow(self, path, topic, after, cut):
        """Yield a topic's events as server-sent events."""
        yield b": open\n\n"
        sent = 0
        while not self.is_stopping:
            with self.changed:
                events = self.topics.get(topic, [])[after:]
                if not events and not self.changed.wait(self.heartbeat_s):
                    events = [None]
            for event in events:
                if event is None:
                    yield b":\n\n"
                    continue
                self.complaints += contract.event_complaints(f"/{path}", event)
                message = f"id: {event['number']}\nevent: {event['kind']}\ndata: {json.dumps(event)}\n\n".encode()
                if cut and sent == cut[0]:
                    if cut[1] == "garble":
                        yield message[: len(message) // 2]
                    return
                yield message
                after, sent = event["number"], sent + 1
            if self.is_over(topic):
                return

    def is_over(self, topic):
        """Say whether nothing more will come."""
        kind, _, rest = topic.partition("-")
        if kind == "deploy":
            return self.world.deploys[int(rest)]["state"] in ("succeeded", "failed", "rolled_back", "cancelled")
        if kind == "command":
            return self.world.commands[int(rest)]["state"] != "running"
        if kind == "release":
            application, _, version = rest.rpartition("-")
            return named(self.world.releases[application], version, "release", "version")["state"] != "building"
        return False

    def reply(self, asked, status, value):
        """Answer with JSON and an ETag, or 304."""
        if value is None:
            return HTTPResponse(status=204)
        answer = self.json(status, value)
        if asked.method == "GET":
            etag = f'"{hashlib.sha256(answer.body).hexdigest()[:16]}"'
            if asked.headers.get("if-none-match") == etag:
                return HTTPResponse(status=304, headers={"ETag": etag})
            answer.set_header("ETag", etag)
        return answer

    def json(self, status, value, content_type="application/json"):
        """Return a JSON response."""
        return HTTPResponse(
            json.dumps(value).encode(),
            status=status,
            headers={"Content-Type": content_type, "Cache-Control": "no-store"},
        )


def listening(app, port):
    """Return a server on a port, or on any free one when that is taken."""
    try:
        return make_server("127.0.0.1", port, app, server_class=ThreadingServer, handler_class=Handler)
    except OSError:
        return make_server("127.0.0.1", 0, app, server_class=ThreadingServer, handler_class=Handler)


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A thread a request, so that streams do not stand in the way."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


class Handler(WSGIRequestHandler):
    """Says nothing on stderr."""

    def log_message(self, *_):
        pass
