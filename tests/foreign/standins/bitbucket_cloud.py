"""A stand-in for Bitbucket Cloud: a local HTTP server that answers as its API does, over a real git repository."""

import hashlib
import hmac
import json

from tests.controllers.servers import basic
from tests.foreign.standins.code_host import CodeHost, chunks, iso
from tests.foreign.standins.frame import Reply, route

R = r"/2\.0/repositories/(?P<workspace>[^/]+)/(?P<slug>[^/]+)"
LETTERS = {"A": "added", "M": "modified", "D": "removed", "R": "renamed"}
WORDS = {"SUCCESSFUL": "success", "FAILED": "failure", "INPROGRESS": "pending", "STOPPED": "failure"}
LONGEST_KEY = 40


class BitbucketCloud(CodeHost):
    """Its repositories are named workspace/slug; the next page is an opaque URL."""

    def __init__(self, repository, name="acme/shop", email=None, **more):
        super().__init__(repository, name, **more)
        self.login = basic(email, self.token) if email else f"Bearer {self.token}"
        self.git_login = basic("x-bitbucket-api-token-auth" if email else "x-token-auth", self.token)

    def error(self, status, message="Refused by the stand-in"):
        return {"type": "error", "error": {"message": message}}

    def admit(self, request):
        if not self.is_git(request) and request.login != self.login:
            raise Reply(b"Token is invalid or not supported for this endpoint.", 401, kind="text/plain")

    def check(self, workspace, slug):
        if f"{workspace}/{slug}" != self.name:
            raise Reply(self.error(404, f"Repository {workspace}/{slug} not found"), 404)

    def page(self, request, items):
        if request.query.get("page") == "1" and "/commits/" in request.path:
            raise Reply(self.error(400, "Invalid page"), 400)
        pages = chunks(items)
        number = int((request.query.get("ctx") or "p0")[1:])
        body = {"values": pages[number], "pagelen": 2}
        if number + 1 < len(pages):
            rest = "&".join(f"{name}={value}" for name, value in request.query.items() if name != "ctx")
            body["next"] = f"{self.url}{request.path}?{rest}&ctx=p{number + 1}"
        return Reply(body)

    def commit_json(self, commit):
        return {
            "type": "commit",
            "hash": commit["id"],
            "date": iso(commit["at"]),
            "message": commit["message"],
            "author": {"raw": f"{commit['author']} <{commit['email']}>"},
            "parents": [],
        }

    @route("GET", r"/2\.0/user")
    def user(self, request):
        return Reply({"display_name": "Deploy", "username": "deploy"})

    @route("GET", r"/2\.0/repositories")
    def repos(self, request):
        assert request.query["role"] == "member"
        names = ["acme/attic", self.name, "acme/zoo"]
        query = request.query.get("q", 'name ~ ""').split('"')[1]
        return self.page(request, [{"full_name": name, "mainbranch": {"name": "main"}} for name in names if query in name])

    @route("GET", R)
    def repo(self, request, workspace, slug):
        self.check(workspace, slug)
        return Reply({"full_name": self.name, "mainbranch": {"name": "main"}})

    def ref_json(self, name, commit):
        return {"name": name, "target": {"hash": commit, "date": iso(self.commit(commit)["at"])}}

    @route("GET", R + "/refs/(?P<kind>branches|tags)")
    def list_refs(self, request, workspace, slug, kind):
        self.check(workspace, slug)
        folder = "heads" if kind == "branches" else "tags"
        query = request.query.get("q", 'name ~ ""').split('"')[1]
        found = [(name, commit) for name, _, commit in self.refs(folder) if query in name]
        return self.page(request, [self.ref_json(name, commit) for name, commit in found])

    @route("GET", R + "/refs/(?P<kind>branches|tags)/(?P<name>.+)")
    def one_ref(self, request, workspace, slug, kind, name):
        self.check(workspace, slug)
        return Reply(self.ref_json(name, self.ref("heads" if kind == "branches" else "tags", name)[1]))

    @route("GET", R + "/commit/(?P<rev>[0-9a-f]+)")
    def one_commit(self, request, workspace, slug, rev):
        self.check(workspace, slug)
        return Reply(self.commit_json(self.known(rev)))

    @route("GET", R + "/commits/(?P<rev>[0-9a-f]+)")
    def commits(self, request, workspace, slug, rev):
        self.check(workspace, slug)
        older = request.query.get("exclude")
        return self.page(request, map(self.commit_json, self.log(rev, *([f"^{older}"] if older else []), "--")))

    @route("GET", R + r"/diffstat/(?P<newer>[0-9a-f]+)\.\.(?P<older>[0-9a-f]+)")
    def diffstat(self, request, workspace, slug, newer, older):
        """A..B is what A has over B, the reverse of git's; unless asked otherwise, what merging A into B would change."""
        if request.query.get("merge") != "false":
            older = self.git("merge-base", older, newer)
        found = []
        for letter, old, new in self.diff(older, newer):
            paths = {"old": None if letter == "A" else {"path": old}, "new": None if letter == "D" else {"path": new}}
            found.append({"status": LETTERS[letter], **paths})
        return self.page(request, found)

    @route("GET", R + "/commit/(?P<rev>[0-9a-f]+)/pullrequests")
    def requests_of(self, request, workspace, slug, rev):
        known = self.pull_requests.get(rev, ())
        return self.page(request, [{"type": "pullrequest", "id": number, "title": title} for number, title, *_ in known])

    @route("GET", R + r"/pullrequests/(?P<number>\d+)")
    def one_request(self, request, workspace, slug, number):
        for known in self.pull_requests.values():
            for number_, title, author, is_merged in known:
                if str(number_) == number:
                    return Reply(
                        {
                            "id": number_,
                            "title": title,
                            "state": "MERGED" if is_merged else "OPEN",
                            "author": {"display_name": author},
                            "links": {"html": {"href": f"{self.url}/pull-requests/{number}"}},
                        }
                    )
        raise Reply(self.error(404), 404)

    @route("GET", R + "/commit/(?P<rev>[0-9a-f]+)/statuses")
    def list_statuses(self, request, workspace, slug, rev):
        return self.page(request, self.statuses.get(rev, {}).values())

    @route("GET", R + "/commit/(?P<rev>[0-9a-f]+)/statuses/build/(?P<key>.+)")
    def one_status(self, request, workspace, slug, rev, key):
        if key not in self.statuses.get(rev, {}):
            raise Reply(self.error(404), 404)
        return Reply(self.statuses[rev][key])

    @route("POST", R + "/commit/(?P<rev>[0-9a-f]+)/statuses/build")
    def keep_status(self, request, workspace, slug, rev):
        self.check(workspace, slug)
        status = request.json
        if len(status["key"]) > LONGEST_KEY or status["state"] not in WORDS:
            raise Reply(self.error(400, "Bad status"), 400)
        self.statuses.setdefault(rev, {})[status["key"]] = status
        return Reply(status, 201)

    def judge(self, commit, key, state):
        """Have a build of somebody else say something of a commit."""
        state_name = {word: name for name, word in reversed(WORDS.items())}[state]
        self.statuses.setdefault(commit, {})[key] = {"key": key, "state": state_name, "url": "https://ci.example.net/1"}

    def statuses_of(self, commit):
        """Return [(key, state, url, description)] of all statuses of a commit."""
        return [
            (item["key"], WORDS[item["state"]], item["url"], item["description"])
            for item in self.statuses.get(commit, {}).values()
        ]

    def push_hook(self, secret, changes):
        """Return (headers, body) of a push; changes: [(kind, name, commit or None)]."""
        moves = []
        for kind, name, commit in changes:
            ref = {"type": kind, "name": name, "target": {"hash": commit or "1" * 40}}
            moves.append({"new": ref if commit else None, "old": ref, "closed": commit is None})
        body = json.dumps(
            {
                "actor": {"display_name": "Jo"},
                "repository": {"full_name": self.name},
                "push": {"changes": moves},
            }
        ).encode()
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"x-event-key": "repo:push", "x-request-uuid": "delivery-1", "x-hub-signature": signature}
        return {**headers, "x-hook-uuid": "hook-1", "x-attempt-number": "1"}, body
