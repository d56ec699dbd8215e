"""Bodies and answers of /webhooks."""

from typing import Annotated

from pydantic import Field

from api.schemas.inventory import Circuit, Credential, Url
from api.schemas.names import Name, text
from api.shapes import Answer, Fields, Time

Pattern = text(r"[a-z0-9_.*-]+", "Use a name, * standing for any text, such as deploy.failed or deploy.*.", 100)
Patterns = Annotated[list[Pattern], Field(min_length=1, max_length=50)]


class WebhookChanges(Fields):
    """What can be changed of a webhook; each field as a whole."""

    url: Url = None
    secret: Credential = Field(default=None, description="Signs what is sent; write-only.")
    enabled: bool = Field(default=None, description="false: it is told nothing, until true; default true.")
    events: Patterns | None = Field(default=None, description="null: all.", examples=[["deploy.failed"]])
    applications: Patterns | None = Field(default=None, description="null: all.")
    environments: Patterns | None = Field(default=None, description="null: all.")


class WebhookFields(WebhookChanges):
    """A new webhook; a secret is made where none is given."""

    name: Name
    url: Url


class Webhook(Answer):
    """A URL that is told what happens."""

    name: str
    url: str
    enabled: bool
    events: list[str] | None
    applications: list[str] | None
    environments: list[str] | None
    circuit: Circuit
    created_at: Time
    updated_at: Time


class NewWebhook(Webhook):
    """A webhook with its secret, shown in this answer alone."""

    secret: str
