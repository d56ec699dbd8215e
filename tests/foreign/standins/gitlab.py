"""A stand-in for GitLab: a local HTTP server that answers as its API does, over a real git repository."""

import json

from tests.controllers.servers import basic
from tests.foreign.standins.code_host import CodeHost, by_link, iso
from tests.foreign.standins.frame import Reply, route

R = r"/api/v4/projects/(?P<project>[^/]+)"
GOES_ON = ("pending", "running")


class GitLab(CodeHost):
    """Its repositories are named group/subgroup/name, which is one part of a path."""

    def __init__(self, repository, name="acme/web/shop", **more):
        super().__init__(repository, name, **more)
        self.git_login = basic("oauth2", self.token)

    def error(self, status, message="Refused by the stand-in"):
        return {"message": f"{status} {message}"}

    def admit(self, request):
        if not self.is_git(request) and request.headers.get("PRIVATE-TOKEN") != self.token:
            raise Reply(self.error(401, "Unauthorized"), 401)

    def check(self, project):
        if project != self.name:
            raise Reply(self.error(404, "Project Not Found"), 404)

    def commit_json(self, commit):
        return {
            "id": commit["id"],
            "author_name": commit["author"],
            "authored_date": iso(commit["at"]).replace("+00:00", ".000+00:00"),
            "message": commit["message"],
        }

    @route("GET", "/api/v4/version")
    def version(self, request):
        return Reply({"version": "17.5.0-ee"})

    @route("GET", "/api/v4/user")
    def user(self, request):
        return Reply({"username": "deploy"})

    @route("GET", "/api/v4/projects")
    def projects(self, request):
        names = ["acme/attic", self.name, "acme/zoo"]
        found = [
            {"path_with_namespace": name, "web_url": f"{self.url}/{name}", "default_branch": "main"}
            for name in names
            if request.query.get("search", "") in name
        ]
        return by_link(self, request, found)

    @route("GET", R)
    def project(self, request, project):
        self.check(project)
        return Reply({"path_with_namespace": project, "permissions": {"project_access": {"access_level": 30}}})

    @route("GET", R + "/repository/(?P<kind>branches|tags)")
    def list_refs(self, request, project, kind):
        self.check(project)
        found = self.refs("heads" if kind == "branches" else "tags")
        query = request.query.get("search", "")
        refs = [{"name": name, "target": made, "commit": {"id": commit}} for name, made, commit in found if query in name]
        return by_link(self, request, refs)

    @route("GET", R + "/repository/(?P<kind>branches|tags)/(?P<name>[^/]+)")
    def one_ref(self, request, project, kind, name):
        self.check(project)
        made, commit = self.ref("heads" if kind == "branches" else "tags", name)
        return Reply({"name": name, "target": made, "commit": self.commit_json(self.commit(commit))})

    @route("GET", R + "/repository/commits/(?P<rev>[^/]+)")
    def one_commit(self, request, project, rev):
        self.check(project)
        return Reply(self.commit_json(self.known(rev)))

    @route("GET", R + "/repository/commits")
    def commits(self, request, project):
        self.check(project)
        return by_link(self, request, map(self.commit_json, self.log(request.query["ref_name"], "--")))

    @route("GET", R + "/repository/compare")
    def compare(self, request, project):
        self.check(project)
        found = [
            {
                "old_path": old,
                "new_path": new,
                "new_file": letter == "A",
                "deleted_file": letter == "D",
                "renamed_file": letter == "R",
            }
            for letter, old, new in self.diff(request.query["from"], request.query["to"])
        ]
        return Reply({"diffs": found, "commits": []})

    @route("GET", R + "/repository/commits/(?P<rev>[0-9a-f]+)/merge_requests")
    def requests_of(self, request, project, rev):
        found = [
            {
                "iid": number,
                "title": title,
                "web_url": f"{self.url}/pull-requests/{number}",
                "author": {"name": author},
                "state": "merged" if is_merged else "opened",
            }
            for number, title, author, is_merged in self.pull_requests.get(rev, ())
        ]
        return by_link(self, request, found)

    @route("GET", R + "/repository/commits/(?P<rev>[0-9a-f]+)/statuses")
    def list_statuses(self, request, project, rev):
        return by_link(self, request, self.statuses.get(rev, {}).values())

    @route("POST", R + "/statuses/(?P<rev>[0-9a-f]+)")
    def keep_status(self, request, project, rev):
        """A status that goes on is not made to go on once more."""
        self.check(project)
        status, known = request.json, self.statuses.setdefault(rev, {})
        before = known.get(status["name"])
        assert status["state"] in (*GOES_ON, "success", "failed", "canceled")
        if before and before["status"] == status["state"] and status["state"] in GOES_ON:
            raise Reply({"message": "Cannot transition status via :run from :running"}, 400)
        self.number = getattr(self, "number", 0) + 1
        known[status["name"]] = {**status, "status": status["state"], "id": self.number}
        return Reply(known[status["name"]], 201)

    def judge(self, commit, key, state):
        """Have a build of somebody else say something of a commit."""
        state_name = {"success": "success", "failure": "failed", "pending": "running"}[state]
        self.number = getattr(self, "number", 0) + 1
        self.statuses.setdefault(commit, {})[key] = {
            "name": key,
            "status": state_name,
            "id": self.number,
            "target_url": None,
        }

    def statuses_of(self, commit):
        """Return [(key, state, url, description)] of all statuses of a commit."""
        words = {"success": "success", "failed": "failure", "running": "pending"}
        return [
            (item["name"], words[item["status"]], item["target_url"], item["description"])
            for item in self.statuses.get(commit, {}).values()
        ]

    def push_hook(self, secret, changes):
        """Return (headers, body) of a push of one ref; `after` of an annotated tag is the tag object."""
        ((kind, name, commit),) = changes
        event = "Push Hook" if kind == "branch" else "Tag Push Hook"
        after = commit
        if kind == "tag" and commit:
            after = {known: made for known, made, _ in self.refs("tags")}.get(name, commit)
        body = json.dumps(
            {
                "ref": f"refs/{'heads' if kind == 'branch' else 'tags'}/{name}",
                "before": "1" * 40,
                "after": after or "0" * 40,
                "checkout_sha": commit,
                "user_name": "Jo",
                "project": {"path_with_namespace": self.name},
            }
        ).encode()
        return {"x-gitlab-event": event, "x-gitlab-event-uuid": "delivery-1", "x-gitlab-token": secret}, body
