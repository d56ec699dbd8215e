"""A stand-in for Jenkins: its queue forgets, its crumbs belong to sessions, its logs come in odd pieces, its errors are HTML."""

import hashlib
import itertools
import re
from dataclasses import dataclass, field

from tests.controllers.servers import basic
from tests.foreign.standins.frame import Reply, StandIn, route

JOB = r"(?P<job>(?:/job/[^/]+)+)"
ROOT = "https://ci.example.net/jenkins/"  # What an administrator entered; nobody can reach it from here.
NEWEST = 100


@dataclass
class Build:
    """A build; tests write its log and its result."""

    job: str
    number: int
    item: "Item"
    log: bytes = b""
    result: str | None = None
    is_readable: bool = True
    files: dict = field(default_factory=dict)


@dataclass
class Item:
    """A place in the queue."""

    id: int
    job: str
    parameters: dict
    build: Build | None = None
    is_cancelled: bool = False
    is_forgotten: bool = False
    why: str | None = "Waiting for an executor"

    @property
    def actions(self):
        """What Jenkins tells of it, with an action that says nothing, as it has them."""
        return [{}, {"parameters": [{"name": name, "value": value} for name, value in self.parameters.items()]}]

    @property
    def has_left(self):
        return self.build is not None or self.is_cancelled


