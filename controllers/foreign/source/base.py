"""What every driver of a code host can do: find branches and commits, check code out, read and set statuses of commits."""

from dataclasses import dataclass

from controllers.foreign import Driver, ForeignError
from controllers.foreign.answers import record
from controllers.foreign.errors import NOT_FOUND

BRANCH, TAG = "branch", "tag"
PENDING, SUCCESS, FAILURE = "pending", "success", "failure"


@dataclass(frozen=True)
class Checkout:
    """The tree of one commit: `commit` in full, `digest` in the content store."""

    commit: str
    digest: str


@record
class Repository:
    """A repository: its name as an application's source has it, where people see it, and its default branch if it has one."""

    name: str
    url: str | None
    default_branch: str | None


@record
class Ref:
    """A branch or a tag (`kind`) and the commit it leads to."""

    kind: str
    name: str
    commit: str


@record
class Commit:
    """A commit as its author wrote it; `at` is when, in RFC 3339."""

    commit: str
    author: str
    at: str
    subject: str
    message: str


@record
class Change:
    """A file that two commits have differently: `change` is added, removed or changed."""

    path: str
    change: str


@record
class PullRequest:
    """A merged pull request (or merge request): its number there, its title, where people see it, and who made it."""

    number: int
    title: str
    url: str | None
    author: str | None


@record
class Status:
    """A judgement on a commit, such as a build's. key: unique for the commit; state: pending, success or failure."""

    key: str
    state: str
    url: str
    name: str
    description: str


class SourceDriver(Driver):
    """A system that keeps repositories."""

    role = "source"
    has_statuses = False  # Whether set_status, statuses and build_state mean anything.
    has_repositories = True  # Whether it can list its repositories.

    def address_of(self, repository):
        """Return what a repository's name leads to. Raises ForeignError for a name the driver would never use."""
        raise NotImplementedError

    def is_same_repository(self, repository, pushed):
        """Say whether an application's repository is the one that a hook names."""
        raise NotImplementedError

    def checkout(self, repository, ref, branch, work):
        """Put the tree of a ref into the content store; `branch` is the application's own. Returns a Checkout.

        Raises ForeignError.
        """
        raise NotImplementedError

    def repositories(self, query=None):
        """Return an iterable of the Repositories that the credentials may see, those with `query` in their names."""
        raise NotImplementedError

    def refs(self, repository, query=None):
        """Return an iterable of a repository's Refs: branches, then tags. Raises ForeignError.

        With `query` at least those with it in their names: systems that cannot look for some give all.
        """
        raise NotImplementedError

    def has_ref(self, repository, ref, branch=None):
        """Say whether a repository has a ref, as `resolve` takes it; None where only fetching would tell. Raises ForeignError."""
        try:
            return bool(self.resolve(repository, ref, branch))
        except ForeignError as error:
            if error.kind != NOT_FOUND:
                raise
            return False

    def resolve(self, repository, ref, branch=None):
        """Return the Commit of a branch, a tag or a commit (also shortened). Raises ForeignError, of kind not-found.

        Where a branch and a tag have the same name the tag is meant, but for `branch`, the application's own.
        """
        raise NotImplementedError

    def commits(self, repository, older, newer, most, may_fetch=False):
        """Return up to `most` commits that `newer` has and `older` has not, newest first, or None where they are not known here.

        Each is {"commit", "author", "at", "subject", "message"}. With `may_fetch` they are known or ForeignError is raised,
        however long that takes.
        """
        raise NotImplementedError

    def changed_files(self, repository, older, newer, most):
        """Return up to `most` Changes that lead from the commit `older` to `newer`, by path. Raises ForeignError."""
        raise NotImplementedError

    def pull_requests(self, repository, commits):
        """Return the merged pull requests that brought commits: [{"number", "title", "url", "author"}]. Raises ForeignError."""
        return []

    def statuses(self, repository, commit):
        """Return the Statuses of a commit, newest first for each key. Raises ForeignError."""
        raise NotImplementedError

    def set_status(self, repository, commit, status):
        """Set a Status of a commit, unless the very same is there. Raises ForeignError."""
        raise NotImplementedError

    def build_state(self, repository, commit):
        """Return what the builds of others say of a commit: success, failure or pending; None: there are none.

        Raises ForeignError.
        """
        raise NotImplementedError

    def web_url(self, repository, commit):
        """Return where people see a commit, or None."""
        return None
