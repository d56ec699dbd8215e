"""A stand-in for GitHub Enterprise Server: a local HTTP server that answers as its API does, over a real git repository."""

import hashlib
import hmac
import json

from tests.controllers.servers import basic
from tests.foreign.standins.code_host import CodeHost, by_link, iso
from tests.foreign.standins.frame import Reply, route

R = r"/api/v3/repos/(?P<owner>[^/]+)/(?P<repo>[^/]+)"
LETTERS = {"A": "added", "M": "modified", "D": "removed", "R": "renamed"}
MOST_WITHOUT_PAGES = 250


class GitHub(CodeHost):
    """Its repositories are named owner/name; a tag's ref is the tag object, and the newest status of a context counts."""

    def __init__(self, repository, name="acme/shop", **more):
        super().__init__(repository, name, **more)
        self.git_login = basic("x-access-token", self.token)
        self.checks = {}

    def admit(self, request):
        if not self.is_git(request) and request.login != f"Bearer {self.token}":
            raise Reply(self.error(401, "Bad credentials"), 401)

    def check(self, owner, repo):
        if f"{owner}/{repo}" != self.name:
            raise Reply(self.error(404, "Not Found"), 404)

    def commit_json(self, commit):
        author = {"name": commit["author"], "email": commit["email"], "date": iso(commit["at"]).replace("+00:00", "Z")}
        return {"sha": commit["id"], "commit": {"author": author, "message": commit["message"]}, "parents": []}

    @route("GET", "/api/v3/user")
    def user(self, request):
        headers = {"X-GitHub-Enterprise-Version": "3.15.1", "X-OAuth-Scopes": "repo"}
        return Reply({"login": "deploy"}, headers=headers)

    @route("GET", "/api/v3/user/repos")
    def repos(self, request):
        names = ["acme/attic", self.name, "acme/zoo"]
        found = [{"full_name": name, "html_url": f"{self.url}/{name}", "default_branch": "main"} for name in names]
        return by_link(self, request, found)

    @route("GET", R)
    def repo(self, request, owner, repo):
        self.check(owner, repo)
        return Reply({"full_name": self.name, "permissions": {"pull": True, "push": True}})

    @route("GET", R + "/(?P<kind>branches|tags)")
    def list_refs(self, request, owner, repo, kind):
        self.check(owner, repo)
        found = self.refs("heads" if kind == "branches" else "tags")
        return by_link(self, request, [{"name": name, "commit": {"sha": commit}} for name, _, commit in found])

    @route("GET", R + "/commits/(?P<rev>(?:heads|tags)/.+|[0-9a-f]{7,40})")
    def one_commit(self, request, owner, repo, rev):
        self.check(owner, repo)
        if rev.partition("/")[0] in ("heads", "tags"):
            rev = f"refs/{rev}"
        if self.commit(rev) is None:
            raise Reply(self.error(422, f"No commit found for SHA: {rev}"), 422)
        return Reply(self.commit_json(self.commit(rev)))

    @route("GET", R + r"/compare/(?P<older>[^.]+)\.\.\.(?P<newer>[^.]+)")
    def compare(self, request, owner, repo, older, newer):
        """Commits come oldest first; without pages there are no more than 250, the files only with the first page."""
        self.check(owner, repo)
        commits = list(reversed(self.log(newer, f"^{older}", "--")))
        size, number = min(request.number("per_page", MOST_WITHOUT_PAGES), 100), request.number("page", 1)
        shown = commits[(number - 1) * size : number * size] if "page" in request.query else commits[:MOST_WITHOUT_PAGES]
        files = []
        for letter, old, new in self.diff(older, newer) if number == 1 else ():
            more = {"previous_filename": old} if letter == "R" else {}
            files.append({"filename": new, "status": LETTERS[letter], **more})
        return Reply({"total_commits": len(commits), "commits": list(map(self.commit_json, shown)), "files": files[:300]})

    @route("GET", R + "/commits/(?P<rev>[0-9a-f]+)/pulls")
    def requests_of(self, request, owner, repo, rev):
        found = [
            {
                "number": number,
                "title": title,
                "html_url": f"{self.url}/pull-requests/{number}",
                "user": {"login": author},
                "merged_at": iso(1) if is_merged else None,
            }
            for number, title, author, is_merged in self.pull_requests.get(rev, ())
        ]
        return by_link(self, request, found)

    @route("GET", R + "/commits/(?P<rev>[0-9a-f]+)/statuses")
    def list_statuses(self, request, owner, repo, rev):
        return by_link(self, request, reversed(self.statuses.get(rev, [])))

    @route("POST", R + "/statuses/(?P<rev>[0-9a-f]+)")
    def keep_status(self, request, owner, repo, rev):
        self.check(owner, repo)
        status = request.json
        if status["state"] not in ("success", "failure", "error", "pending") or len(status["description"]) > 140:
            raise Reply({"message": "Validation Failed", "errors": [{"resource": "Status", "code": "custom"}]}, 422)
        self.statuses.setdefault(rev, []).append(status)
        return Reply(status, 201)

    @route("GET", R + "/commits/(?P<rev>[0-9a-f]+)/check-runs")
    def check_runs(self, request, owner, repo, rev):
        return Reply({"total_count": len(self.checks.get(rev, [])), "check_runs": self.checks.get(rev, [])})

    def judge(self, commit, key, state):
        """Have a build of somebody else say something of a commit."""
        self.statuses.setdefault(commit, []).append({"context": key, "state": state, "target_url": None})

    def statuses_of(self, commit):
        """Return [(key, state, url, description)] of all statuses of a commit."""
        return [
            (item["context"], item["state"], item["target_url"], item["description"]) for item in self.statuses.get(commit, [])
        ]

    def push_hook(self, secret, changes):
        """Return (headers, body) of a push of one ref; `after` of a tag is the tag object's where it has one."""
        ((kind, name, commit),) = changes
        folder = "heads" if kind == "branch" else "tags"
        after = commit
        if kind == "tag" and commit:
            after = {known: made for known, made, _ in self.refs("tags")}.get(name, commit)
        body = json.dumps(
            {
                "ref": f"refs/{folder}/{name}",
                "before": "1" * 40,
                "after": after or "0" * 40,
                "deleted": commit is None,
                "head_commit": {"id": commit} if commit else None,
                "pusher": {"name": "Jo"},
                "repository": {"full_name": self.name},
            }
        ).encode()
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return {"x-github-event": "push", "x-github-delivery": "delivery-1", "x-hub-signature-256": signature}, body
