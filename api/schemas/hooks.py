"""Answers of /hooks, and of what follows from them."""

from pydantic import Field

from api.shapes import Answer, Time


class HookReceived(Answer):
    """What becomes of a hook."""

    state: str = Field(description="accepted, duplicate (it came before) or ignored (nothing follows from it).")


class HookSecret(Answer):
    """Where a foreign system sends its hooks, and how it proves that they are its own."""

    url: str
    secret: str = Field(description="Shown in this answer alone.")
    setup: str = Field(description="Where to enter both, and which events to choose.")


class Hook(Answer):
    """One message that was received."""

    id: int
    delivery: str
    event: str
    news: list[dict]
    state: str = Field(description="waiting, done or failed.")
    outcome: str | None = Field(description="What followed from it.")
    received_at: Time
    ended_at: Time | None


class Automation(Answer):
    """A release that a rule wants in a target."""

    id: int
    release: str
    deploy: int | None
    rule: dict
    reason: str
    state: str = Field(description="waiting, deployed, skipped or superseded (by a newer one).")
    outcome: str | None
    created_at: Time
    ended_at: Time | None
