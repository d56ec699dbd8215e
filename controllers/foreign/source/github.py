"""Driver of GitHub and GitHub Enterprise Server, by its REST API: https://docs.github.com/en/rest"""

from urllib.parse import quote

from controllers.foreign import attempt, hooks, paging
from controllers.foreign.credentials import TOKEN, one_of
from controllers.foreign.http import Http
from controllers.foreign.source.base import BRANCH, FAILURE, PENDING, SUCCESS, TAG, Change, Ref, Repository, Status
from controllers.foreign.source.hosted import HostedSource, commit_made, request_made
from utils.stringkit import has

HOME, HOME_API = "https://github.com", "https://api.github.com"
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
STATES = {"success": SUCCESS, "failure": FAILURE, "error": FAILURE, "pending": PENDING}
CHECKS = {"success": SUCCESS, "neutral": SUCCESS, "skipped": SUCCESS}  # Every other conclusion is a failure.
KINDS = {"added": "added", "copied": "added", "removed": "removed"}
PAGE = 100


class GitHub(HostedSource):
    """GitHub: repositories are named owner/name."""

    name = "github"
    default_url = HOME
    api_path = "api/v3"
    git_user = "x-access-token"
    description_limit = 140
    Credentials = one_of(TOKEN)
    hook_setup = (
        "Repository settings > Webhooks: the URL and the secret above, content type application/json, events Pushes, "
        "Statuses and Check suites."
    )

    @property
    def http(self):
        """The API, with the headers that name its version."""
        if self._http is None:
            self._http = Http(self.access, self.api_url(), self.login(), HEADERS)
        return self._http

    def api_url(self):
        """The API of github.com has a host of its own."""
        return HOME_API if self.access.url.rstrip("/") == HOME else super().api_url()

    def r(self, repository):
        """Return the path of a repository in the API."""
        return f"repos/{super().r(repository)}"

    # Looking.

    def repositories(self, query=None):
        """Return the repositories the token may see."""
        for found in paging.by_link(self.http, "user/repos", {"per_page": PAGE}):
            if has(found["full_name"], query):
                yield Repository(found["full_name"], found["html_url"], found.get("default_branch"))

    def refs(self, repository, query=None):
        """Return branches, then tags, whose list has the commit where a tag's ref has the tag object."""
        for kind, path in ((BRANCH, "branches"), (TAG, "tags")):
            for found in paging.by_link(self.http, f"{self.r(repository)}/{path}", {"per_page": PAGE}):
                yield Ref(kind, found["name"], found["commit"]["sha"])

    def found(self, repository, kind, name):
        """Ask for the commit of a ref, which follows tag objects."""
        folder = {BRANCH: "heads/", TAG: "tags/", None: ""}[kind]
        found = self.maybe(f"{self.r(repository)}/commits/{folder}{quote(name, safe='/')}")
        return commit_of(found) if found else None

    def compared(self, repository, older, newer, page):
        """Return a page of a comparison: commits come oldest first, the files with the first page."""
        return self.http.get_json(f"{self.r(repository)}/compare/{older}...{newer}", {"per_page": PAGE, "page": page}, also=())

    def fetch_commits(self, repository, older, newer):
        """Return the commits between two, newest first: the last page is read first, 250 would be all without pages."""
        first = self.compared(repository, older, newer, 1)
        last = max(1, -(-first["total_commits"] // PAGE))
        if last > paging.MOST_PAGES:
            raise self.http.bad_answer("its list does not end")
        for page in range(last, 0, -1):
            found = first if page == 1 else self.compared(repository, older, newer, page)
            yield from map(commit_of, reversed(found["commits"]))

    def changed_files(self, repository, older, newer, most):
        """Return the files two commits have differently; the API lists no more than 300."""
        changes = []
        for found in self.compared(repository, older, newer, 1).get("files") or []:
            if found["status"] == "renamed":
                changes.append(Change(found["previous_filename"], "removed"))
            kind = "added" if found["status"] == "renamed" else KINDS.get(found["status"], "changed")
            changes.append(Change(found["filename"], kind))
        return sorted(changes, key=lambda change: change.path)[:most]

    def requests_with(self, repository, commit):
        """Return the merged pull requests a commit is in."""
        for found in paging.by_link(self.http, f"{self.r(repository)}/commits/{commit}/pulls", {"per_page": PAGE}):
            if found.get("merged_at"):
                yield request_made(found["number"], found["title"], found["html_url"], (found.get("user") or {}).get("login"))

    # Statuses.

    def statuses(self, repository, commit):
        """Return the statuses of a commit, newest first."""
        path = f"{self.r(repository)}/commits/{commit}/statuses"
        for found in paging.by_link(self.http, path, {"per_page": PAGE}):
            yield Status(
                found["context"],
                STATES.get(found["state"], PENDING),
                found.get("target_url") or "",
                found["context"],
                found.get("description") or "",
            )

    def verdicts(self, repository, commit):
        """Yield statuses and check runs: GitHub's own Actions only make the latter."""
        yield from super().verdicts(repository, commit)
        path = f"{self.r(repository)}/commits/{commit}/check-runs"
        for found in paging.by_link(self.http, path, {"per_page": PAGE}, items="check_runs"):
            is_over = found["status"] == "completed"
            yield f"check {found['name']}", CHECKS.get(found["conclusion"], FAILURE) if is_over else PENDING

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
        """Ask who we are, and which version answers."""
        versions = []
        checks = [attempt("login", lambda: self.own_name(versions), lambda name: f"The token works, as {name}.")]
        return (versions or [None])[0], checks

    def own_name(self, versions):
        """Return who the token belongs to. Raises ForeignError where it is not taken."""
        answer = self.http.get("user")
        if answer.headers.get("X-GitHub-Enterprise-Version"):
            versions.append(answer.headers["X-GitHub-Enterprise-Version"])
        scopes = answer.headers.get("X-OAuth-Scopes")
        return self.http.json_of(answer, dict).get("login", "somebody") + (f", with the scopes {scopes}" if scopes else "")

    def try_repository(self, repository):
        """Read a repository, and see whether statuses can be set."""
        may = self.http.get_json(self.r(repository)).get("permissions") or {}
        if not may.get("push"):
            return "It can be read; for statuses the token needs write access to it, or Commit statuses: write."
        return "It can be read and written, so statuses can be set."

    # Hooks.

    def is_ping(self, headers):
        """Say whether the hook was just made there."""
        return headers.get("x-github-event") == "ping"

    def verify_hook(self, headers, body, secret):
        """Check the HMAC of the body."""
        return hooks.is_signed(headers.get("x-hub-signature-256"), body, secret)

    def read_hook(self, headers, body):
        """Read a push, a status or the end of a check suite."""
        event = headers.get("x-github-event", "")
        payload = hooks.parsed(body)
        events = ()
        with hooks.reading():
            if event == "push":
                events = push_of(payload, (payload.get("pusher") or {}).get("name"))
            elif event == "status" and payload["state"] != "pending":
                state = STATES.get(payload["state"], FAILURE)
                events = build_of(payload, state, payload["context"], payload["sha"], payload.get("target_url"))
            elif event == "check_suite" and payload["action"] == "completed":
                suite = payload["check_suite"]
                state = CHECKS.get(suite["conclusion"], FAILURE)
                events = build_of(payload, state, (suite.get("app") or {}).get("name"), suite["head_sha"], suite.get("url"))
        return hooks.Hook(hooks.delivery_of(headers.get("x-github-delivery"), body), event, events)


def commit_of(found):
    """Return the Commit of GitHub's API, which Gitea has in common."""
    commit = found["commit"]
    author = commit.get("author") or {}
    return commit_made(found["sha"], author.get("name"), author["date"], commit["message"])


def push_of(payload, author):
    """Return the event of a push; Gitea's has the same shape. `after` of an annotated tag is the tag object."""
    ref = hooks.ref_of(payload["ref"])
    if ref is None:
        return ()
    is_gone = payload.get("deleted") or not payload["after"].strip("0")
    head = (payload.get("head_commit") or {}).get("id")
    commit = None if is_gone else head if ref[0] == hooks.TAG and head else payload["after"]
    return (hooks.Push(payload["repository"]["full_name"], *ref, commit, author),)


def build_of(payload, state, job, commit, url):
    """Return the event of a build that has ended."""
    return (hooks.BuildFinished(state, job, payload["repository"]["full_name"], commit, url),)
