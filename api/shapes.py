"""Base classes of the API's schemas: bodies of requests, answers, pages of lists."""

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Fields(BaseModel):
    """The JSON body of a request: unknown fields are refused, and "22" is no number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Query(BaseModel):
    """The query parameters of a request: texts that become what the schema says; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")


class ListQuery(Query):
    """What every list takes."""

    limit: Annotated[int, Field(ge=1, le=200, description="Most items in the answer.")] = 50
    after: Annotated[str, Field(max_length=1000, description='The "next" of the page before.')] | None = None


class Answer(BaseModel):
    """The JSON body of an answer, described for openapi.json alone; more fields may come with later versions."""

    model_config = ConfigDict(extra="allow")


class Page(Answer, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next: str | None
