"""A stand-in for the API with scripted data and scripted faults, behind the real pages and static files.

The data are plain dicts that a test changes while the browser looks on. A fault is put in for requests to come: a status
instead of an answer, a stream that is cut off in the middle or reset, an answer that never comes.
"""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from bottle import Bottle, HTTPResponse, request

import routes
from tests.browser import data
from tests.browser.standin_outside import Outside, Problem, named

TOKEN = "a-token-that-is-right"
COOKIE = "windlass"
HEARTBEAT_S = 2.0


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    query: dict
    body: object
    headers: dict


@dataclass
class World:
    """What the stand-in answers with."""

    me: dict = field(
        default_factory=lambda: {
            "name": "admin",
            "is_administrator": True,
            "permissions": ["read", "deploy", "configure"],
        }
    )
    environments: list = field(
        default_factory=lambda: [
            {"name": name, "position": place, "approvals": 0, "promote_from": None}
            for place, name in ((1, "staging"), (2, "production"))
        ]
    )
    zones: list = field(
        default_factory=lambda: [
            {"name": "default", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIwindlass windlass zone default"}
        ]
    )
    applications: list = field(default_factory=list)
    targets: dict = field(default_factory=dict)
    status: list = field(default_factory=list)
    releases: dict = field(default_factory=dict)
    choices: list = field(default_factory=list)
    hosts: list = field(default_factory=list)
    deploys: dict = field(default_factory=dict)
    runs: dict = field(default_factory=dict)
    plans: dict = field(default_factory=dict)
    commands: dict = field(default_factory=dict)
    freezes: list = field(default_factory=list)
    integrations: list = field(default_factory=list)
    hooks: list = field(default_factory=list)
    webhooks: list = field(default_factory=list)
    audit: list = field(default_factory=list)
    automations: list = field(default_factory=list)
    tokens: list = field(default_factory=list)
    variables: dict = field(default_factory=dict)
    changelog: dict = field(default_factory=data.changelog)
    deliveries: list = field(default_factory=list)
    key_shown: dict = field(
        default_factory=lambda: {
            "host_key": "ssh-ed25519 AAAAseen",
            "fingerprint": "SHA256:" + "s" * 43,
            "pinned": False,
        }
    )


def page_of(items, query):
    """Return a page of a list; its cursor is the number of items before the next page."""
    after, limit = int(query.get("after", 0)), int(query.get("limit", 50))
    end = after + limit
    return {"items": items[after:end], "next": str(end) if end < len(items) else None}


class StandIn(Outside):
    """The server. `world` is what it knows; `asked` are the requests that came; `sessions` who is signed in.

    `port` is the wished one; if it is taken, another one is used.
    """

    def __init__(self, port=0):
        self.world = World()
        self.asked = []
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
        """End every stream and the server."""
        self.is_stopping = True
        with self.changed:
            self.changed.notify_all()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

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
                events.append({"number": len(events) + 1, "at": data.at(), **item})
            self.changed.notify_all()

    def finish(self, number, state, *items):
        """Let a deploy end in a state: its row and its last events at once."""
        with self.changed:
            self.world.deploys[number].update(state=state, ended_at=data.at())
            self.publish(f"deploy-{number}", *items, data.deploy_event(state))

    def hint(self):
        """Tell the followers of all deploys that something has changed."""
        self.publish("deploys", data.deploy_event("running"))

    def fail(self, path, status=500, times=1, detail="It broke.", code="internal-error", method=None, errors=None):
        """Answer the next requests to a path with a problem."""
        self.faults.append(
            {"path": path, "times": times, "problem": Problem(status, detail, code, errors), "method": method}
        )

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
        """Answer one request: faults first, then who is asking, then what was asked for."""
        body = json.loads(request.body.read() or "null")
        query = dict(parse_qsl(request.query_string))
        asked = Asked(
            request.method, path, query, body, {name.lower(): value for name, value in request.headers.items()}
        )
        self.asked.append(asked)
        try:
            self.fault(asked)
            if path == "session" and asked.method == "POST":
                return self.start_session(body)
            csrf = self.identify(asked)
            if path == "stream" or path.endswith("/stream"):
                return self.stream(asked)
            return self.reply(asked, 200, self.find(asked, csrf))
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
            raise Problem(
                401, "This token is unknown, revoked or expired: make a new one and use that.", "token-invalid"
            )
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

    def get_status(self, asked, rest):
        """GET /status."""
        items = [item for item in self.world.status if asked.query.get("application") in (None, item["application"])]
        return {"items": items, "next": None, "environments": self.world.environments}

    def get_environments(self, asked, rest):
        """GET /environments and /environments/<name>."""
        found = self.world.environments
        return named(found, rest[0], "environment") if rest else {"items": found, "next": None}

    def patch_environments(self, asked, rest):
        """PATCH /environments/<name>."""
        found = named(self.world.environments, rest[0], "environment")
        found.update(asked.body)
        return found

    def delete_environments(self, asked, rest):
        """DELETE /environments/<name>."""
        self.world.environments.remove(named(self.world.environments, rest[0], "environment"))

    def post_environments(self, asked, rest):
        """POST /environments."""
        made = {"position": 9, "approvals": 0, "promote_from": None, **asked.body}
        self.world.environments.append(made)
        return made

    def get_zones(self, asked, rest):
        """GET /zones and /zones/<name>."""
        return named(self.world.zones, rest[0], "zone") if rest else {"items": self.world.zones, "next": None}

    def get_applications(self, asked, rest):
        """GET /applications and what is below it."""
        if not rest:
            return {"items": self.world.applications, "next": None}
        found = named(self.world.applications, rest[0], "application")
        if rest[3:4] == ["maintenance"]:
            return self.world.maintenance
        if rest[3:4] == ["automations"]:
            return {"items": self.world.automations, "next": None}
        if rest[3:4] == ["variables"]:
            return {"variables": self.world.variables, "updated_at": None}
        if rest[1:2] == ["targets"]:
            of_status = [
                data.target(item["environment"]) for item in self.world.status if item["application"] == rest[0]
            ]
            targets = self.world.targets.get(rest[0], of_status)
            return named(targets, rest[2], "target", "environment") if rest[2:] else {"items": targets, "next": None}
        if rest[1:2] == ["releases"]:
            return self.get_releases(asked, rest[0], rest[2:])
        if rest[1:2] in (["refs"], ["versions"]):
            wanted = asked.query.get("query", "")
            return {"items": [item for item in self.world.choices if wanted in str(item)], "next": None}
        return found

    def get_releases(self, asked, application, rest):
        """GET /applications/<name>/releases and what is below it."""
        releases = self.world.releases.get(application, [])
        if not rest:
            return {"items": releases, "next": None}
        if rest[1:] == ["events"]:
            return self.events(f"release-{application}-{rest[0]}", asked)
        return named(releases, rest[0], "release", "version")

    def post_applications(self, asked, rest):
        """POST /applications, /applications/<name>/releases and /applications/<name>/releases/<version>/cancel."""
        if rest[3:] == ["cancel"]:
            found = named(self.world.releases[rest[0]], rest[2], "release", "version")
            found.update(cancel_requested_by="admin", state="failed", error="cancelled by admin")
            return found
        if rest:
            made = data.release(f"v{13 + len(self.world.releases.get(rest[0], []))}", "building", **asked.body)
            self.world.releases.setdefault(rest[0], []).insert(0, made)
            return made
        made = data.application(**asked.body)
        self.world.applications.append(made)
        return made

    def put_applications(self, asked, rest):
        """PUT /applications/<name>/targets/<environment>, and maintenance below it."""
        if rest[3:4] == ["maintenance"]:
            return self.close(asked.body)
        if rest[3:4] == ["lock"]:
            lock = {"holder": "admin", "created_at": data.at(), "expires_at": None, "reason": asked.body["reason"]}
            self.world.status[0].update(lock=lock)
            return lock
        made = data.target(rest[2], **asked.body)
        targets = self.world.targets.setdefault(rest[0], [])
        if any(target["environment"] == rest[2] for target in targets):
            named(targets, rest[2], "target", "environment").update(made)
            return made
        targets.append(made)
        self.world.status.append(
            data.status(
                rest[0],
                rest[2],
                desired=None,
                observed=None,
                state="never",
                deploy=None,
                hosts=[],
                previous_release=None,
            )
        )
        return made

    def delete_applications(self, asked, rest):
        """DELETE /applications/<name>, a target of it, and that one's maintenance and lock."""
        if rest[1:] == []:
            self.world.applications.remove(named(self.world.applications, rest[0], "application"))
            return None
        if rest[3:] == []:
            targets = self.world.targets[rest[0]]
            targets.remove(named(targets, rest[2], "target", "environment"))
            return None
        if rest[3:4] == ["lock"]:
            self.world.status[0].update(lock=None)
            return None
        self.world.maintenance.update(enabled=False, hosts=[{**self.world.maintenance["hosts"][0], "state": "open"}])
        self.world.status[0].update(maintenance=None)
        return self.world.maintenance

    def close(self, body):
        """Put the one target into maintenance; its host follows later."""
        about = {"holder": "ada", "since": data.at(), **body}
        self.world.status[0].update(maintenance=about)
        host = {"host": "web1", "state": "failed", "message": "nobody answers there", "changed_at": None}
        self.world.maintenance = {"enabled": True, **about, "hosts": [host]}
        return self.world.maintenance

    def get_hosts(self, asked, rest):
        """GET /hosts and /hosts/<name>."""
        return named(self.world.hosts, rest[0], "host") if rest else {"items": self.world.hosts, "next": None}

    def post_hosts(self, asked, rest):
        """POST /hosts and the actions of a host."""
        if not rest:
            made = data.new_host(**asked.body)
            self.world.hosts.append(made)
            return made
        host = named(self.world.hosts, rest[0], "host")
        if rest[1] == "trust":
            if asked.body.get("preview"):
                return self.world.key_shown
            host.update(host_key=self.world.key_shown["host_key"], host_key_fingerprint=asked.body["fingerprint"])
        elif rest[1] == "maintenance":
            is_out = asked.body.get("enabled", True)
            host.update(
                maintenance_reason=asked.body.get("reason") if is_out else None,
                state="maintenance" if is_out else "ready",
            )
        else:
            host.update(state="ready", observed_at=data.at(), facts=data.host()["facts"], problems=[])
        return host

    def delete_hosts(self, asked, rest):
        """DELETE /hosts/<name>."""
        self.world.hosts.remove(named(self.world.hosts, rest[0], "host"))

    def get_deploys(self, asked, rest):
        """GET /deploys and what is below it."""
        if not rest:
            return self.list_deploys(asked.query)
        deploy = self.world.deploys.get(int(rest[0]))
        if deploy is None:
            raise Problem(404, f"There is no deploy {rest[0]}.", "not-found")
        if rest[1:] == ["hosts"]:
            return page_of(self.world.runs.get(deploy["id"], []), asked.query)
        if rest[1:] == ["events"]:
            return self.events(f"deploy-{rest[0]}", asked)
        if rest[1:] == ["changelog"]:
            return self.world.changelog
        if rest[1:] == ["deliveries"]:
            return {"items": self.world.deliveries, "next": None}
        return deploy

    def post_deliveries(self, asked, rest):
        """POST /deliveries/<number>/resend."""
        found = next(item for item in self.world.deliveries if item["id"] == int(rest[0]))
        found.update(state="waiting", attempts=0, error=None)
        return found

    def get_commands(self, asked, rest):
        """GET /commands and what is below it."""
        if not rest:
            found = sorted(self.world.commands.values(), key=lambda command: -command["id"])
            return {"items": found, "next": None}
        if int(rest[0]) not in self.world.commands:
            raise Problem(404, f"There is no command {rest[0]}.", "not-found")
        return self.events(f"command-{rest[0]}", asked) if rest[1:] else self.world.commands[int(rest[0])]

    def post_commands(self, asked, rest):
        """POST /commands and /commands/<number>/cancel."""
        if rest:
            self.world.commands[int(rest[0])].update(cancel_requested_by="admin")
            return self.world.commands[int(rest[0])]
        made = data.command(len(self.world.commands) + 1, "running", **asked.body)
        self.world.commands[made["id"]] = made
        return made

    def patch_applications(self, asked, rest):
        """PATCH /applications/<name>/targets/<environment>/variables."""
        for name, value in asked.body["variables"].items():
            if value is None:
                del self.world.variables[name]
            else:
                self.world.variables[name] = {"secret": True} if isinstance(value, dict) else value
        return {"variables": self.world.variables, "updated_at": None}

    def get_tokens(self, asked, rest):
        """GET /tokens."""
        return {"items": self.world.tokens, "next": None}

    def post_tokens(self, asked, rest):
        """POST /tokens."""
        self.world.tokens.append(data.token(len(self.world.tokens) + 1, asked.body["name"]))
        return {**self.world.tokens[-1], "secret": "wl_only-once"}

    def delete_tokens(self, asked, rest):
        """DELETE /tokens/<number>."""
        self.world.tokens = [token for token in self.world.tokens if token["id"] != int(rest[0])]

    def get_freezes(self, asked, rest):
        """GET /freezes."""
        return {"items": self.world.freezes, "next": None}

    def post_freezes(self, asked, rest):
        """POST /freezes."""
        self.world.freezes.append(data.freeze(**asked.body))
        return self.world.freezes[-1]

    def delete_freezes(self, asked, rest):
        """DELETE /freezes/<name>."""
        self.world.freezes = [freeze for freeze in self.world.freezes if freeze["name"] != rest[0]]

    def get_plans(self, asked, rest):
        """GET /plans/<number>."""
        if int(rest[0]) not in self.world.plans:
            raise Problem(404, "There is no such plan.", "not-found")
        return self.world.plans[int(rest[0])]

    def list_deploys(self, query):
        """GET /deploys."""
        limit, after = int(query.get("limit", 50)), int(query.get("after", 1 << 30))
        found = [
            deploy
            for number, deploy in sorted(self.world.deploys.items(), reverse=True)
            if number < after
            and all(query.get(name) in (None, deploy[name]) for name in ("application", "environment", "state"))
        ]
        return {"items": found[:limit], "next": str(found[limit - 1]["id"]) if len(found) > limit else None}

    def post_deploys(self, asked, rest):
        """POST /deploys and the actions of a deploy."""
        if not rest:
            made = data.deploy(max(self.world.deploys, default=0) + 1, "queued", **asked.body)
        elif rest[1] == "rollback":
            undone = self.world.deploys[int(rest[0])]
            made = data.deploy(
                max(self.world.deploys) + 1, "queued", release=undone["previous_release"], rollback_of=undone["id"]
            )
        elif rest[1] == "hosts":
            run = next(run for run in self.world.runs[int(rest[0])] if run["host"] == rest[2])
            run.update(state="pending" if rest[3] == "retry" else "skipped")
            return run
        else:
            made = self.world.deploys[int(rest[0])]
            changes = {
                "cancel": {"cancel_requested_by": "admin"},
                "pause": {"state": "paused"},
                "approve": {"state": "queued"},
            }
            made.update(changes.get(rest[1], {"state": "running", "ended_at": None}))
        self.world.deploys[made["id"]] = made
        return made

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
        return HTTPResponse(self.follow(topic, begin, cut), headers=headers)

    def follow(self, topic, after, cut):
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
