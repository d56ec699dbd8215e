"""Driver of GitLab, by its REST API 4: https://docs.gitlab.com/api/rest/"""

from urllib.parse import quote

from controllers.foreign import attempt, hooks, paging
from controllers.foreign.credentials import TOKEN, one_of
from controllers.foreign.source.base import BRANCH, FAILURE, PENDING, SUCCESS, TAG, Change, Ref, Repository, Status
from controllers.foreign.source.hosted import HostedSource, commit_made, request_made

PAGE = 100
STATES = {"success": SUCCESS, "failed": FAILURE, "canceled": FAILURE, "skipped": SUCCESS, "manual": SUCCESS}
FINAL_STATES = ("success", "failed", "canceled")
STATE_NAMES = {SUCCESS: "success", FAILURE: "failed", PENDING: "running"}
DEVELOPER = 30  # The access level that may set statuses.
NO_COMMIT = "0" * 40


class GitLab(HostedSource):
    """GitLab: repositories are named group/name, with subgroups in between."""

    name = "gitlab"
    default_url = "https://gitlab.com"
    api_path = "api/v4"
    git_user = "oauth2"
    deepest = 20
    Credentials = one_of(TOKEN)
    hook_setup = "Settings > Webhooks: the URL above, the secret as secret token, triggers Push, Tag push and Pipeline events."

    def login(self):
        """Personal, group and project access tokens have a header of their own."""
        token = self.access.credentials.get("token")
        return {"PRIVATE-TOKEN": token} if token else {}

    def name_in(self, path):
        """What a browser shows of a repository comes after /-/."""
        return path.partition("/-/")[0]

    def r(self, repository):
        """Return the path of a repository in the API, where its whole name is one part."""
        return f"projects/{quote(self.path_of(repository), safe='')}"

    # Looking.

    def repositories(self, query=None):
        """Return the repositories the token is a member of."""
        params = {"membership": "true", "simple": "true", "per_page": PAGE, **({"search": query} if query else {})}
        for found in paging.by_link(self.http, "projects", params):
            yield Repository(found["path_with_namespace"], found["web_url"], found.get("default_branch"))

    def refs(self, repository, query=None):
        """Return branches, then tags with their commits."""
        params = {"per_page": PAGE, **({"search": query} if query else {})}
        for kind, path in ((BRANCH, "branches"), (TAG, "tags")):
            for found in paging.by_link(self.http, f"{self.r(repository)}/repository/{path}", params):
                yield Ref(kind, found["name"], found["commit"]["id"])

    def found(self, repository, kind, name):
        """Ask for the very ref; a commit's path takes branches and tags alike."""
        folder = {BRANCH: "branches", TAG: "tags", None: "commits"}[kind]
        found = self.maybe(f"{self.r(repository)}/repository/{folder}/{quote(name, safe='')}")
        return commit_of(found["commit"] if kind else found) if found else None

    def fetch_commits(self, repository, older, newer):
        """Return the commits between two, newest first; a comparison has no pages, a list of a range has."""
        params = {"ref_name": f"{older}..{newer}", "per_page": PAGE}
        return map(commit_of, paging.by_link(self.http, f"{self.r(repository)}/repository/commits", params))

    def changed_files(self, repository, older, newer, most):
        """Return the files two commits have differently."""
        params = {"from": older, "to": newer, "straight": "true"}
        changes = []
        for found in self.http.get_json(f"{self.r(repository)}/repository/compare", params)["diffs"]:
            if found["renamed_file"]:
                changes += [Change(found["old_path"], "removed"), Change(found["new_path"], "added")]
            else:
                kind = "added" if found["new_file"] else "removed" if found["deleted_file"] else "changed"
                changes.append(Change(found["new_path"], kind))
        return sorted(changes, key=lambda change: change.path)[:most]

    def requests_with(self, repository, commit):
        """Return the merge requests that brought a commit."""
        path = f"{self.r(repository)}/repository/commits/{commit}/merge_requests"
        for found in paging.by_link(self.http, path, {"per_page": PAGE}):
            if found["state"] == "merged":
                yield request_made(found["iid"], found["title"], found["web_url"], (found.get("author") or {}).get("name"))

    # Statuses.

    def statuses(self, repository, commit):
        """Return the statuses of a commit: the newest of each name."""
        path = f"{self.r(repository)}/repository/commits/{commit}/statuses"
        found = list(paging.by_link(self.http, path, {"per_page": PAGE}))
        for status in sorted(found, key=lambda status: -status["id"]):
            yield Status(
                status["name"],
                STATES.get(status["status"], PENDING),
                status.get("target_url") or "",
                status["name"],
                status.get("description") or "",
            )

    def post_status(self, repository, commit, status):
        """Say a status. One that goes on cannot be made to go on once more: that is refused with 400."""
        body = {
            "state": STATE_NAMES[status.state],
            "name": status.key,
            "target_url": status.url,
            "description": status.description,
        }
        self.http.post_json(f"{self.r(repository)}/statuses/{commit}", body, shape=None)

    def web_url(self, repository, commit):
        """Return the page of a commit."""
        return f"{self.access.url.rstrip('/')}/{self.path_of(repository)}/-/commit/{commit}"

    # Trying it out.

    def try_login(self):
        """Ask for the version, which needs a login, and who we are."""
        versions = []
        checks = [attempt("login", lambda: self.own_name(versions), lambda name: f"The token works, as {name}.")]
        return (versions or [None])[0], checks

    def own_name(self, versions):
        """Return who the token belongs to. Raises ForeignError where it is not taken."""
        versions.append(self.http.get_json("version").get("version"))
        return self.http.get_json("user").get("username", "somebody")

    def try_repository(self, repository):
        """Read a repository, and see whether statuses can be set."""
        may = self.http.get_json(self.r(repository)).get("permissions") or {}
        level = max((access or {}).get("access_level", 0) for access in [*may.values(), None])
        if level < DEVELOPER:
            return "It can be read; for statuses the token needs the role Developer and the scope api."
        return "It can be read, and statuses can be set if the token has the scope api."

    # Hooks.

    def verify_hook(self, headers, body, secret):
        """Check the token: GitLab signs nothing."""
        return hooks.is_token(headers.get("x-gitlab-token"), secret)

    def read_hook(self, headers, body):
        """Read a push of a branch or a tag, or the end of a pipeline."""
        event = headers.get("x-gitlab-event", "")
        payload = hooks.parsed(body)
        events = ()
        with hooks.reading():
            if event in ("Push Hook", "Tag Push Hook") and (ref := hooks.ref_of(payload["ref"])):
                # `after` of an annotated tag is the tag object; `checkout_sha` is the commit.
                commit = None if payload["after"] == NO_COMMIT else payload.get("checkout_sha") or payload["after"]
                events = (hooks.Push(payload["project"]["path_with_namespace"], *ref, commit, payload.get("user_name")),)
            elif event == "Pipeline Hook" and payload["object_attributes"]["status"] in FINAL_STATES:
                pipeline = payload["object_attributes"]
                state = STATES[pipeline["status"]]
                name = payload["project"]["path_with_namespace"]
                events = (hooks.BuildFinished(state, "pipeline", name, pipeline["sha"], pipeline.get("url")),)
        named = headers.get("idempotency-key") or headers.get("x-gitlab-event-uuid")
        return hooks.Hook(hooks.delivery_of(named, body), event, events)


def commit_of(found):
    """Return the Commit of the API's."""
    return commit_made(found["id"], found["author_name"], found["authored_date"], found["message"])
