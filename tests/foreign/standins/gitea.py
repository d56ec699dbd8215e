"""A stand-in for Gitea: a local HTTP server that answers as its API does, over a real git repository."""

import hashlib
import hmac
import json

from tests.controllers.servers import basic
from tests.foreign.standins.code_host import CodeHost, by_link, iso
from tests.foreign.standins.frame import Reply, route

R = r"/api/v1/repos/(?P<owner>[^/]+)/(?P<repo>[^/]+)"
TREE_PAGE = 2


class Gitea(CodeHost):
    """Its repositories are named owner/name."""

    def __init__(self, repository, name="acme/shop", **more):
        super().__init__(repository, name, **more)
        self.git_login = basic("x-token-auth", self.token)

    def error(self, status, message="Refused by the stand-in"):
        return {"message": message, "url": f"{self.url}/api/swagger"}

    def admit(self, request):
        if self.is_git(request) or request.path.endswith("/version"):
            return
        if request.login != f"token {self.token}":
            raise Reply(self.error(401, "invalid username, password or token"), 401)

    def check(self, owner, repo):
        if f"{owner}/{repo}" != self.name:
            raise Reply(self.error(404, "The target couldn't be found."), 404)

    def commit_json(self, commit):
        author = {"name": commit["author"], "email": commit["email"], "date": iso(commit["at"])}
        return {"sha": commit["id"], "commit": {"author": author, "message": commit["message"] + "\n"}}

    @route("GET", "/api/v1/version")
    def version(self, request):
        return Reply({"version": "1.22.3"})

    @route("GET", "/api/v1/user")
    def user(self, request):
        return Reply({"login": "deploy"})

    @route("GET", "/api/v1/user/repos")
    def repos(self, request):
        names = ["acme/attic", self.name, "acme/zoo"]
        found = [{"full_name": name, "html_url": f"{self.url}/{name}", "default_branch": "main"} for name in names]
        return by_link(self, request, found)

    @route("GET", R)
    def repo(self, request, owner, repo):
        self.check(owner, repo)
        return Reply({"full_name": self.name, "permissions": {"pull": True, "push": True}})

    @route("GET", R + "/branches")
    def branches(self, request, owner, repo):
        self.check(owner, repo)
        return by_link(self, request, [{"name": name, "commit": {"id": commit}} for name, _, commit in self.refs("heads")])

    @route("GET", R + "/tags")
    def tags(self, request, owner, repo):
        self.check(owner, repo)
        found = self.refs("tags")
        return by_link(self, request, [{"name": n, "id": made, "commit": {"sha": commit}} for n, made, commit in found])

    @route("GET", R + "/branches/(?P<name>.+)")
    def one_branch(self, request, owner, repo, name):
        self.check(owner, repo)
        return Reply({"name": name, "commit": {"id": self.ref("heads", name)[1]}})

    @route("GET", R + "/tags/(?P<name>.+)")
    def one_tag(self, request, owner, repo, name):
        self.check(owner, repo)
        made, commit = self.ref("tags", name)
        return Reply({"name": name, "id": made, "commit": {"sha": commit}})

    @route("GET", R + "/git/commits/(?P<rev>[0-9a-f]+)")
    def one_commit(self, request, owner, repo, rev):
        self.check(owner, repo)
        return Reply(self.commit_json(self.known(rev)))

    @route("GET", R + r"/compare/(?P<older>[^.]+)\.\.\.(?P<newer>[^.]+)")
    def compare(self, request, owner, repo, older, newer):
        self.check(owner, repo)
        commits = self.log(newer, f"^{older}", "--")
        return Reply({"total_commits": len(commits), "commits": list(map(self.commit_json, commits))})

    @route("GET", R + "/git/trees/(?P<rev>[0-9a-f]+)")
    def tree(self, request, owner, repo, rev):
        self.check(owner, repo)
        lines = self.git("ls-tree", "-r", "-t", rev).splitlines()
        entries = []
        for line in lines:
            mode, kind, rest = line.split(" ", 2)
            sha, path = rest.split("\t")
            entries.append({"path": path, "mode": mode, "type": kind, "sha": sha})
        start = (request.number("page", 1) - 1) * TREE_PAGE
        shown = entries[start : start + TREE_PAGE]
        return Reply({"tree": shown, "truncated": start + TREE_PAGE < len(entries), "total_count": len(entries)})

    @route("GET", R + "/commits/(?P<rev>[0-9a-f]+)/pull")
    def request_of(self, request, owner, repo, rev):
        for number, title, author, is_merged in self.pull_requests.get(rev, ()):
            link = f"{self.url}/pull-requests/{number}"
            more = {"html_url": link, "user": {"login": author}, "merged": is_merged}
            return Reply({"number": number, "title": title, **more})
        raise Reply(self.error(404), 404)

    @route("GET", R + "/commits/(?P<rev>[0-9a-f]+)/statuses")
    def list_statuses(self, request, owner, repo, rev):
        return by_link(self, request, self.statuses.get(rev, []))

    @route("POST", R + "/statuses/(?P<rev>[0-9a-f]+)")
    def keep_status(self, request, owner, repo, rev):
        self.check(owner, repo)
        status = request.json
        assert status["state"] in ("success", "failure", "error", "pending", "warning")
        known = self.statuses.setdefault(rev, [])
        known.append({**status, "status": status["state"], "id": len(known) + 1})
        return Reply(known[-1], 201)

    def judge(self, commit, key, state):
        """Have a build of somebody else say something of a commit."""
        known = self.statuses.setdefault(commit, [])
        known.append({"context": key, "status": state, "target_url": "", "id": len(known) + 1})

    def statuses_of(self, commit):
        """Return [(key, state, url, description)] of all statuses of a commit."""
        return [
            (item["context"], item["status"], item["target_url"], item["description"]) for item in self.statuses.get(commit, [])
        ]

    def push_hook(self, secret, changes):
        """Return (headers, body) of a push of one ref."""
        ((kind, name, commit),) = changes
        body = json.dumps(
            {
                "ref": f"refs/{'heads' if kind == 'branch' else 'tags'}/{name}",
                "before": "1" * 40,
                "after": commit or "0" * 40,
                "head_commit": {"id": commit} if commit else None,
                "pusher": {"login": "Jo"},
                "repository": {"full_name": self.name},
            }
        ).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return {"x-gitea-event": "push", "x-gitea-delivery": "delivery-1", "x-gitea-signature": signature}, body
