"""Who is asking: a user, a token of theirs, or Windlass itself. Every controller is made with one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """A user as the controllers see one; `user_id` is None for Windlass itself."""

    name: str
    user_id: int | None = None
    is_administrator: bool = False


WINDLASS = Actor("windlass", is_administrator=True)
