"""What a place of packages can do."""

from dataclasses import dataclass, field

from controllers.foreign import Driver


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


class ArtifactDriver(Driver):
    """A system that keeps packages."""

    role = "artifacts"

    def index(self):
        """Return the Index packages are installed from. Raises ForeignError."""
        raise NotImplementedError
