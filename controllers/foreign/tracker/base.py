"""What every driver of an issue tracker can do: read issues, comment on them, link them, move them to another state."""

from controllers.foreign import Driver
from controllers.foreign.answers import record


@record
class Issue:
    """An issue: `key` as people write it, `state` as the tracker names it."""

    key: str
    title: str
    state: str
    url: str


class TrackerDriver(Driver):
    """A system that keeps issues. What is written twice is there once: a driver looks before it writes."""

    role = "tracker"

    def keys_in(self, text):
        """Return the keys of the issues that a text names, in its order, each once."""
        raise NotImplementedError

    def is_of(self, key, project):
        """Say whether an issue belongs to a project, by its key."""
        raise NotImplementedError

    def issue(self, key):
        """Return an Issue. Raises ForeignError."""
        raise NotImplementedError

    def transition(self, key, to):
        """Move an issue to a state, by its name or the transition's, unless it is there. Raises ForeignError."""
        raise NotImplementedError

    def comment(self, key, text, marker):
        """Comment on an issue unless a comment with this marker is there. Raises ForeignError."""
        raise NotImplementedError

    def link(self, key, global_id, url, title):
        """Link an issue to a page; another link with this global_id is changed into it. Raises ForeignError."""
        raise NotImplementedError

    def release_version(self, project, name, description):
        """Mark a version as released today, made where it is not there. Raises ForeignError."""
        raise NotImplementedError
