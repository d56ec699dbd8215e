"""Bodies and answers of what guards targets: locks."""
from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator

from api.schemas.names import Paragraph
from api.shapes import Answer, Fields, Query, Time

YEAR_S = 366 * 86_400
Reason = Annotated[Paragraph, Field(min_length=1)]


class LockFields(Fields):
    """Who locks says why, and maybe until when."""
    reason: Reason
    expires_at: AwareDatetime | None = Field(default=None, description="When the lock ends by itself; null: never.")
    for_s: Annotated[int, Field(ge=1, le=YEAR_S)] = Field(
        default=None, description="Instead of expires_at: seconds from now, by the server's clock.")
    force: bool = Field(default=False, description="Take over a lock that somebody else holds; this is logged.")

    @model_validator(mode="after")
    def one_end(self):
        """Refuse two ends."""
        if self.expires_at is not None and self.for_s is not None:
            raise ValueError("Send either expires_at or for_s.")
        return self


class UnlockQuery(Query):
    """Whether somebody else's lock is to be broken."""
    force: bool = Field(default=False, description="Break a lock that somebody else holds; this is logged.")


class Lock(Answer):
    """Who keeps others from deploying to a target."""
    holder: str
    reason: str
    created_at: Time
    expires_at: Time | None
