"""What every driver of notifications can do: send a message; and which messages an integration is sent."""

from dataclasses import dataclass, field

from pydantic import Field

from controllers.foreign import Driver, DriverSettings


@dataclass(frozen=True)
class Message:
    """A notification. key: the same for every attempt of one message; event: such as deploy.succeeded; subject: one line;
    text: more, or None; data: the same for programs (plain JSON).
    """

    key: str
    event: str
    subject: str
    text: str | None = None
    data: dict = field(default_factory=dict)


class Choice(DriverSettings):
    """Which messages an integration is told; * stands for any text, and what is left out chooses everything."""

    enabled: bool = Field(default=True, description="false: it is told nothing for now.")
    events: list[str] | None = Field(default=None, max_length=50, description="Such as deploy.failed or deploy.*.")
    applications: list[str] | None = Field(default=None, max_length=500)
    environments: list[str] | None = Field(default=None, max_length=50)


class NotifyDriver(Driver):
    """A way to notify people or programs."""

    role = "notify"
    Settings = Choice

    def send(self, message):
        """Send a Message; returns what the receiver gave back (a dict) or None. Raises ForeignError, Unclear."""
        raise NotImplementedError
