"""Answers of /status."""

from typing import Literal

from pydantic import Field

from api.schemas.guards import Lock, MaintenanceInShort
from api.schemas.hosts import Drift
from api.shapes import Answer, Time


class HostStatus(Answer):
    """What was last seen on one host of a target."""

    host: str
    release: str | None
    reachable: bool = Field(description="false: it could not be reached at the last look.")
    in_service: bool
    stale: bool = Field(description="It was not looked at for long.")
    drift: list[Drift] = Field(description="Empty while a deploy goes on, and for a host out of service.")
    drifted_since: Time | None
    healthy: bool | None
    observed_at: Time | None
    url: str | None


class DeployInShort(Answer):
    """The newest deploy of a target."""

    id: int
    release: str
    state: str
    requested_by: str
    reason: str | None
    created_at: Time
    started_at: Time | None
    ended_at: Time | None


class TargetStatus(Answer):
    """What should run in a target, what was last seen running, and how the two differ."""

    application: str
    environment: str
    desired: str | None = Field(description="Release of the newest deploy that has succeeded or is running.")
    observed: str | None = Field(
        description="Release that all hosts were last seen with; null when they differ or one is unknown."
    )
    state: str = Field(description="State of the newest deploy; never: there was none.")
    health: Literal["healthy", "unhealthy", "unknown"]
    lock: Lock | None
    maintenance: MaintenanceInShort | None
    drift: bool
    drift_detail: str | None
    drift_count: int = Field(description="How many things on all hosts are not as they were deployed.")
    stale: bool = Field(description="A host was not looked at for long.")
    unreachable: list[str] = Field(description="Hosts that could not be reached at the last look.")
    previous_release: str | None
    url: str | None
    observed_at: Time | None
    deploy: DeployInShort | None
    hosts: list[HostStatus]


class EnvironmentInOrder(Answer):
    """An environment and its place in the order of promotion."""

    name: str
    position: int


class StatusList(Answer):
    """A page of the status, and all environments in their order of promotion."""

    items: list[TargetStatus]
    next: str | None
    environments: list[EnvironmentInOrder]


class PublicStatus(Answer):
    """What everybody may know of a target."""

    application: str
    environment: str
    release: str | None
    state: str
