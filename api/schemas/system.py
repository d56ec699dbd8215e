"""Answers about Windlass itself, and the shape of every error."""

from pydantic import Field

from api.shapes import Answer, Time


class Index(Answer):
    """The entry: what this is and where to go."""

    name: str
    version: str
    links: dict[str, str]


class Health(Answer):
    """Alive."""

    status: str


class Component(Answer):
    """One thing that a deploy needs."""

    ready: bool
    detail: str


class Readiness(Answer):
    """Would a deploy be carried out now?"""

    ready: bool
    components: dict[str, Component]


class Worker(Answer):
    """A Celery worker process as last seen."""

    name: str = Field(description="Its machine and process, such as deploy-1:4711.")
    zones: list[str] = Field(description='The zones whose hosts it reaches; ["*"]: all.')
    version: str
    seen_at: Time
    alive: bool = Field(description="Whether it gave a sign of life within the last 15 seconds.")


class FieldError(Answer):
    """What is wrong with one field."""

    field: str = Field(description="Dotted path in the body or name of the parameter; empty for the whole.")
    message: str


class Problem(Answer):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable, in kebab-case.")
    request_id: str | None
    errors: list[FieldError] = Field(default=None, description="With 422: everything that cannot be used.")
