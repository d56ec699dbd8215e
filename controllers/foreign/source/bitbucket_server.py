"""Driver of Bitbucket Server and Data Center (formerly Stash), by its REST API 1.0.

https://developer.atlassian.com/server/bitbucket/rest/
"""

import re
from urllib.parse import quote

from controllers.foreign import attempt, hooks, paging
from controllers.foreign.credentials import BASIC, TOKEN, USER_TOKEN, bearer, one_of
from controllers.foreign.credentials import basic as basic_header
from controllers.foreign.source.base import BRANCH, FAILURE, PENDING, SUCCESS, TAG, Change, Ref, Repository, Status
from controllers.foreign.source.hosted import HostedSource, commit_made, request_made

STATES = {"SUCCESSFUL": SUCCESS, "FAILED": FAILURE, "CANCELLED": FAILURE, "INPROGRESS": PENDING, "UNKNOWN": PENDING}
STATE_NAMES = {SUCCESS: "SUCCESSFUL", FAILURE: "FAILED", PENDING: "INPROGRESS"}
BOUND_STATUSES = (7, 4)  # From this version on a status belongs to a repository and not to a commit wherever it is.
CHANGES = {"ADD": "added", "COPY": "added", "DELETE": "removed"}
NO_COMMIT = "0" * 40


