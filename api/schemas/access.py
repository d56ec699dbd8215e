"""Bodies and answers of /session, /me and /tokens."""

from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator

from api.schemas.names import Line
from api.shapes import Answer, Fields, Time

Secret = Annotated[str, Field(min_length=1, max_length=500)]


class LoginFields(Fields):
    """Either a token, or a name and a password."""

    token: Secret = None
    name: Line = None
    password: Secret = None

    @model_validator(mode="after")
    def one_way(self):
        """Refuse half a way to log in, and two at once."""
        if self.model_fields_set not in ({"token"}, {"name", "password"}):
            raise ValueError("Send either token, or name and password.")
        return self


class Me(Answer):
    """Who the caller is and what they may do."""

    name: str
    is_administrator: bool
    permissions: list[str]
    csrf_token: str | None = Field(description="For the header X-CSRF-Token; null for callers with a token.")


class TokenChanges(Fields):
    """What can be changed of a token."""

    name: Line = None
    expires_at: AwareDatetime | None = Field(default=None, description="When it ends; null: never.")


class TokenFields(TokenChanges):
    """A token to make."""

    name: Line
    user: Line = Field(default=None, description="Whose it is to be; only an administrator may name somebody else.")


class Token(Answer):
    """A token, without its secret."""

    id: int
    name: str
    user: str
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None


class NewToken(Token):
    """A token just made: no other answer holds its secret."""

    secret: str
