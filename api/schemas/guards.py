"""Bodies and answers of what guards targets: locks and freezes."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from api.schemas.names import Name, Paragraph, checked, unique
from api.shapes import Answer, Fields, Query, Time

YEAR_S = 366 * 86_400
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
MOMENT = re.compile(r"(mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):[0-5][0-9]")
Reason = Annotated[Paragraph, Field(min_length=1)]


def when(value):
    """Check a point in time; far ones could not be written in every time zone."""
    if not EARLIEST <= value < LATEST:
        raise ValueError("Use a time between 1970 and 9000.")
    return value


def moment(value):
    """Check a time of the week."""
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        raise ValueError('Use a day and a time such as "fri 16:00": mon, tue, wed, thu, fri, sat or sun, and 00:00 to 23:59.')
    return value


def time_zone(value):
    """Check the name of a time zone that this machine knows."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError, TypeError, AttributeError):
        raise ValueError("Use the name of a time zone of the IANA database such as Europe/Berlin or UTC.") from None
    return value


When = Annotated[AwareDatetime, AfterValidator(when)]
Moment = checked(moment, {"type": "string", "pattern": f"^{MOMENT.pattern}$"})
TimeZone = checked(time_zone, {"type": "string", "examples": ["Europe/Berlin"]})
Names = Annotated[list[Name], Field(min_length=1, max_length=200), AfterValidator(unique)]


class LockFields(Fields):
    """Who locks says why, and maybe until when."""

    reason: Reason
    expires_at: When | None = Field(default=None, description="When the lock ends by itself; null: never.")
    for_s: Annotated[int, Field(ge=1, le=YEAR_S)] = Field(
        default=None, description="Instead of expires_at: seconds from now, by the server's clock."
    )
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


class TargetMaintenanceFields(Fields):
    """What users of a closed target are told; the reason is for colleagues."""

    reason: Reason | None = None
    message: Reason | None = Field(default=None, description="Text of the page; null: a general one.")
    retry_after_s: Annotated[int, Field(ge=1, le=YEAR_S)] | None = Field(
        default=300, description="The header Retry-After in seconds; null: there is none."
    )


class MaintenanceInShort(Answer):
    """Who closed a target, why, and what its users are told."""

    holder: str | None
    reason: str | None
    message: str | None
    retry_after_s: int | None
    since: Time | None


class ClosedHost(Answer):
    """How far one host is; what failed is tried again."""

    host: str
    state: Literal["pending", "failed", "closed", "open"]
    message: str | None
    changed_at: Time | None


class TargetMaintenance(MaintenanceInShort):
    """Whether a target is closed, and how far its hosts are."""

    enabled: bool
    hosts: list[ClosedHost]


class Weekly(Fields):
    """A window that comes every week, on the wall clock of a time zone."""

    begins: Moment
    ends: Moment
    timezone: TimeZone

    @model_validator(mode="after")
    def has_an_outside(self):
        """Refuse a window that never ends."""
        if self.begins == self.ends:
            raise ValueError("It must end at another time than it begins.")
        return self


class FreezeChanges(Fields):
    """What can be changed of a freeze."""

    reason: Reason = None
    starts_at: When | None = Field(default=None, description="With ends_at: a window that comes once.")
    ends_at: When | None = None
    weekly: Weekly | None = Field(default=None, description="Instead: a window that comes every week.")
    applications: Names | None = Field(default=None, description="null: all applications.")
    environments: Names | None = Field(default=None, description="null: all environments.")


class FreezeFields(FreezeChanges):
    """A new freeze."""

    name: Name
    reason: Reason


class Freeze(Answer):
    """A time in which nobody deploys."""

    name: str
    reason: str
    starts_at: Time | None
    ends_at: Time | None
    weekly: dict | None
    applications: list[str] | None
    environments: list[str] | None
    active: bool = Field(description="Whether it holds now.")
    active_until: Time | None
    created_by: str
    created_at: Time
    updated_at: Time