class Jenkins(StandIn):
    """Jobs `shop` and `team/shop` with parameters, `old` without, `off` disabled; logins: deploy with a token or a password."""

    token, password = "jenkins-t0ken", "jenkins-passw0rd"

    def __init__(self):
        super().__init__()
        own = ["WINDLASS_KEY", "WINDLASS_COMMIT", "WINDLASS_REF"]
        self.jobs = {"shop": own, "team/shop": own, "old": ["WINDLASS_COMMIT"], "off": own}
        self.items, self.builds = [], []
        self.sessions = itertools.count(1)
        self.storage = None
        self.is_guarded = True  # Whether it wants crumbs.

    # What tests do.

    def add(self, job, **parameters):
        """Put a build into the queue, as somebody else does; returns its Item."""
        self.items.append(Item(41 + len(self.items), job, parameters))
        return self.items[-1]

    def begin(self, item=None, **columns):
        """Let the newest item leave the queue; returns its Build."""
        item = item or self.items[-1]
        number = 1 + sum(build.job == item.job for build in self.builds)
        item.build = Build(item.job, number, item, **columns)
        self.builds.append(item.build)
        return item.build

    def page(self, title):
        return f"<html><head><title>{title}</title></head><body><h1>{title}</h1>secret page</body></html>".encode()

    def error(self, status, message="Refused by the stand-in"):
        return self.page(f"Error {status} {message}")

    def reply_to(self, request):
        """Answer as Jenkins does: its version in every header, errors as pages."""
        reply = super().reply_to(request)
        reply.headers = {"X-Jenkins": "2.504.1", **reply.headers}
        if reply.status >= 400:
            reply.kind = "text/html;charset=utf-8"
        return reply

    # Logins.

    def admit(self, request):
        if request.login == basic("deploy", self.token):
            return
        if request.login != basic("deploy", self.password):
            raise Reply(self.error(401, "Unauthorized"), 401, {"WWW-Authenticate": 'Basic realm="Jenkins"'})
        if self.is_guarded and request.method == "POST":
            given = request.headers.get("Jenkins-Crumb")
            if given is None or given != self.crumb_of(self.session_of(request)):
                raise Reply(self.error(403, "No valid crumb was included in the request"), 403)

    def session_of(self, request):
        found = re.search(r"JSESSIONID=(\d+)", request.headers.get("Cookie") or "")
        return found and found[1]

    def crumb_of(self, session):
        return session and hashlib.sha256(f"deploy {session}".encode()).hexdigest()

    @route("GET", "/crumbIssuer/api/json")
    def crumb(self, request):
        if not self.is_guarded:
            raise Reply(self.error(404), 404)
        session = self.session_of(request) or str(next(self.sessions))
        cookie = {"Set-Cookie": f"JSESSIONID={session}; Path=/; HttpOnly"}
        return Reply({"crumb": self.crumb_of(session), "crumbRequestField": "Jenkins-Crumb"}, headers=cookie)

    @route("GET", "/me/api/json")
    def me(self, request):
        return Reply({"_class": "hudson.model.User", "id": "deploy"})

    # Jobs and the queue.

    def job_of(self, path):
        name = "/".join(path.split("/job/")[1:])
        if name not in self.jobs:
            raise Reply(self.error(404), 404)
        return name

    @route("GET", JOB + "/api/json")
    def one_job(self, request, job):
        name = self.job_of(job)
        shown = [build for build in reversed(self.builds) if build.job == name and build.is_readable][:NEWEST]
        has_actions = "actions[parameters[name,value]]" in request.query.get("tree", "")
        builds = [
            {
                "number": build.number,
                "queueId": build.item.id,
                **({"actions": build.item.actions} if has_actions else {}),
            }
            for build in shown
        ]
        property_ = [{}, {"parameterDefinitions": [{"name": known} for known in self.jobs[name]]}]
        return Reply({"buildable": name != "off", "property": property_, "builds": builds})

    @route("POST", JOB + "/buildWithParameters")
    def trigger(self, request, job):
        name = self.job_of(job)
        if name == "off":
            raise Reply(self.error(409, "off is not buildable"), 409)
        given = {key: value for key, value in request.form.items() if key in self.jobs[name]}
        like = next((i for i in self.items if (i.job, i.parameters) == (name, given) and not i.has_left), None)
        if like:
            return Reply(None, 303, {"Location": f"{ROOT}queue/item/{like.id}/"})
        item = self.add(name, **given)
        return Reply(None, 201, {"Location": f"{ROOT}queue/item/{item.id}/"})

    @route("GET", "/queue/api/json")
    def queue(self, request):
        waiting = [item for item in self.items if not item.has_left]
        return Reply({"items": [{"id": item.id, "actions": item.actions} for item in waiting]})

    @route("GET", r"/queue/item/(?P<number>\d+)/api/json")
    def queue_item(self, request, number):
        item = next((item for item in self.items if item.id == int(number) and not item.is_forgotten), None)
        if item is None:
            raise Reply(self.error(404), 404)
        if not item.has_left:
            return Reply({"_class": "hudson.model.Queue$BuildableItem", "id": item.id, "why": item.why})
        left = {"_class": "hudson.model.Queue$LeftItem", "id": item.id, "why": None, "cancelled": item.is_cancelled}
        build = item.build
        place = build and {"number": build.number, "url": self.url_of(build)}
        return Reply({**left, **({"executable": place} if build else {})})

    @route("POST", "/queue/cancelItem")
    def cancel(self, request):
        item = next((item for item in self.items if item.id == request.number("id", 0)), None)
        if item is None or item.has_left:
            raise Reply(self.error(404), 404)
        item.is_cancelled = True
        return Reply(None, 204)

    # Builds.

    def url_of(self, build):
        return f"{ROOT}job/{build.job.replace('/', '/job/')}/{build.number}/"

    def build_at(self, job, number):
        for build in self.builds:
            if (build.job, build.number) == (self.job_of(job), int(number)) and build.is_readable:
                return build
        raise Reply(self.error(404), 404)

    @route("GET", JOB + r"/(?P<number>\d+)/api/json")
    def one_build(self, request, job, number):
        build = self.build_at(job, number)
        files = [{"relativePath": path} for path in build.files]
        build_json = {"building": build.result is None, "result": build.result, "url": self.url_of(build)}
        return Reply({**build_json, "queueId": build.item.id, "artifacts": files})

    @route("GET", JOB + r"/(?P<number>\d+)/logText/progressiveText")
    def log(self, request, job, number):
        build = self.build_at(job, number)
        start = request.number("start", 0)
        start = 0 if start > len(build.log) else start
        headers = {"X-Text-Size": str(len(build.log)), **({"X-More-Data": "true"} if build.result is None else {})}
        return Reply(build.log[start:].replace(b"\n", b"\r\n"), headers=headers, kind="text/plain;charset=utf-8")

    @route("GET", JOB + r"/(?P<number>\d+)/artifact/(?P<path>.+)")
    def artifact(self, request, job, number, path):
        build = self.build_at(job, number)
        if path not in build.files:
            raise Reply(self.error(404), 404)
        if self.storage:
            return Reply(None, 302, {"Location": self.storage.keep(build.files[path])})
        return Reply(build.files[path], kind="application/octet-stream")

    @route("POST", JOB + r"/(?P<number>\d+)/stop")
    def stop(self, request, job, number):
        build = self.build_at(job, number)
        build.result = build.result or "ABORTED"
        return Reply(None, 302, {"Location": self.url_of(build)})
