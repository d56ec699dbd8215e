"""Bodies and answers of /applications/<name>/targets/<environment> and its variables."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, WithJsonSchema, model_validator

from api.schemas.names import (
    HealthPath,
    HostName,
    Name,
    ProcessName,
    Seconds,
    ServerName,
    ShellLine,
    Tag,
    VariableName,
    checked,
    share_type,
    text,
    unique,
)
from api.shapes import Answer, Fields, Time

VALUE_LIMIT_BYTES = 32 * 1024
DAY_S = 86_400
Pattern = text(r"[^\s\x00-\x1f\x7f]+", "Use a name, * standing for any text, such as main or v*.", 200)
STEPS = ("connect", "preflight", "ship", "environment", "configure", "start", "check", "switch", "drain", "clean")
Step = Literal[STEPS]
RunPath = text(
    r"(?!/)(?!(.*/)?\.\.(/|$))[^\x00-\x1f\x7f]+",
    "Use a path below the integration's folder, such as site.yml, without .. in it.",
    200,
)
# What Ansible takes for its own could send it elsewhere or have it run programs here; Puppet knows no upper-case names.
RunVariable = text(
    r"(?!ansible_|windlass_)[a-z][a-z0-9_]*",
    "Use 1 to 60 lower-case letters, digits and underscores, not beginning with ansible_ or windlass_.",
    60,
)
KINDS = ("all-at-once", "rolling", "canary")
BatchSize = share_type(1, "how many hosts go at a time")
FailureCount = share_type(0, "how many hosts may fail")


def kind(value):
    """Check how a rollout proceeds."""
    if value not in KINDS:
        raise ValueError("Use all-at-once, rolling or canary.")
    return value


def pause(value):
    """Check the pause between two waves: seconds, or until somebody resumes the deploy."""
    if value == "resume" or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAY_S):
        return value
    raise ValueError(f'Use a number of seconds from 0 to {DAY_S}, or "resume": until somebody resumes the deploy.')


def run_value(value):
    """Check a variable of a playbook or manifest: text, a whole number, true or false."""
    if isinstance(value, str) and (len(value) > 4096 or "\0" in value):
        raise ValueError("Use at most 4,096 characters, none of them NUL.")
    if not isinstance(value, str | int):
        raise ValueError("Use a string, a whole number, true or false.")
    return value


RunValue = checked(run_value, {"type": ["string", "integer", "boolean"]})
Kind = checked(kind, {"type": "string", "enum": list(KINDS)})
Pause = checked(pause, {"anyOf": [{"type": "integer", "minimum": 0, "maximum": DAY_S}, {"type": "string", "enum": ["resume"]}]})


class StrategyFields(Fields):
    """How a rollout goes through its hosts."""

    kind: Kind = None
    batch: BatchSize = Field(
        default=None, description="Hosts that go at a time (rolling), or before all others (canary); default 1."
    )
    max_failures: FailureCount = Field(default=None, description="Hosts that may fail before the rollout stops; default 0.")
    pause_s: Pause = Field(default=None, description='Seconds to wait between two waves, or "resume": until resumed; default 0.')
    bake_s: Seconds = Field(
        default=None,
        description="Seconds each wave is watched, and must stay healthy, once it has switched; default 0.",
    )
    healthy_first: bool = Field(
        default=None,
        description="Hosts go one by one until one has succeeded; default true for rolling and canary, else false.",
    )
    on_failure: Literal["rollback", "stop", "continue"] = Field(default=None, description="default rollback")


class HealthFields(Fields):
    """How Windlass finds out that a new release works, before it takes over."""

    path: HealthPath = Field(default=None, description="Path of the GET request; default /.")
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=None, description="Seconds until the new release must answer as expected; default 30."
    )
    expect_status: Annotated[int, Field(ge=100, le=599)] | None = Field(default=None, description="null: any 2xx or 3xx.")


class TaggedHosts(Fields):
    """All hosts that have all of these tags, now and later."""

    tags: Annotated[list[Tag], Field(min_length=1, max_length=20), AfterValidator(unique)]


HOST_NAMES = TypeAdapter(Annotated[list[HostName], Field(min_length=1, max_length=5000), AfterValidator(unique)])
TAGGED_HOSTS = TypeAdapter(TaggedHosts)


def selector(value):
    """Check which hosts are meant: a list of names, or an object with tags."""
    adapter = TAGGED_HOSTS if isinstance(value, dict) else HOST_NAMES
    try:
        checked_value = adapter.validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f'Use a list of hosts\' names or {{"tags": […]}}, with at least one{": " + where if where else ""}.'
        ) from None
    return checked_value.model_dump() if isinstance(value, dict) else checked_value


HostSelector = checked(selector, {"anyOf": [HOST_NAMES.json_schema(), TAGGED_HOSTS.json_schema()]})


class RuleFields(Fields):
    """What is deployed without anybody asking: pushes to a branch, new tags, or new versions of a package."""

    branch: Pattern = Field(default=None, description="Branches, * standing for any text.", examples=["main"])
    tag: Pattern = Field(default=None, description="Tags, * standing for any text.", examples=["v*"])
    version: Pattern = Field(default=None, description="Versions of the application's package.", examples=["1.*"])
    require_green_build: bool = Field(
        default=False, description="Wait until the source's system says that the commit's build succeeded."
    )

    @model_validator(mode="after")
    def one_pattern(self):
        """A rule is about one kind of news."""
        if sum(pattern is not None for pattern in (self.branch, self.tag, self.version)) != 1:
            raise ValueError("Give one of branch, tag and version.")
        if self.version is not None and self.require_green_build:
            raise ValueError("A package's version has no commit whose build could be asked for.")
        return self


class ConfigureFields(Fields):
    """A playbook or manifest that runs on each host, before or after a step of its part of a deploy."""

    integration: Name = Field(description="An integration of a driver that configures hosts: ansible, puppet.")
    run: RunPath = Field(description="The playbook or manifest, as a path below the integration's folder.")
    before: Step = Field(default=None, description="connect, ship, environment or configure.")
    after: Step = Field(default=None, description="preflight, ship, environment or clean.")
    variables: Annotated[dict[RunVariable, RunValue], Field(max_length=100)] = Field(
        default=None, description="Given to it, beside the target's own as windlass_variables."
    )
    check: bool = Field(default=False, description="Only have it say what it would change.")

    @model_validator(mode="after")
    def one_place(self):
        """It runs once."""
        if (self.before is None) == (self.after is None):
            raise ValueError("Give one of before and after.")
        return self


class TargetFields(Fields):
    """An application in an environment; what is left out has its default."""

    hosts: HostSelector = Field(description='Hosts by name, or {"tags": […]}.')
    strategy: StrategyFields = None
    health: HealthFields = None
    processes: Annotated[dict[ProcessName, ShellLine | None], Field(max_length=20)] = Field(
        default=None,
        description="Commands that take precedence over the application's and the release's; null: do not run that process here.",
    )
    server_names: Annotated[list[ServerName], Field(max_length=100), AfterValidator(unique)] = Field(
        default=None, description="Host names that nginx serves the application under; none: every name."
    )
    rules: Annotated[list[RuleFields], Field(max_length=20)] = Field(
        default=None, description="What is deployed there without anybody asking; the first rule that fits counts."
    )
    configure: Annotated[list[ConfigureFields], Field(max_length=20)] = Field(
        default=None, description="Playbooks and manifests that run on its hosts, in this order."
    )
    drain_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=None, description="Seconds the old release's connections may take to end; default 30."
    )
    keep_warm: bool = Field(default=None, description="Leave the old release running for a rollback in an instant; default true.")


def variable(value):
    """Check a variable's value: a string, an object with value and secret, or null. Never repeats the value."""
    if isinstance(value, str):
        value = {"value": value}
    if not isinstance(value, dict) or not set(value) <= {"value", "secret"} or not value:
        raise ValueError('Use a string, or {"value": "…", "secret": true}; a number goes into quotes.')
    if not isinstance(value.get("secret", False), bool) or not isinstance(value.get("value", ""), str):
        raise ValueError('Use {"value": "…", "secret": true}: a string and true or false.')
    if "value" not in value and not value.get("secret"):
        raise ValueError("Give a value.")
    try:
        size = len(value.get("value", "").encode())
    except UnicodeEncodeError:
        raise ValueError("Use text that is valid Unicode.") from None
    if "\0" in value.get("value", ""):
        raise ValueError("A value cannot hold a NUL character.")
    if size > VALUE_LIMIT_BYTES:
        raise ValueError(f"Use at most {VALUE_LIMIT_BYTES} bytes; put larger things into a file under shared/ on the hosts.")
    return value


