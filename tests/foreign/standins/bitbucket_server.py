"""A stand-in for Bitbucket Server and Data Center: a local HTTP server that answers as its API does, over real git."""

import hashlib
import hmac
import json

from tests.controllers.servers import basic
from tests.foreign.standins.code_host import CodeHost, chunks
from tests.foreign.standins.frame import Reply, route

R = r"/rest/api/1\.0/projects/(?P<project>[^/]+)/repos/(?P<slug>[^/]+)"
LARGEST_PAGE = 2
LETTERS = {"A": "ADD", "M": "MODIFY", "D": "DELETE", "R": "MOVE"}


class BitbucketServer(CodeHost):
    """Its repositories are named PROJECT/slug. Pages are never larger than its own limit."""

    clone_prefix = "scm/"

    def __init__(self, repository, name="ACME/shop", version="8.19.2", **more):
        super().__init__(repository, name, **more)
        self.version = version
        self.git_login = basic("x-token-auth", self.token)

    def error(self, status, message="Refused by the stand-in"):
        return {"errors": [{"context": None, "message": message, "exceptionName": "com.atlassian.bitbucket.NoSuch"}]}

    def admit(self, request):
        if self.is_git(request) or request.path.endswith("/application-properties"):
            return
        if request.login != f"Bearer {self.token}":
            raise Reply(self.error(401, "Authentication failed. Please check your credentials and try again."), 401)

    def check(self, project, slug):
        if f"{project}/{slug}" != self.name:
            raise Reply(self.error(404, f"Repository {project}/{slug} does not exist."), 404)

    def page(self, request, items):
        """Page by start: a page is short or empty and not the last, and its limit is the server's."""
        pages = chunks(items, LARGEST_PAGE)
        starts = [0]
        for page in pages[:-1]:
            starts.append(starts[-1] + max(len(page), 1))  # An empty page has passed over something one may not see.
        number = starts.index(request.number("start", 0))
        is_last = number == len(pages) - 1
        return Reply(
            {
                "values": pages[number],
                "size": len(pages[number]),
                "limit": LARGEST_PAGE,
                "start": starts[number],
                "isLastPage": is_last,
                "nextPageStart": None if is_last else starts[number + 1],
            }
        )

    def commit_json(self, commit):
        return {
            "id": commit["id"],
            "displayId": commit["id"][:11],
            "message": commit["message"],
            "author": {"name": commit["author"], "emailAddress": commit["email"]},
            "authorTimestamp": commit["at"] * 1000,
            "parents": [],
        }

    @route("GET", r"/rest/api/1\.0/application-properties")
    def properties(self, request):
        return Reply({"version": self.version, "displayName": "Bitbucket"})

    @route("GET", r"/rest/api/1\.0/repos")
    def repos(self, request):
        project, slug = self.name.split("/")
        names = ["attic", slug, "zoo"]
        found = [{"slug": name, "name": name, "project": {"key": project}} for name in names]
        reply = self.page(request, [item for item in found if request.query.get("name", "") in item["name"]])
        reply.headers["X-AUSERNAME"] = "deploy"
        return reply

    @route("GET", R)
    def repo(self, request, project, slug):
        self.check(project, slug)
        return Reply({"slug": slug, "project": {"key": project}})

    @route("GET", R + "/(?P<kind>branches|tags)")
    def list_refs(self, request, project, slug, kind):
        self.check(project, slug)
        folder = "heads" if kind == "branches" else "tags"
        found = [
            {
                "id": f"refs/{folder}/{name}",
                "displayId": name,
                "type": kind[:-1].upper(),
                "latestCommit": commit,
                "hash": made if made != commit else None,
            }
            for name, made, commit in self.refs(folder)
            if request.query.get("filterText", "") in name
        ]
        return self.page(request, found)

    @route("GET", R + "/commits")
    def commits(self, request, project, slug):
        self.check(project, slug)
        until, since = request.query.get("until", "HEAD"), request.query.get("since")
        self.known(until)
        return self.page(request, map(self.commit_json, self.log(until, *([f"^{since}"] if since else []), "--")))

    @route("GET", R + "/commits/(?P<rev>[0-9a-f]+)")
    def one_commit(self, request, project, slug, rev):
        self.check(project, slug)
        return Reply(self.commit_json(self.known(rev)))

    @route("GET", R + "/changes")
    def changes(self, request, project, slug):
        self.check(project, slug)
        found = []
        for letter, old, new in self.diff(request.query["since"], request.query["until"]):
            more = {"srcPath": {"toString": old}} if letter == "R" else {}
            found.append({"type": LETTERS[letter], "path": {"toString": new}, **more})
        return self.page(request, found)

    @route("GET", R + "/commits/(?P<rev>[0-9a-f]+)/pull-requests")
    def requests_of(self, request, project, slug, rev):
        found = [
            {
                "id": number,
                "title": title,
                "state": "MERGED" if is_merged else "OPEN",
                "author": {"user": {"name": "jo", "displayName": author}},
                "links": {"self": [{"href": f"{self.url}/pull-requests/{number}"}]},
            }
            for number, title, author, is_merged in self.pull_requests.get(rev, ())
        ]
        return self.page(request, found)

    # Statuses: one a key; the old path knows the commit alone, the new one the repository.

    @route("GET", "/rest/build-status/1.0/commits/(?P<rev>[0-9a-f]+)")
    def list_statuses(self, request, rev):
        return self.page(request, reversed(self.statuses.get(rev, {}).values()))

    @route("POST", "/rest/build-status/1.0/commits/(?P<rev>[0-9a-f]+)")
    def old_status(self, request, rev):
        return self.keep_status(request, rev)

    @route("GET", R + "/commits/(?P<rev>[0-9a-f]+)/builds")
    def one_status(self, request, project, slug, rev):
        self.check(project, slug)
        found = self.statuses.get(rev, {}).get(request.query["key"])
        if found is None or self.is_old:
            raise Reply(self.error(404), 404)
        return Reply(found)

    @route("POST", R + "/commits/(?P<rev>[0-9a-f]+)/builds")
    def new_status(self, request, project, slug, rev):
        self.check(project, slug)
        if self.is_old:
            raise Reply(self.error(404), 404)
        return self.keep_status(request, rev)

    @property
    def is_old(self):
        return tuple(map(int, self.version.split(".")[:2])) < (7, 4)

    def keep_status(self, request, rev):
        assert request.json["state"] in ("SUCCESSFUL", "FAILED", "INPROGRESS")
        known = self.statuses.setdefault(rev, {})
        known.pop(request.json["key"], None)
        known[request.json["key"]] = {**request.json, "dateAdded": 1}
        return Reply(None, 204)

    def judge(self, commit, key, state):
        """Have a build of somebody else say something of a commit."""
        state_name = {"success": "SUCCESSFUL", "failure": "FAILED", "pending": "INPROGRESS"}[state]
        self.statuses.setdefault(commit, {})[key] = {"key": key, "state": state_name, "url": "https://ci.example.net/1"}

    def statuses_of(self, commit):
        """Return [(key, state, url, description)] of all statuses of a commit."""
        words = {"SUCCESSFUL": "success", "FAILED": "failure", "INPROGRESS": "pending"}
        return [
            (item["key"], words[item["state"]], item["url"], item["description"])
            for item in self.statuses.get(commit, {}).values()
        ]

    # Hooks.

    def push_hook(self, secret, changes):
        """Return (headers, body) of a push; changes: [(kind, name, commit or None)]."""
        project, slug = self.name.split("/")
        body = json.dumps(
            {
                "eventKey": "repo:refs_changed",
                "actor": {"name": "jo", "displayName": "Jo"},
                "repository": {"slug": slug, "project": {"key": project}},
                "changes": [
                    {
                        "ref": {"id": f"refs/{kind}/{name}", "displayId": name, "type": kind.upper()},
                        "refId": name,
                        "fromHash": "1" * 40,
                        "toHash": commit or "0" * 40,
                        "type": "UPDATE" if commit else "DELETE",
                    }
                    for kind, name, commit in changes
                ],
            }
        ).encode()
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return {"x-event-key": "repo:refs_changed", "x-request-id": "delivery-1", "x-hub-signature": signature}, body
