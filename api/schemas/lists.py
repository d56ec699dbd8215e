"""Query parameters of lists."""

from typing import Annotated

from pydantic import Field

from api.shapes import ListQuery, Query

Filter = Annotated[str, Field(max_length=100)]


class ChoiceQuery(ListQuery):
    """A page of what another system has to choose from."""

    query: Annotated[Filter, Field(description="Only what has this in its name.")] | None = None


class HostQuery(ListQuery):
    """A page of hosts."""

    zone: Annotated[Filter, Field(description="Only hosts of this zone.")] | None = None
    tag: Annotated[Filter, Field(description="Only hosts with this tag.")] | None = None


class InventoryQuery(Query):
    """All hosts, or one."""

    host: Annotated[Filter, Field(description="Only the variables of this host.")] | None = None


class StatusQuery(ListQuery):
    """A page of the status."""

    application: Filter | None = None
    environment: Filter | None = None


class DeployQuery(StatusQuery):
    """A page of deploys, newest first."""

    state: Filter | None = None


class PublicStatusQuery(ListQuery):
    """A page of the public status, maybe as a call of a JavaScript function."""

    callback: Annotated[str, Field(max_length=300, description="Name of the function to call (JSONP).")] | None = None