def change(value):
    """Check a change of a variable; null removes it."""
    return None if value is None else variable(value)


VALUE_SCHEMA = {
    "anyOf": [
        {"type": "string", "maxLength": VALUE_LIMIT_BYTES},
        {
            "type": "object",
            "properties": {"value": {"type": "string", "maxLength": VALUE_LIMIT_BYTES}, "secret": {"type": "boolean"}},
            "additionalProperties": False,
            "minProperties": 1,
        },
    ]
}
VariableValue = checked(variable, VALUE_SCHEMA)
VariableChange = checked(change, {"anyOf": [*VALUE_SCHEMA["anyOf"], {"type": "null"}]})


class VariableFields(Fields):
    """All variables of a target."""

    variables: Annotated[dict[VariableName, VariableValue], Field(max_length=500)]


class VariableChanges(Fields):
    """Variables to set, and with null to remove; the others stay."""

    variables: Annotated[dict[VariableName, VariableChange], Field(max_length=500)]


class Variables(Answer):
    """A target's variables: plain values as strings, of secret ones only that they are there."""

    variables: Annotated[dict[str, str | dict], WithJsonSchema({"type": "object"})]
    updated_at: Time | None


class Strategy(Answer):
    """How a rollout goes through its hosts."""

    kind: str
    max_failures: int | str
    pause_s: int | Literal["resume"]
    bake_s: int
    healthy_first: bool
    on_failure: str
    batch: int | str | None = None


class Target(Answer):
    """An application in an environment."""

    application: str
    environment: str
    hosts: list[str] | dict
    resolved_hosts: list[str] = Field(description="Names of the hosts it stands for now.")
    strategy: Strategy
    health: dict
    processes: dict
    server_names: list[str]
    rules: list[dict]
    configure: list[dict]
    drain_s: int
    keep_warm: bool
    latched: list[dict] = Field(description="Releases whose newest deploy here failed or was rolled back.")
    created_at: Time
    updated_at: Time
