"""Driver of Gitea and Forgejo, by their REST API 1: https://docs.gitea.com/api/"""

from urllib.parse import quote

from controllers.foreign import attempt, hooks, paging
from controllers.foreign.credentials import TOKEN, one_of
from controllers.foreign.source.base import BRANCH, FAILURE, PENDING, SUCCESS, TAG, Change, Ref, Repository, Status
from controllers.foreign.source.github import build_of, commit_of, push_of
from controllers.foreign.source.hosted import HostedSource, request_made
from utils.stringkit import has

PAGE = 50  # Gitea's own upper limit, unless it was raised.
STATES = {"success": SUCCESS, "failure": FAILURE, "error": FAILURE, "warning": SUCCESS, "pending": PENDING}


class Gitea(HostedSource):
    """Gitea and Forgejo: repositories are named owner/name."""

    name = "gitea"
    api_path = "api/v1"
    Credentials = one_of(TOKEN)
    hook_setup = (
        "Settings > Webhooks > Gitea: the URL and the secret above, method POST, content type application/json, "
        "trigger Push events."
    )

    def login(self):
        """Gitea's own scheme works with every version."""
        token = self.access.credentials.get("token")
        return {"Authorization": f"token {token}"} if token else {}

    def r(self, repository):
        """Return the path of a repository in the API."""
        return f"repos/{super().r(repository)}"

    # Looking.

    def repositories(self, query=None):
        """Return the repositories the token's owner has access to."""
        for found in paging.by_link(self.http, "user/repos", {"limit": PAGE}):
            if has(found["full_name"], query):
                yield Repository(found["full_name"], found["html_url"], found.get("default_branch"))

    def refs(self, repository, query=None):
        """Return branches, then tags with their commits."""
        for found in paging.by_link(self.http, f"{self.r(repository)}/branches", {"limit": PAGE}):
            yield Ref(BRANCH, found["name"], found["commit"]["id"])
        for found in paging.by_link(self.http, f"{self.r(repository)}/tags", {"limit": PAGE}):
            yield Ref(TAG, found["name"], found["commit"]["sha"])

    def found(self, repository, kind, name):
        """Ask for the very ref, then for its commit."""
        if kind is not None:
            folder, member = ("branches", "id") if kind == BRANCH else ("tags", "sha")
            ref = self.maybe(f"{self.r(repository)}/{folder}/{quote(name, safe='/')}")
            return self.found(repository, None, ref["commit"][member]) if ref else None
        found = self.maybe(f"{self.r(repository)}/git/commits/{name}", {"stat": "false", "files": "false"})
        return commit_of(found) if found else None

    def fetch_commits(self, repository, older, newer):
        """Return the commits between two, newest first; the comparison has all of them at once."""
        found = self.http.get_json(f"{self.r(repository)}/compare/{older}...{newer}")
        return map(commit_of, found.get("commits") or [])

    def changed_files(self, repository, older, newer, most):
        """Return the files two commits have differently, from their trees: a comparison does not list them."""
        before, after = self.tree(repository, older), self.tree(repository, newer)
        kinds = {
            path: "added" if path not in before else "removed" if path not in after else "changed"
            for path in before.keys() | after.keys()
            if before.get(path) != after.get(path)
        }
        return [Change(path, kinds[path]) for path in sorted(kinds)][:most]

    def tree(self, repository, commit):
        """Return {path: (mode, blob)} of a commit's files."""
        files, page = {}, 1
        while True:
            params = {"recursive": "true", "per_page": 1000, "page": page}
            found = self.http.get_json(f"{self.r(repository)}/git/trees/{commit}", params)
            entries = found.get("tree") or []
            files.update({entry["path"]: (entry["mode"], entry["sha"]) for entry in entries if entry["type"] == "blob"})
            if not found.get("truncated") or page >= paging.MOST_PAGES:
                return files
            page += 1

    def requests_with(self, repository, commit):
        """Return the merged pull request that brought a commit."""
        found = self.maybe(f"{self.r(repository)}/commits/{commit}/pull")
        if found and found.get("merged"):
            yield request_made(found["number"], found["title"], found["html_url"], (found.get("user") or {}).get("login"))

    # Statuses.

    def statuses(self, repository, commit):
        """Return the statuses of a commit, newest first."""
        path = f"{self.r(repository)}/commits/{commit}/statuses"
        found = list(paging.by_link(self.http, path, {"limit": PAGE}))
        for status in sorted(found, key=lambda status: -status["id"]):
            yield Status(
                status["context"],
                STATES.get(status["status"], PENDING),
                status.get("target_url") or "",
                status["context"],
                status.get("description") or "",
            )

    def post_status(self, repository, commit, status):
        """Say a status; the newest of a context counts."""
        body = {
            "state": status.state,
            "target_url": status.url,
            "description": status.description,
            "context": status.key,
        }
        self.http.post_json(f"{self.r(repository)}/statuses/{commit}", body, shape=None)

    def web_url(self, repository, commit):
        """Return the page of a commit."""
        return f"{self.access.url.rstrip('/')}/{self.path_of(repository)}/commit/{commit}"

    # Trying it out.

    def try_login(self):
        """Ask for the version, and who we are."""
        versions = []
        checks = [
            attempt("server", lambda: versions.append(self.http.get_json("version").get("version")), lambda _: "It answers."),
            attempt("login", self.own_name, lambda name: f"The token works, as {name}."),
        ]
        return (versions or [None])[0], checks

    def own_name(self):
        """Return who the token belongs to. Raises ForeignError where it is not taken."""
        return self.http.get_json("user").get("login", "somebody")

    def try_repository(self, repository):
        """Read a repository, and see whether statuses can be set."""
        may = self.http.get_json(self.r(repository)).get("permissions") or {}
        if not may.get("push"):
            return "It can be read; for statuses the token's owner needs write access to it."
        return "It can be read and written, so statuses can be set."

    # Hooks.

    def verify_hook(self, headers, body, secret):
        """Check the HMAC of the body, which stands alone in its header."""
        return hooks.is_signed(headers.get("x-gitea-signature"), body, secret, prefix="")

    def read_hook(self, headers, body):
        """Read a push or a status."""
        event = headers.get("x-gitea-event", "")
        payload = hooks.parsed(body)
        events = ()
        with hooks.reading():
            if event == "push":
                events = push_of(payload, (payload.get("pusher") or {}).get("login"))
            elif event == "status" and payload["state"] != "pending":
                state = STATES.get(payload["state"], FAILURE)
                events = build_of(payload, state, payload["context"], payload["sha"], payload.get("target_url"))
        return hooks.Hook(hooks.delivery_of(headers.get("x-gitea-delivery"), body), event, events)
