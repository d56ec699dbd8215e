"""What every driver of a build system can do: start a build, follow it, fetch what it made."""

from controllers.foreign import Driver
from controllers.foreign.answers import record

QUEUED, RUNNING, SUCCESS, FAILURE, ABORTED = "queued", "running", "success", "failure", "aborted"


@record
class Look:
    """What a look at a build shows: its handle from now on, log text since a position, the position after that, the state,
    where people see it, and why it waits, in the system's words.
    """

    handle: object
    text: str
    position: object
    state: str
    url: str | None = None
    why: str | None = None


@record
class BuiltFile:
    """A file that a build left: its path in the system, its size in bytes and SHA-256 where they are known."""

    path: str
    size: int | None = None
    sha256: str | None = None


class BuildDriver(Driver):
    """A system that builds. A handle is plain JSON, so that another worker can go on with it.

    leaves_files: its builds leave files, so that one of them can be a release's code; without, `fetch` is never called.
    """

    role = "build"
    leaves_files = True

    def start(self, job, parameters, key):
        """Start a build; `key` tells it from every other, so that it can be found again. Returns its handle.

        Raises ForeignError, and Unclear where the answer was lost: then `find` tells whether it was started.
        """
        raise NotImplementedError

    def find(self, job, key):
        """Return the handle of the build that was started with a key, None where there is none. Raises ForeignError."""
        raise NotImplementedError

    def look(self, handle, position):
        """Return the Look at a build: its log after `position` (None at first) and its state. Raises ForeignError."""
        raise NotImplementedError

    def artifacts(self, handle):
        """Return the BuiltFiles of a build that has ended. Raises ForeignError."""
        raise NotImplementedError

    def fetch(self, handle, path, file):
        """Write one of its files into a binary file; returns its SHA-256. Raises ForeignError."""
        raise NotImplementedError

    def abort(self, handle):
        """Ask for the end of a build, queued or running; one that has ended is left as it is. Raises ForeignError."""
        raise NotImplementedError
