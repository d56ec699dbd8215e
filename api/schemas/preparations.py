"""Bodies and answers of /preparations."""

from typing import Annotated, Literal

from pydantic import Field

from api.schemas.lists import Filter
from api.schemas.names import UserName
from api.shapes import Answer, Fields, ListQuery, Time


class PreparationFields(Fields):
    """How to prepare a host."""

    user: UserName = Field(
        default="root",
        description="Who logs in for it, with the zone's key; any but root needs sudo without a password.",
    )
    check: bool = Field(default=False, description="true: only see what would change.")


class PreparationQuery(ListQuery):
    """A page of preparations, newest first."""

    host: Filter | None = None
    state: Annotated[Filter, Field(description="pending, running, succeeded, failed or cancelled.")] | None = None


class Preparation(Answer):
    """A bare host that is made ready for deploys."""

    id: int
    host: str
    user: str
    check: bool
    state: Literal["pending", "running", "succeeded", "failed", "cancelled"]
    changed: list[str] | None = Field(
        description="The tasks that changed something, or with check would; empty: nothing; null: it has not ended."
    )
    message: str | None
    requested_by: str
    cancel_requested_by: str | None
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