class BitbucketServer(HostedSource):
    """Bitbucket Server and Data Center (Stash): repositories are named PROJECT/slug, or ~user/slug."""

    name = "bitbucket-server"
    api_path = "rest"
    clone_path = "scm/{repository}.git"
    Credentials = one_of(TOKEN, USER_TOKEN, BASIC)
    hook_setup = "Repository settings > Webhooks: the URL and the secret above, events Repository > Push. Pings need no secret."

    def login(self):
        """HTTP access tokens are sent as bearer tokens; a person's own work with git only beside the user's name."""
        given = self.access.credentials
        if given.get("token"):
            return bearer(given["token"])
        return basic_header(given["username"], given["password"]) if given.get("password") else {}

    def name_in(self, path):
        """Both what git is given and what a browser shows may be copied."""
        shown = re.match(r"(?:projects/([^/]+)|users/([^/]+))/repos/([^/]+)", path)
        if shown:
            return f"{shown[1] or '~' + shown[2]}/{shown[3]}"
        return path.removeprefix("scm/")

    def r(self, repository):
        """Return the path of a repository in the API."""
        project, slug = self.path_of(repository).split("/")
        return f"api/1.0/projects/{quote(project, safe='~')}/repos/{quote(slug)}"

    # Looking.

    def repositories(self, query=None):
        """Return the repositories the credentials may read."""
        for found in paging.by_start(self.http, "api/1.0/repos", {"name": query} if query else None):
            name = f"{found['project']['key']}/{found['slug']}"
            yield Repository(name, f"{self.access.url.rstrip('/')}/{self.shown(name)}", None)

    def refs(self, repository, query=None):
        """Return branches, then tags. A tag's `hash` is the tag object's; `latestCommit` is what it leads to."""
        params = {"filterText": query} if query else None
        for kind, path in ((BRANCH, "branches"), (TAG, "tags")):
            for found in paging.by_start(self.http, f"{self.r(repository)}/{path}", params):
                yield Ref(kind, found["displayId"], found["latestCommit"])

    def found(self, repository, kind, name):
        """A ref goes into the query: servers in front of it refuse the slashes of a branch's name in a path."""
        if kind is None:
            found = self.maybe(f"{self.r(repository)}/commits/{name}")
            return self.commit_of(found) if found else None
        whole = f"refs/heads/{name}" if kind == BRANCH else f"refs/tags/{name}"
        found = self.maybe(f"{self.r(repository)}/commits", {"until": whole, "limit": 1})
        return self.commit_of(found["values"][0]) if found and found.get("values") else None

    def commit_of(self, found):
        """Return the Commit of the API's."""
        author = found.get("author") or {}
        return commit_made(
            found["id"], author.get("displayName") or author.get("name"), found["authorTimestamp"], found["message"]
        )

    def fetch_commits(self, repository, older, newer):
        """Return the commits between two, newest first."""
        params = {"since": older, "until": newer}
        return map(self.commit_of, paging.by_start(self.http, f"{self.r(repository)}/commits", params))

    def changed_files(self, repository, older, newer, most):
        """Return the files two commits have differently."""
        changes = []
        for found in paging.by_start(self.http, f"{self.r(repository)}/changes", {"since": older, "until": newer}):
            if found["type"] == "MOVE":
                changes.append(Change(found["srcPath"]["toString"], "removed"))
            kind = "added" if found["type"] == "MOVE" else CHANGES.get(found["type"], "changed")
            changes.append(Change(found["path"]["toString"], kind))
        return sorted(changes, key=lambda change: change.path)[:most]

    def requests_with(self, repository, commit):
        """Return the merged pull requests a commit is in."""
        for found in paging.by_start(self.http, f"{self.r(repository)}/commits/{commit}/pull-requests"):
            if found["state"] == "MERGED":
                links = (found.get("links") or {}).get("self") or [{}]
                author = found["author"]["user"]
                yield request_made(found["id"], found["title"], links[0].get("href"), author.get("displayName") or author["name"])

    # Statuses.

    def version(self):
        """Return the server's version as text."""
        return str(self.http.get_json("api/1.0/application-properties").get("version"))

    def statuses(self, repository, commit):
        """Return the statuses of a commit, newest first."""
        for found in paging.by_start(self.http, f"build-status/1.0/commits/{commit}"):
            yield status_of(found)

    def find_status(self, repository, commit, key):
        """Return the status of a key, where the server can give it for this repository alone."""
        if not self.binds_statuses():
            return super().find_status(repository, commit, key)
        found = self.maybe(f"{self.r(repository)}/commits/{commit}/builds", {"key": key})
        return status_of(found) if found else None

    def post_status(self, repository, commit, status):
        """Say a status; the same key overwrites the one before."""
        body = {
            "key": status.key,
            "state": STATE_NAMES[status.state],
            "url": status.url,
            "name": status.name,
            "description": status.description,
        }
        bound = self.binds_statuses()
        path = f"{self.r(repository)}/commits/{commit}/builds" if bound else f"build-status/1.0/commits/{commit}"
        self.http.post_json(path, body, shape=None)

    def binds_statuses(self):
        """Say whether the server binds statuses to a repository."""
        numbers = re.match(r"(\d+)\.(\d+)", self.version())
        return bool(numbers) and (int(numbers[1]), int(numbers[2])) >= BOUND_STATUSES

    def shown(self, name):
        """Return the path of a repository's page."""
        project, slug = name.split("/")
        folder = f"users/{project[1:]}" if project.startswith("~") else f"projects/{project}"
        return f"{folder}/repos/{slug}"

    def web_url(self, repository, commit):
        """Return the page of a commit."""
        return f"{self.access.url.rstrip('/')}/{self.shown(self.path_of(repository))}/commits/{commit}"

    # Trying it out.

    def try_login(self):
        """Ask for the version, which needs no login, and for repositories, which tells who we are."""
        versions = []
        checks = [attempt("server", lambda: versions.append(self.version()), lambda _: "It answers.")]
        checks.append(attempt("login", self.own_name, lambda name: f"The login works{f', as {name}' if name else ''}."))
        return (versions or [None])[0], checks

    def own_name(self):
        """Return who the server takes us for. Raises ForeignError where the login is not taken."""
        return self.http.get("api/1.0/repos", {"limit": 1}).headers.get("X-AUSERNAME")

    def try_repository(self, repository):
        """Read a repository and a status; writing one needs no more than reading (permission REPO_READ)."""
        self.http.get_json(self.r(repository))
        return "It can be read, and statuses of its commits can be set."

    # Hooks.

    def is_ping(self, headers):
        """Say whether the server only tries the address out, which it does unsigned."""
        return headers.get("x-event-key") == "diagnostics:ping"

    def verify_hook(self, headers, body, secret):
        """Check the HMAC of the body."""
        return hooks.is_signed(headers.get("x-hub-signature"), body, secret)

    def read_hook(self, headers, body):
        """Read a push: one message reports all refs that it moved."""
        event = headers.get("x-event-key", "")
        events = ()
        if event == "repo:refs_changed":
            payload = hooks.parsed(body)
            with hooks.reading():
                repository = f"{payload['repository']['project']['key']}/{payload['repository']['slug']}"
                author = (payload.get("actor") or {}).get("displayName")
                events = tuple(push_of(repository, change, author) for change in payload["changes"])
        return hooks.Hook(hooks.delivery_of(headers.get("x-request-id"), body), event, events)


def status_of(found):
    """Return the Status of the API's."""
    return Status(
        found["key"],
        STATES.get(found["state"], PENDING),
        found.get("url") or "",
        found.get("name") or found["key"],
        found.get("description") or "",
    )


def push_of(repository, change, author):
    """Return the Push of one change of a hook."""
    is_gone = change["type"] == "DELETE" or change["toHash"] == NO_COMMIT
    kind = hooks.TAG if change["ref"]["type"] == "TAG" else hooks.BRANCH
    return hooks.Push(repository, kind, change["ref"]["displayId"], None if is_gone else change["toHash"], author)
