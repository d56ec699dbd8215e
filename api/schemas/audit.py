"""Query and answers of /audit."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from api.schemas.lists import Filter
from api.shapes import Answer, ListQuery, Time


class AuditQuery(ListQuery):
    """A page of the audit trail, newest first."""

    by: Annotated[Filter, Field(description="Only what this user did.")] | None = None
    action: Annotated[Filter, Field(description="Such as deploy.create, or deploy for all about deploys.")] | None = None
    subject: Annotated[str, Field(max_length=300)] | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class AuditEntry(Answer):
    """One change that somebody made."""

    number: int
    at: Time
    actor: str
    action: str
    subject: str
    data: dict
    address: str | None = Field(description="Where the request came from; null: from Windlass itself.")
    request_id: str | None
    seal: str = Field(description="HMAC-SHA256 over this entry and the seal before it, in hex.")


class AuditVerdict(Answer):
    """Whether the audit trail is as it was written."""

    ok: bool
    entries: int
    newest_seal: str | None
    broken_at: int | None = Field(description="Number of the first entry that is wrong or missing.")
    message: str
