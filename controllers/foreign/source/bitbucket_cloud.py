"""Driver of Bitbucket Cloud, by its REST API 2.0: https://developer.atlassian.com/cloud/bitbucket/rest/"""

import re
from urllib.parse import quote

from controllers.foreign import attempt, hooks, paging
from controllers.foreign.credentials import API_TOKEN, TOKEN, one_of
from controllers.foreign.errors import NOT_FOUND, ForeignError
from controllers.foreign.source.base import BRANCH, FAILURE, PENDING, SUCCESS, TAG, Change, Ref, Repository, Status
from controllers.foreign.source.hosted import HostedSource, commit_made, request_made

HOME, HOME_API = "https://bitbucket.org", "https://api.bitbucket.org/2.0"
API_TOKEN_USER = "x-bitbucket-api-token-auth"  # noqa: S105  What git logs in as with a person's API token.
STATES = {"SUCCESSFUL": SUCCESS, "FAILED": FAILURE, "STOPPED": FAILURE, "INPROGRESS": PENDING}
STATE_NAMES = {SUCCESS: "SUCCESSFUL", FAILURE: "FAILED", PENDING: "INPROGRESS"}
KINDS = {"added": "added", "removed": "removed"}
RAW_AUTHOR = re.compile(r"\s*<[^<>]*>\s*$")


