"""What code hosts with an API (GitHub, GitLab, …) have in common: git carries the code, the API everything git does not know.

A release is checked out with the same git machinery whatever system keeps the repository, so that its digest and its list
of commits are the same; the API answers where no mirror of the repository is at hand.
"""

import dataclasses
import hashlib
import re
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import quote

from controllers.foreign import ForeignError, Proof, attempt
from controllers.foreign import credentials as kinds
from controllers.foreign.errors import NOT_FOUND, REFUSED, UNUSABLE, Unclear
from controllers.foreign.http import Http
from controllers.foreign.source.base import (
    BRANCH,
    FAILURE,
    PENDING,
    SUCCESS,
    TAG,
    Commit,
    PullRequest,
    SourceDriver,
)
from controllers.foreign.source.git import FULL_COMMIT, SHORT_COMMIT, Git, check_ref
from utils.datekit import rfc3339, to_milliseconds

SEGMENT = re.compile(r"~?[A-Za-z0-9_.-]*[A-Za-z0-9_][A-Za-z0-9_.-]*")
OWN_KEYS = "windlass/"  # What we say of a commit ourselves is no build of it.
MOST_COMMITS = 50
NOT_THERE = (404, 409, 422)  # 409: the repository is empty; 422: no commit of this name.


class HostedSource(SourceDriver):
    """A system that keeps repositories and has an API. A driver gives what is marked as its part below."""

    has_statuses = True
    takes_hooks = True
    api_path = ""
    clone_path = "{repository}.git"
    git_user = "x-token-auth"  # What git logs in as with a token.
    deepest = 2  # The most parts a repository's name has.
    name_limit = 255
    description_limit = 255

    def __init__(self, access):
        super().__init__(access)
        self._http = None

    @property
    def http(self):
        """The system's API."""
        if self._http is None:
            self._http = Http(self.access, self.api_url(), self.login())
        return self._http

    # A driver's part.

    def api_url(self):
        """Return the URL of the API."""
        return f"{(self.access.url or '').rstrip('/')}/{self.api_path}"

    def login(self):
        """Return the headers that carry the credentials."""
        return kinds.headers_of(self.access.credentials)

    def found(self, repository, kind, name):
        """Return the Commit of a branch, a tag, or (kind None) of a whole or shortened commit, None where there is none."""
        raise NotImplementedError

    def fetch_commits(self, repository, older, newer):
        """Return an iterable of the Commits that `newer` has and `older` has not, newest first."""
        raise NotImplementedError

    def post_status(self, repository, commit, status):
        """Set a Status, whether or not it is there."""
        raise NotImplementedError

    def requests_with(self, repository, commit):
        """Return the merged pull requests that brought a commit, in the shape of `pull_requests`."""
        raise NotImplementedError

    # Names.

    def path_of(self, repository):
        """Return the name of a repository within the system, from the name or the URL people gave. Raises ForeignError."""
        name = repository.strip()
        if "://" in name:
            base = f"{(self.access.url or '').rstrip('/')}/"
            if not name.startswith(base):
                raise ForeignError(
                    f"The repository is not below the URL of the integration '{self.access.name}': give its name there, "
                    "such as team/shop, or choose another integration.",
                    UNUSABLE,
                    self.access,
                )
            name = self.name_in(name.removeprefix(base))
        parts = name.removesuffix(".git").strip("/").split("/")
        if not 2 <= len(parts) <= self.deepest or not all(map(SEGMENT.fullmatch, parts)):
            raise ForeignError(
                f"'{repository[:100]}' is no repository of {self.name}: give its name there, such as team/shop.",
                UNUSABLE,
                self.access,
            )
        return "/".join(parts)

    def name_in(self, path):
        """Return the repository's name in the path of a URL that people copied."""
        return path

    def address_of(self, repository):
        """Return the Address git reads a repository from. Raises ForeignError."""
        return self.git.address_of(self.clone_url(repository))

    def clone_url(self, repository):
        """Return the URL git reads a repository from. Raises ForeignError."""
        path = self.clone_path.format(repository=self.path_of(repository))
        return f"{(self.access.url or '').rstrip('/')}/{path}"

    def is_same_repository(self, repository, pushed):
        """Say whether an application's repository is the one that a hook names."""
        return self.path_of(repository).lower() == pushed.lower()

    def r(self, repository):
        """Return a repository's name as a part of a path."""
        return quote(self.path_of(repository), safe="/~")

    # By git.

    @property
    def git(self):
        """The git driver, with the credentials as git takes them."""
        given = self.access.credentials
        secret = given.get("password") or given.get("token")
        login = {"username": self.git_login(given), "password": secret} if secret else {}
        settings = {name: value for name, value in self.access.settings.items() if name == "ca"}
        return Git(self.access.sharing(settings=settings, credentials=login))

    def git_login(self, given):
        """Return the user name git logs in with."""
        return given.get("username") or self.git_user

    def checkout(self, repository, ref, branch, work):
        """Put the tree of a ref into the content store; returns a Checkout. Raises ForeignError."""
        return self.git.checkout(self.clone_url(repository), ref, branch, work)

    def commits(self, repository, older, newer, most, may_fetch=False):
        """Return up to `most` commits between two, from the mirror here, else from the API. Raises ForeignError."""
        if not (FULL_COMMIT.fullmatch(older or "") and FULL_COMMIT.fullmatch(newer or "")):
            return None
        known = self.git.commits(self.clone_url(repository), older, newer, most)
        if known is not None:
            return known
        return [dataclasses.asdict(found) for found in islice(self.fetch_commits(repository, older, newer), most)]

    # By the API.

    def resolve(self, repository, ref, branch=None):
        """Return the Commit of a branch, a tag or a commit; a tag goes before a branch, but for the application's own."""
        check_ref(ref)
        tries = [(BRANCH, ref), (TAG, ref)] if ref == branch else [(TAG, ref), (BRANCH, ref)]
        for kind, folder in ((BRANCH, "refs/heads/"), (TAG, "refs/tags/")):
            tries += [(kind, ref.removeprefix(folder))] if ref.startswith(folder) else []
        if SHORT_COMMIT.fullmatch(ref) or FULL_COMMIT.fullmatch(ref):
            tries.append((None, ref))
        for kind, name in tries:
            found = self.found(repository, kind, name)
            if found is not None:
                return found
        raise ForeignError(
            f"{self.path_of(repository)} in {self.access.name} has no branch, tag or commit '{ref}'.",
            NOT_FOUND,
            self.access,
        )

    def maybe(self, path, params=None):
        """Return the JSON object of a GET, None where there is no such thing (or the repository hides it)."""
        answer = self.http.get(path, params, also=NOT_THERE)
        return None if answer.status in NOT_THERE else self.http.json_of(answer, dict)

    def set_status(self, repository, commit, status):
        """Set a Status of a commit, unless the very same is there. Raises ForeignError."""
        desired = self.fitted(status)
        if not self.is_there(repository, commit, desired):
            try:
                self.post_status(repository, commit, desired)
            except Unclear:
                if not self.is_there(repository, commit, desired):
                    raise
            except ForeignError as error:
                if error.kind != REFUSED or not self.is_there(repository, commit, desired):
                    raise
        return {"url": self.web_url(repository, commit)}

    def fitted(self, status):
        """Return a Status as it fits into the system; a key that is cut stays one of its own."""
        key = status.key
        if len(key) > self.name_limit:
            key = f"{key[: self.name_limit - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        return dataclasses.replace(status, key=key, description=status.description[: self.description_limit])

    def is_there(self, repository, commit, status):
        """Say whether the newest status of its key is the same."""
        there = self.find_status(repository, commit, status.key)
        return there is not None and (there.state, there.url, there.description) == (
            status.state,
            status.url,
            status.description,
        )

    def find_status(self, repository, commit, key):
        """Return the newest Status of a key, or None."""
        return next((status for status in self.statuses(repository, commit) if status.key == key), None)

    def build_state(self, repository, commit):
        """Return what the builds of others say of a commit: success, failure or pending; None: there are none."""
        newest = {}
        for key, state in self.verdicts(repository, commit):
            if not key.startswith(OWN_KEYS):
                newest.setdefault(key, state)
        states = set(newest.values())
        return next((state for state in (FAILURE, PENDING, SUCCESS) if state in states), None)

    def verdicts(self, repository, commit):
        """Yield (key, state) of everything that judges a commit, newest first of each key."""
        for status in self.statuses(repository, commit):
            yield status.key, status.state

    def pull_requests(self, repository, commits):
        """Return the merged pull requests that brought commits, each once."""
        found = {}
        for commit in commits[:MOST_COMMITS]:
            for request in self.requests_with(repository, commit):
                found.setdefault(request["number"], request)
        return list(found.values())

    # Trying it out.

    def prove(self, repository=None):
        """Try the login, and a repository if one is given."""
        version, checks = self.try_login()
        if repository:
            checks.append(attempt("repository", lambda: self.try_repository(repository), str))
            checks.append(attempt("git", lambda: self.git.branches(self.clone_url(repository)), clone_message))
        return Proof(version, checks)

    def try_login(self):
        """Return (version or None, [Check]) of asking the system who we are."""
        raise NotImplementedError

    def try_repository(self, repository):
        """Return a sentence on what may be done in a repository; raises ForeignError for what is needed and may not be."""
        raise NotImplementedError


def clone_message(count):
    """Return the sentence that says that git may read a repository."""
    return f"git can read it; it has {count} branches."


def commit_made(commit, author, at, message):
    """Return a Commit from what an API says; at: a text in ISO 8601, or milliseconds since 1970."""
    milliseconds = at if isinstance(at, int) else to_milliseconds(moment(at))
    message = message.strip()
    return Commit(commit, author or "", rfc3339(milliseconds // 1000 * 1000), subject_of(message), message)


def subject_of(message):
    """Return a message's first paragraph as one line, as git-log(1) does."""
    return " ".join(message.split("\n\n")[0].splitlines()).strip()


def moment(text):
    """Return the aware datetime of a text in ISO 8601; one without an offset is in UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def request_made(number, title, url, author):
    """Return a pull request in the shape of `pull_requests`."""
    return dataclasses.asdict(PullRequest(number, title, url, author))
