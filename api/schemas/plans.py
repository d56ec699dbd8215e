"""Bodies and answers of /plans."""

from pydantic import Field

from api.schemas.deploys import Version
from api.schemas.guards import MaintenanceInShort
from api.schemas.names import Name
from api.schemas.targets import Strategy, StrategyFields
from api.shapes import Answer, Fields, Time


class PlanFields(Fields):
    """A deploy to plan."""

    application: Name
    release: Version = Field(description="A release's version, or latest: the newest one that is ready.")
    environment: Name
    strategy: StrategyFields = Field(default=None, description="Overlays the target's strategy.")


class File(Answer):
    """A file of the release; a symbolic link has no size."""

    path: str
    size: int | None


class Counts(Answer):
    """How many files there are of each kind; the lists may be cut."""

    added: int
    changed: int
    removed: int


class Files(Answer):
    """What differs between the code on the host and the new one."""

    added: list[File]
    changed: list[File]
    removed: list[File]
    counts: Counts


class Packages(Answer):
    """Locked packages: name and version, or name, from and to."""

    added: list[dict[str, str]]
    removed: list[dict[str, str]]
    upgraded: list[dict[str, str]]


class Repair(Answer):
    """A file on the host that is missing or is not what was shipped."""

    tree: str = Field(description="release or environment.")
    path: str


class Configuration(Answer):
    """A file outside the host's root that will be written."""

    file: str
    diff: str


class Variables(Answer):
    """Names alone; no value is ever shown."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class Process(Answer):
    """A process of one of the two slots."""

    name: str
    slot: str


class Processes(Answer):
    """What is started and what is stopped."""

    start: list[Process]
    stop: list[Process]


class Configured(Answer):
    """A playbook or manifest that runs on the host."""

    integration: str
    run: str
    when: str = Field(description="Such as before ship.")
    check: bool = Field(description="It only says what it would change.")
    digest: str = Field(description="SHA-256 over the integration's folder.")


class HostChanges(Answer):
    """What will change on one host."""

    host: str
    current_release: str | None
    new_release: str
    unchanged: bool
    repairs: list[Repair]
    files: Files | None = Field(description="Null where the tree on the host is not known.")
    packages: Packages | None = Field(description="Null where the packages on the host are not known.")
    configuration: list[Configuration]
    variables: Variables
    processes: Processes
    configure: list[Configured] = Field(default_factory=list)
    bytes_to_send: int
    digest: str


class HostError(Answer):
    """Why a host could not be planned for."""

    host: str
    code: str
    message: str
    remedy: str


class SkippedHost(Answer):
    """A host that is left out, and why."""

    host: str
    reason: str


class Plan(Answer):
    """What deploying a release to a target will change, host by host."""

    id: int
    application: str
    release: str
    environment: str
    state: str = Field(description="observing, ready or failed.")
    strategy: Strategy
    digest: str | None = Field(description="Over everything the plan says, once it is ready.")
    unchanged: bool = Field(description="Nothing is to be done on any host.")
    maintenance: MaintenanceInShort | None = Field(description="The target is closed now, and a deploy leaves it so.")
    hosts: list[HostChanges]
    skipped: list[SkippedHost] = Field(description="Hosts in maintenance: a deploy of the plan leaves them out.")
    errors: list[HostError]
    requested_by: str
    created_at: Time
    made_by_deploy: int | None = Field(description="The deploy that keeps in this plan what it did.")