class BitbucketCloud(HostedSource):
    """Bitbucket Cloud: repositories are named workspace/slug."""

    name = "bitbucket-cloud"
    default_url = HOME
    api_path = "2.0"
    name_limit = 40  # Of a status's key.
    Credentials = one_of(API_TOKEN, TOKEN)
    hook_setup = "Repository settings > Webhooks: the URL and the secret above, triggers Push, Build status created and updated."

    def api_url(self):
        """The API has a host of its own."""
        return HOME_API if self.access.url.rstrip("/") == HOME else super().api_url()

    def git_login(self, given):
        """A person's API token and a repository's access token log in to git by different names."""
        return API_TOKEN_USER if given.get("email") else self.git_user

    def r(self, repository):
        """Return the path of a repository in the API."""
        return f"repositories/{super().r(repository)}"

    # Looking.

    def repositories(self, query=None):
        """Return the repositories the credentials are a member of."""
        params = {"role": "member", "pagelen": 100, **({"q": f'name ~ "{plain(query)}"'} if query else {})}
        for found in paging.by_next(self.http, "repositories", params):
            branch = (found.get("mainbranch") or {}).get("name")
            yield Repository(found["full_name"], f"{self.access.url.rstrip('/')}/{found['full_name']}", branch)

    def refs(self, repository, query=None):
        """Return branches, then tags; a tag's target is always the commit."""
        params = {"pagelen": 100, **({"q": f'name ~ "{plain(query)}"'} if query else {})}
        for kind, path in ((BRANCH, "branches"), (TAG, "tags")):
            for found in paging.by_next(self.http, f"{self.r(repository)}/refs/{path}", params):
                yield Ref(kind, found["name"], found["target"]["hash"])

    def found(self, repository, kind, name):
        """Ask for the very ref: a commit's path takes branches and tags alike."""
        if kind is None:
            found = self.maybe(f"{self.r(repository)}/commit/{name}")
            return self.commit_of(found) if found else None
        folder = "branches" if kind == BRANCH else "tags"
        ref = self.maybe(f"{self.r(repository)}/refs/{folder}/{quote(name, safe='/')}")
        return self.found(repository, None, ref["target"]["hash"]) if ref else None

    def commit_of(self, found):
        """Return the Commit of the API's."""
        author = RAW_AUTHOR.sub("", (found.get("author") or {}).get("raw") or "")
        return commit_made(found["hash"], author, found["date"], found["message"])

    def fetch_commits(self, repository, older, newer):
        """Return the commits between two, newest first; its pages are opaque, and the first must not be named."""
        params = {"exclude": older, "pagelen": 100}
        return map(self.commit_of, paging.by_next(self.http, f"{self.r(repository)}/commits/{newer}", params))

    def changed_files(self, repository, older, newer, most):
        """Return the files two commits have differently; the newer comes first in the API's range.

        Without merge=false it would be the difference that merging makes, which is none where `newer` is the ancestor.
        """
        changes, params = [], {"pagelen": 500, "merge": "false"}
        for found in paging.by_next(self.http, f"{self.r(repository)}/diffstat/{newer}..{older}", params):
            if found["status"] == "renamed":
                changes.append(Change(found["old"]["path"], "removed"))
                changes.append(Change(found["new"]["path"], "added"))
            else:
                kind = KINDS.get(found["status"], "changed")
                changes.append(Change((found["old"] if kind == "removed" else found["new"])["path"], kind))
        return sorted(changes, key=lambda change: change.path)[:most]

    def requests_with(self, repository, commit):
        """Return the merged pull requests a commit is in; a workspace that does not index them has none."""
        try:
            found = list(paging.by_next(self.http, f"{self.r(repository)}/commit/{commit}/pullrequests"))
        except ForeignError as error:
            if error.kind != NOT_FOUND:
                raise
            return
        for item in found:
            request = item if item.get("state") else self.maybe(f"{self.r(repository)}/pullrequests/{item['id']}") or item
            if request.get("state") == "MERGED":
                link = ((request.get("links") or {}).get("html") or {}).get("href")
                author = (request.get("author") or {}).get("display_name")
                yield request_made(request["id"], request["title"], link, author)

    # Statuses.

    def statuses(self, repository, commit):
        """Return the statuses of a commit; there is one of each key."""
        for found in paging.by_next(self.http, f"{self.r(repository)}/commit/{commit}/statuses", {"pagelen": 100}):
            yield status_of(found)

    def find_status(self, repository, commit, key):
        """Return the status of a key."""
        found = self.maybe(f"{self.r(repository)}/commit/{commit}/statuses/build/{quote(key, safe='')}")
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
        self.http.post_json(f"{self.r(repository)}/commit/{commit}/statuses/build", body, shape=None)

    def web_url(self, repository, commit):
        """Return the page of a commit."""
        return f"{self.access.url.rstrip('/')}/{self.path_of(repository)}/commits/{commit}"

    # Trying it out.

    def try_login(self):
        """Ask who we are; an access token of a repository or a workspace is nobody, and may not ask."""
        return None, [attempt("login", self.own_name, lambda name: f"The login works, as {name}.")]

    def own_name(self):
        """Return who the system takes us for. Raises ForeignError where the login is not taken."""
        answer = self.http.get("user", also=(403,))
        if answer.status == 403:
            return "an access token, or a token without the permission read:user"
        found = self.http.json_of(answer, dict)
        return found.get("display_name") or found.get("username") or "somebody"

    def try_repository(self, repository):
        """Read a repository."""
        self.http.get_json(self.r(repository))
        return "It can be read."

    # Hooks.

    def verify_hook(self, headers, body, secret):
        """Check the HMAC of the body."""
        return hooks.is_signed(headers.get("x-hub-signature"), body, secret)

    def read_hook(self, headers, body):
        """Read a push, which may move many refs, or a build's status."""
        event = headers.get("x-event-key", "")
        payload = hooks.parsed(body)
        events = ()
        with hooks.reading():
            if event == "repo:push":
                repository = payload["repository"]["full_name"]
                author = (payload.get("actor") or {}).get("display_name")
                changes = [(change.get("new"), change.get("old")) for change in payload["push"]["changes"]]
                events = tuple(push_of(repository, new, old, author) for new, old in changes if new or old)
            elif event in ("repo:commit_status_created", "repo:commit_status_updated"):
                events = build_of(payload)
        return hooks.Hook(hooks.delivery_of(headers.get("x-request-uuid"), body), event, events)


def plain(query):
    """Return a text that can stand between quotation marks in a query."""
    return query.replace("\\", "").replace('"', "")


def status_of(found):
    """Return the Status of the API's."""
    return Status(
        found["key"],
        STATES.get(found["state"], PENDING),
        found.get("url") or "",
        found.get("name") or found["key"],
        found.get("description") or "",
    )


def push_of(repository, new, old, author):
    """Return the Push of one change of a hook."""
    ref = new or old
    kind = hooks.TAG if "tag" in ref["type"] else hooks.BRANCH
    return hooks.Push(repository, kind, ref["name"], new["target"]["hash"] if new else None, author)


def build_of(payload):
    """Return the event of a build that has ended, none of one that goes on."""
    status = payload["commit_status"]
    state = STATES.get(status["state"], PENDING)
    if state == PENDING:
        return ()
    commit = (status.get("commit") or {}).get("hash") or status["links"]["commit"]["href"].rpartition("/")[2]
    return (hooks.BuildFinished(state, status["key"], payload["repository"]["full_name"], commit, status.get("url")),)
