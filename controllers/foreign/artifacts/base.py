"""What every driver of an artifact store can do: list, fetch and publish packages and other files."""

from dataclasses import dataclass, field

from controllers.foreign import Driver
from controllers.foreign.answers import record


@dataclass(frozen=True)
class Index:
    """A package index as an installer needs it: its URL without credentials, and what to log in with."""

    url: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def secrets(self):
        """Return the values that must never be shown."""
        return [value for value in (self.password, self.token) if value]


@dataclass(frozen=True)
class Digests:
    """The digests of a file, as hex: SHA-256, SHA-1 and MD5, which some systems index by."""

    sha256: str
    sha1: str | None = None
    md5: str | None = None


@record
class Artifact:
    """A file that is kept: its path below the integration's URL, its size in bytes, its SHA-256 and where people see it."""

    path: str
    size: int | None = None
    sha256: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class PackageVersion:
    """A version of a package, and the names of its files."""

    version: str
    is_prerelease: bool
    files: list


class ArtifactDriver(Driver):
    """A system that keeps packages or other files."""

    role = "artifacts"
    is_index = False  # Whether packages can be installed from it.
    takes_files = False  # Whether release bundles can be published there.

    def index(self):
        """Return the Index packages are installed from. Raises ForeignError."""
        raise NotImplementedError

    def package_versions(self, package):
        """Return the PackageVersions that can be installed from here, newest first; none of an unknown package.

        Raises ForeignError.
        """
        raise NotImplementedError

    def versions(self, path):
        """Return the Artifacts below a path (or of a package), newest first. Raises ForeignError."""
        raise NotImplementedError

    def fetch(self, path, file, sha256=None):
        """Write a file that is kept into a binary file; returns its Artifact. Raises ForeignError, also for another digest."""
        raise NotImplementedError

    def publish(self, path, file, digests, properties=None):
        """Put a binary file there with its Digests and properties, unless the very same is there; returns its Artifact.

        Raises ForeignError, of kind conflict where another file has the path.
        """
        raise NotImplementedError

    def promote(self, path, properties):
        """Add properties to a file that is kept. Raises ForeignError."""
        raise NotImplementedError

    def properties(self, path):
        """Return {name: value} of a file's properties. Raises ForeignError."""
        raise NotImplementedError
