"""Bodies and answers of /deploys."""

from typing import Annotated, Any

from pydantic import Field

from api.schemas.guards import Reason, When
from api.schemas.names import Name, Paragraph, text
from api.schemas.targets import Strategy, StrategyFields
from api.shapes import Answer, Fields, ListQuery, Query, Time

Version = text(r"[A-Za-z0-9][A-Za-z0-9._+-]*", "Use a release's version such as v12, or latest.", 100)


class DeployFields(Fields):
    """A rollout to ask for."""

    application: Name
    release: Version = Field(description="A release's version, or latest: the newest one that is ready.")
    environment: Name
    strategy: StrategyFields = Field(default=None, description="Overlays the target's strategy for this deploy.")
    plan: Annotated[
        int,
        Field(ge=1, lt=2**31, description="The plan to carry out; for the same application, release and environment."),
    ] = None
    comment: Paragraph = None
    start_at: When = Field(default=None, description="When it is to begin; left out: at once.")
    override: Reason = Field(
        default=None,
        description="Why it may begin during a freeze or before its issues are ready; administrators only.",
    )


class ApprovalFields(Fields):
    """What one says when agreeing to a deploy."""

    comment: Paragraph = None
    digest: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$", description="Agree only to the plan that has this digest.")] = (
        None
    )


class NoFields(Fields):
    """An action that takes nothing."""


class EventQuery(ListQuery):
    """A page of events."""

    after: Annotated[int, Field(ge=0, lt=2**31, description="Number of the event after which to begin.")] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class StreamQuery(Query):
    """Where a stream begins; the header Last-Event-ID says the same and is stronger."""

    last_event_id: Annotated[int, Field(ge=0, lt=2**31, description="Number of the last event seen.")] | None = None


class Progress(Answer):
    """How many hosts there are, have ended, have failed, and run what was deployed because this deploy switched them."""

    total: int
    done: int
    failed: int
    switched: int


class Approval(Answer):
    """Who agreed, when, and to the plan of which digest."""

    by: str
    at: Time
    comment: str | None
    digest: str


class Approvals(Answer):
    """How many other people must agree to a deploy before it begins, and who has."""

    needed: int
    given: list[Approval]


class Deploy(Answer):
    """One rollout of a release to a target."""

    id: int
    application: str
    release: str
    environment: str
    state: str
    strategy: Strategy
    plan: int | None = Field(description="What it does, host by host; filled as hosts begin where it came without a plan.")
    progress: Progress
    requested_by: str
    comment: str | None
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    reason: str | None
    previous_release: str | None
    rollback_of: int | None
    cancel_requested_by: str | None = Field(description="Who wants it to end.")
    start_at: Time | None
    override: str | None
    approvals: Approvals
    warnings: list[str] = Field(description="What whoever asked for it was warned of.")


class Step(Answer):
    """One step of a host run."""

    name: str
    state: str
    started_at: Time | None
    ended_at: Time | None
    message: str | None


class HostRun(Answer):
    """A deploy on one host."""

    host: str
    state: str
    goal: str = Field(description="deploy, or restore where the host goes back to what it had.")
    wave: int
    attempt: int
    steps: list[Step]
    bytes_sent: int
    message: str | None
    code: str | None = Field(description="Of a failure, such as plan-stale; null where there is none.")
    started_at: Time | None
    ended_at: Time | None


class Event(Answer):
    """A numbered line of a history; numbers have no gaps."""

    number: int
    at: Time
    kind: str
    host: str | None = None
    step: str | None = None
    text: str | None = None
    data: Any = None


class EventList(Answer):
    """A page of events; next is the number to go on after, null at the end of what is there now."""

    items: list[Event]
    next: int | None
