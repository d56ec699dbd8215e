"""Bodies and answers of /environments, /zones and /integrations."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.names import CONTROL_BUT_NEWLINES, Name, text
from api.shapes import Answer, Fields, Time

URL = re.compile(r"(https?|ssh|git)://[^/@\s]+(/\S*)?|file:///\S+|/\S+")


class EnvironmentChanges(Fields):
    """What can be changed of an environment."""

    position: int = Field(
        default=None, ge=0, le=1000, description="Its place in the order of promotion; staging comes before production."
    )
    approvals: Annotated[int, Field(ge=0, le=20)] = Field(
        default=None, description="How many other people must agree to a deploy; default 0. For administrators."
    )
    promote_from: Name | None = Field(
        default=None, description="The environment in which a release must have succeeded before. For administrators."
    )


class EnvironmentFields(EnvironmentChanges):
    """A new environment; it comes last if no position is given."""

    name: Name


class Environment(Answer):
    """staging, production, …"""

    name: str
    position: int
    approvals: int
    promote_from: str | None
    created_at: Time
    updated_at: Time


class ZoneChanges(Fields):
    """A zone's key pair is its workers' own; null makes them tell the public key anew, when it was replaced."""

    public_key: None = None


class ZoneFields(Fields):
    """A new zone."""

    name: Name


class Zone(Answer):
    """A network segment with workers and an SSH key pair of its own; public_key is null until a worker has made it."""

    name: str
    public_key: str | None
    created_at: Time
    updated_at: Time


def place(value):
    """Check a foreign system's URL; it is shown, so it must hold no password."""
    if "@" in value.split("://", 1)[-1].split("/", 1)[0]:
        raise ValueError("Keep user names and passwords out of the URL: put them into credentials.")
    if not value.isascii() or not URL.fullmatch(value):
        raise ValueError("Use a URL such as https://git.example.net/.")
    return value


def credential(value):
    """Check one secret value."""
    if CONTROL_BUT_NEWLINES.search(value):
        raise ValueError("Use text without control characters.")
    return value


CredentialName = text(r"[a-z][a-z0-9_]*", "Use 1 to 50 lower-case letters, digits and underscores.", 50)
Credential = Annotated[str, StringConstraints(min_length=1, max_length=32_768), AfterValidator(credential)]
Credentials = Annotated[
    dict[CredentialName, Credential],
    Field(
        max_length=20,
        description="Write-only: answers name what is set, never its value.",
        examples=[{"username": "deploy", "password": "…"}],
    ),
]


Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500),
    AfterValidator(place),
    Field(examples=["https://git.example.net"]),
]


class IntegrationChanges(Fields):
    """What can be changed of an integration; credentials and settings are replaced whole, null removes them."""

    url: Url | None = None
    credentials: Credentials | None = None
    settings: dict | None = None


class IntegrationFields(IntegrationChanges):
    """A new integration."""

    name: Name
    driver: Name


class Circuit(Answer):
    """Whether a system is asked at all: open after failures until a time, or until its refused credentials are changed."""

    state: str
    until: Time | None
    reason: str | None


class HookPlace(Answer):
    """Where a system sends its hooks."""

    url: str
    setup: str = Field(description="Where to enter it, and which events to choose.")
    is_open: bool = Field(description="Whether there is a secret, so that hooks are taken.")


class Integration(Answer):
    """A configured foreign system."""

    name: str
    driver: str
    roles: list[str]
    url: str | None
    credentials: list[str] | None = Field(
        description="Names of the credentials that are set; null: their key is gone, enter them again."
    )
    settings: dict
    circuit: Circuit
    hook: HookPlace | None = Field(description="null: systems of this driver send no hooks.")
    created_at: Time
    updated_at: Time


class Kind(Answer):
    """One kind of credentials, and the values it consists of."""

    name: str
    fields: list[str]


class Driver(Answer):
    """A kind of foreign system that Windlass can work with."""

    name: str
    role: str
    summary: str
    default_url: str | None
    settings: dict = Field(description="JSON schema.")
    credentials: dict = Field(description="JSON schema; values of one of credential_kinds.")
    credential_kinds: list[Kind]
    needs_credentials: bool
    takes_hooks: bool


class HostDriver(Answer):
    """What can keep processes up, or serve the web, on a host; it is chosen in the host's settings."""

    role: Literal["supervisor", "webserver"]
    name: str
    summary: str
    host_settings: dict = Field(description="What of a host's settings chooses it.")


class Drivers(Answer):
    """All drivers, by name, and what is chosen in the settings of hosts instead."""

    items: list[Driver]
    on_hosts: list[HostDriver]


class Repository(Answer):
    """A repository that an integration can see."""

    name: str = Field(description="As an application's source has it.")
    url: str | None = Field(description="Where people see it.")
    default_branch: str | None


class ProofFields(Fields):
    """What to try an integration with."""

    repository: text(r"\S+", "Use a repository as an application's source names it.", 500) | None = Field(
        default=None, description="A repository to look at, where the integration is a source."
    )


class ProofCheck(Answer):
    """One thing that was tried."""

    name: str
    ok: bool
    message: str


class Proof(Answer):
    """What trying an integration showed."""

    ok: bool
    version: str | None
    checks: list[ProofCheck]
