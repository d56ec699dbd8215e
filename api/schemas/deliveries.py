"""Answers of /deliveries and of a deploy's changelog."""

from typing import Annotated, Any

from pydantic import Field

from api.schemas.lists import Filter
from api.shapes import Answer, ListQuery, Time


class DeliveryQuery(ListQuery):
    """A page of deliveries, newest first."""

    integration: Filter | None = None
    state: Annotated[Filter, Field(description="waiting, delivered, failed or superseded.")] | None = None


class Delivery(Answer):
    """One thing that is said to a foreign system, or done there, because of a deploy or a release."""

    id: int
    deploy: int | None
    application: str
    release: str
    environment: str | None
    integration: str | None
    action: str
    subject: str | None = Field(description="What it is done to: a commit, an issue, a version.")
    state: str = Field(description="waiting, delivered, failed (given up) or superseded (overtaken by a newer one).")
    attempts: int
    error: str | None = Field(description="Why the newest attempt did not succeed.")
    answer: Any = Field(description="What the system gave back.")
    due_at: Time | None = Field(description="When the next attempt may begin; null: at once, or there is none.")
    created_at: Time
    ended_at: Time | None
    payload: dict | None = Field(default=None, description="What is said; in answers about one delivery.")


class Commit(Answer):
    """One commit."""

    commit: str
    author: str
    at: Time
    subject: str


class Issue(Answer):
    """An issue that commits name; what the tracker did not tell is null."""

    key: str
    title: str | None
    state: str | None
    url: str | None


class PullRequest(Answer):
    """A pull request that brought commits."""

    number: int
    title: str
    url: str | None
    author: str | None


class Changelog(Answer):
    """What a deploy brings against what ran before."""

    deploy: int
    from_: str | None = Field(alias="from")
    to: str
    state: str = Field(description="pending while a worker is still to find things out, then ready.")
    commits: list[Commit] | None = Field(
        description="Newest first; null: not known, for the reason in notes, or nothing ran there before."
    )
    is_going_back: bool = Field(description="The commits are taken away, not brought.")
    authors: list[str]
    issues: list[Issue]
    pull_requests: list[PullRequest]
    notes: list[str] = Field(description="What is not known, and why.")
