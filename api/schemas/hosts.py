"""Bodies and answers of /hosts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, RootModel, model_validator

import hostkeys
from api.schemas.names import (
    Address,
    Argv,
    Folder,
    HostName,
    Line,
    Listen,
    Name,
    Port,
    Program,
    Tag,
    UnitsFolder,
    UserName,
    text,
    unique,
)
from api.shapes import Answer, Fields, Time

Fingerprint = text(
    r"SHA256:[A-Za-z0-9+/]{43}", "Use a fingerprint as ssh-keygen -l prints it: SHA256: and 43 letters and digits.", 50
)


def host_key(value):
    """Check a public host key and drop its comment."""
    try:
        return hostkeys.normalised(value)
    except ValueError as error:
        raise ValueError(str(error)) from None


HostKey = Annotated[str, Field(max_length=4000, examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…"]), AfterValidator(host_key)]
Tags = Annotated[list[Tag], Field(max_length=50), AfterValidator(unique)]


class NginxFields(Fields):
    """How nginx is run on a host; what is left out has the default for the host's user."""

    sites: Folder = Field(default=None, description="Folder whose *.conf files nginx includes in its http block.")
    command: Argv = Field(default=None, description="The command that -t and -s reload are appended to.")
    listen: Listen = Field(default=None, description="Port, or address and port, that sites listen on.")


class SupervisorFields(Fields):
    """What keeps processes up on a host; what is left out has the default for the kind and the host's user."""

    kind: Literal["supervisord", "systemd"] = Field(
        default=None, description="supervisord where nothing is said; another kind takes over with the next deploy."
    )
    programs: Folder = Field(default=None, description="supervisord: folder whose *.conf files it includes.")
    units: UnitsFolder = Field(
        default=None,
        description="systemd: folder of its unit files, such as /etc/systemd/system or ~/.config/systemd/user.",
    )
    command: Argv = Field(
        default=None, description='The command of supervisorctl, or of systemctl such as ["systemctl", "--user"].'
    )

    @model_validator(mode="after")
    def of_one_kind(self):
        """Each kind has a folder of its own."""
        fields = self.model_fields_set
        if {"programs", "units"} <= fields or ("programs" in fields and self.kind == "systemd"):
            raise ValueError("'programs' is for supervisord, 'units' for systemd; name one of them.")
        if "units" in fields and self.kind == "supervisord":
            raise ValueError("'units' is for kind systemd; supervisord has 'programs'.")
        return self


class HostSettingsFields(Fields):
    """What a host calls things; in a PATCH, what is left out stays."""

    python: Program = Field(default=None, description="Interpreter that runs the host agent (3.8 or newer).")
    nginx: NginxFields | None = Field(default=None, description="null: nothing is served through nginx on this host.")
    supervisor: SupervisorFields = Field(default=None)


class HostChanges(Fields):
    """What can be changed of a host."""

    address: Address = None
    port: Port = None
    user: UserName = None
    zone: Name = None
    tags: Tags = None
    transport: Literal["ssh", "local"] = None
    root: Folder = None
    settings: HostSettingsFields = None


class HostFields(HostChanges):
    """A new host. `address` defaults to the name; `user` is needed with transport ssh."""

    name: HostName
    host_key: HostKey = Field(default=None, description="The host's public key, pinned from the start.")


class TrustFields(Fields):
    """Which key to pin; nothing given: the one the host shows now, unless another one is pinned."""

    fingerprint: Fingerprint = Field(
        default=None, description="Pin only a key with this fingerprint; it may replace a pinned one."
    )
    host_key: HostKey = Field(default=None, description="Pin this key without asking the host.")
    preview: bool = Field(default=None, description="true: only show the key and its fingerprint, pin nothing.")

    @model_validator(mode="after")
    def one_of_both(self):
        """Two statements could contradict each other."""
        if len(self.model_fields_set) > 1:
            raise ValueError("Give one of fingerprint, host_key and preview, not several.")
        return self


class MaintenanceFields(Fields):
    """Take a host out of service with a reason, or put it back with enabled false."""

    enabled: bool = True
    reason: Line = None

    @model_validator(mode="after")
    def with_reason(self):
        """Whoever finds a host out of service should find out why."""
        if self.enabled and self.reason is None:
            raise ValueError('Give a reason, or {"enabled": false} to put the host back into service.')
        return self


class ObserveFields(Fields):
    """How closely to look."""

    verify: bool = Field(default=True, description="Read every deployed file; false: only see that it is there.")


class NginxSettings(Answer):
    """How nginx is run on a host."""

    sites: str
    command: list[str]
    listen: str


class SupervisordSettings(Answer):
    """How supervisord is run on a host."""

    kind: Literal["supervisord"]
    programs: str
    command: list[str]


class SystemdSettings(Answer):
    """How systemd is run on a host."""

    kind: Literal["systemd"]
    units: str
    command: list[str]


class HostSettings(Answer):
    """What a host calls things."""

    python: str
    nginx: NginxSettings | None
    supervisor: SupervisordSettings | SystemdSettings


class Problem(Answer):
    """Something on a host that stands in the way of deploys, and what to do about it."""

    code: str
    message: str
    remedy: str | None = None


class Drift(Answer):
    """One thing on a host that is not as it was deployed; a deploy of the same release puts it right."""

    kind: Literal["release", "environment", "files", "supervisord", "systemd", "nginx", "processes"]
    message: str
    diff: str | None = Field(description="Unified, from what was deployed to what is there; secret values are masked.")


class Placement(Answer):
    """An application on a host: what was deployed, what was last seen, and how the two differ."""

    application: str
    environment: str
    recorded: str | None = Field(description="Release that the last rollout left there; null: it was taken away.")
    observed: str | None
    healthy: bool | None
    observed_at: Time
    verified_at: Time | None = Field(description="When every deployed file was last read.")
    stale: bool = Field(description="It was not looked at for long.")
    drift: list[Drift]
    drifted_since: Time | None


class Host(Answer):
    """A machine that applications are deployed to."""

    name: str
    address: str
    port: int
    user: str
    zone: str
    tags: list[str]
    transport: Literal["ssh", "local"]
    root: str
    settings: HostSettings
    state: Literal["new", "ready", "problems", "unreachable", "maintenance"]
    host_key: str | None
    host_key_fingerprint: str | None
    maintenance_reason: str | None
    facts: dict | None
    problems: list[Problem]
    observed_at: Time | None
    placements: list[Placement]
    created_at: Time
    updated_at: Time


class ShownKey(Answer):
    """The key that a host shows now, and the one that is pinned."""

    host_key: str
    fingerprint: str
    pinned: str | None


class TrustedHost(RootModel):
    """The host with its pinned key, or, asked with "preview", the key that it shows."""

    root: Host | ShownKey
