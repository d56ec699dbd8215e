"""What a source of code can do."""

from dataclasses import dataclass

from controllers.foreign import Driver


@dataclass(frozen=True)
class Checkout:
    """The tree of one commit: `commit` in full, `digest` in the content store."""

    commit: str
    digest: str


class SourceDriver(Driver):
    """A system that keeps repositories."""

    role = "source"

    def checkout(self, repository, ref, branch, work):
        """Put the tree of a ref into the content store; `branch` is the application's own. Returns a Checkout.

        Raises ForeignError.
        """
        raise NotImplementedError

    def commits(self, repository, older, newer, most):
        """Return up to `most` commits that `newer` has and `older` has not, newest first, or None where they are not known here.

        Each is {"commit", "author", "at", "subject"}.
        """
        raise NotImplementedError
