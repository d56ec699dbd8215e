"""Bodies and answers of /applications."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from api.schemas.names import CONTROL, Line, Name, ProcessName, ShellLine, text
from api.shapes import Answer, Fields, Time

SCHEMES = ("https://", "http://", "ssh://", "git://", "file:///")
AUTHORITY = re.compile(r"[a-z]+://(?P<user>[^/@]*@)?[A-Za-z0-9\[][^@]*|file:///[^@]+")
SSH_SHORT = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:[^:\s-]\S*")
RELATIVE = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9_.~-]*(/[A-Za-z0-9_~][A-Za-z0-9_.~-]*)*")
BAD_IN_REF = re.compile(r"\.\.|@\{|//|[\x00-\x20\x7f~^:?*\[\\]")

Package = text(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._, -]+\])?",
    "Use a package's name as the index has it, with its extras if need be: httpbin or httpbin[mainapp].",
    200,
)


def repository(value):
    """Check how a repository is named, so that git can take it for nothing but a place."""
    if CONTROL.search(value) or " " in value or value.startswith("-") or "::" in value:
        raise ValueError("Use a repository's URL such as https://git.example.net/team/shop.git, without spaces and '::'.")
    if not value.startswith(SCHEMES):
        if "://" in value or not (value.startswith("/") or SSH_SHORT.fullmatch(value) or RELATIVE.fullmatch(value)):
            raise ValueError(
                f"Use a URL that begins with one of {', '.join(SCHEMES)}, user@host:path, "
                "an absolute path, or a path below the integration's URL."
            )
        return value
    parts = AUTHORITY.fullmatch(value)
    if not parts:
        raise ValueError("Use a URL with a host name and at most one @.")
    if parts["user"] and (":" in parts["user"] or not value.startswith("ssh://")):
        raise ValueError("Keep user names and passwords out of the URL: put them into an integration's credentials.")
    return value


def branch(value):
    """Check a branch's name by the rules of git-check-ref-format(1)."""
    parts = value.split("/")
    if BAD_IN_REF.search(value) or value.startswith("-") or value.endswith(".") or value == "@":
        raise ValueError("Use a branch's name, such as main.")
    if any(not part or part.startswith(".") or part.endswith(".lock") for part in parts):
        raise ValueError("Use a branch's name, such as main.")
    return value


Repository = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500),
    AfterValidator(repository),
    Field(examples=["https://git.example.net/team/shop.git"]),
]
Branch = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(branch), Field(examples=["main"])]
Requirement = text(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._, -]+\])? *([<>=!~][^;@\s#,]*( *, *[<>=!~][^;@\s#,]*)*)?",
    "Use a package with the versions that will do, such as gunicorn or gunicorn>=23,<24.",
    200,
)
ParameterName = text(r"[A-Za-z_][A-Za-z0-9_.-]*", "Use a parameter's name as the job has it.", 100)
Processes = Annotated[
    dict[ProcessName, ShellLine], Field(max_length=20, examples=[{"web": "gunicorn --bind unix:$SOCKET shop:app"}])
]


class SourceFields(Fields):
    """Where releases come from: a git repository, or a package of a package index."""

    integration: Name | None = Field(
        default=None, description="Integration that knows the URL and the credentials; null: none is needed."
    )
    repository: Repository = Field(
        default=None, description="A git repository; below the integration's URL when it is a relative path."
    )
    branch: Branch = Field(default=None, description="Branch that is built when no ref is given; default main.")
    package: Package = Field(default=None, description="A package of a Python package index.")
    requirements: list[Requirement] = Field(
        default=None,
        max_length=50,
        description="More packages to install beside the package, such as a server.",
        examples=[["gunicorn>=23"]],
    )

    @model_validator(mode="after")
    def repository_or_package(self):
        """A release comes from one place."""
        if (self.repository is None) == (self.package is None):
            raise ValueError("Give a repository or a package.")
        if self.package is not None and self.branch is not None:
            raise ValueError("A package has no branch; its version is chosen when a release is made.")
        if self.repository is not None and self.requirements:
            raise ValueError("A repository brings its own requirements; only a package takes more beside it.")
        return self


class BuildFields(Fields):
    """A foreign system that must have built a commit before Windlass makes a release of it."""

    integration: Name
    job: Line = Field(description="The job as the system names it, such as team/shop.")
    parameters: dict[ParameterName, Line] = Field(
        default=None,
        max_length=50,
        description="Parameters of the job; {commit}, {ref}, {release} and {application} are filled in. "
        "Left out: WINDLASS_COMMIT and WINDLASS_REF.",
    )
    artifact: Line | None = Field(
        default=None,
        description="The build's artifact (.tar.gz) that is the release's code; null: the commit's own tree is.",
    )


class ArtifactsFields(Fields):
    """Where releases are published once they are ready."""

    integration: Name
    path: Line = Field(description="Folder in that system, such as releases/shop.")


class TrackerFields(Fields):
    """The tracker whose issues commits name, and what is done to them when a deploy has succeeded."""

    integration: Name
    project: Line | None = Field(default=None, description="Only issues of this project or repository.")
    transitions: dict[Name, Line] = Field(
        default=None, max_length=20, description="By environment: the state issues are moved to."
    )
    comment: bool = Field(default=None, description="Comment on each issue; default true.")
    link: bool = Field(default=None, description="Link each issue to the deploy; default true.")
    versions: dict[Name, Line] = Field(
        default=None,
        max_length=20,
        description="By environment: the version that is released there; {application} and {release} are filled in.",
    )
    require: dict[Name, Annotated[list[Line], Field(min_length=1, max_length=20)]] = Field(
        default=None, max_length=20, description="By environment: the states issues must be in before a deploy begins."
    )


class ApplicationChanges(Fields):
    """What can be changed of an application; each field is replaced whole, null removes it."""

    source: SourceFields = None
    build: BuildFields | None = Field(default=None, description="null: Windlass builds alone.")
    artifacts: ArtifactsFields | None = Field(default=None, description="null: releases are kept here alone.")
    tracker: TrackerFields | None = Field(default=None, description="null: no tracker is told.")
    team: Line | None = None
    processes: Processes = Field(default=None, description="Commands that take precedence over those of the release's Procfile.")


class ApplicationFields(ApplicationChanges):
    """A new application."""

    name: Name
    source: SourceFields


class Application(Answer):
    """Something that is deployed."""

    name: str
    source: dict
    build: dict | None
    artifacts: dict | None
    tracker: dict | None
    team: str | None
    processes: dict[str, str]
    created_at: Time
    updated_at: Time


class Ref(Answer):
    """A branch or a tag of an application's repository."""

    kind: Literal["branch", "tag"]
    name: str
    commit: str


class PackageVersion(Answer):
    """A version of an application's package."""

    version: str
    is_prerelease: bool
    files: list[str]
