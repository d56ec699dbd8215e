"""Bodies and answers of /applications/<name>/releases."""

from typing import Annotated

from pydantic import Field

from api.schemas.names import text
from api.shapes import Answer, Fields, ListQuery, Time

Ref = text(r"[^\s~^:?*\[\\-][^\s~^:?*\[\\]*", "Use a branch, a tag or a commit, such as main, v1.2 or 3f2a9c1.", 250)
PackageVersion = text(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*", "Use a version as the package index has it, such as 1.4.2.", 100)


class ReleaseFields(Fields):
    """A release to build; with nothing given, of the application's branch or of the newest version of its package."""

    ref: Ref | None = Field(default=None, description="Branch, tag or commit of the repository.")
    package_version: PackageVersion | None = Field(default=None, description="Version of the package.")
    upgrade_dependencies: bool = Field(
        default=False, description="Resolve dependencies anew that the application keeps without hashes."
    )


class ReleaseQuery(ListQuery):
    """A page of releases, newest first."""

    state: Annotated[str, Field(max_length=20, description="Only releases in this state.")] | None = None


class Release(Answer):
    """An immutable build of an application at one commit or package version."""

    application: str
    version: str
    number: int
    state: str
    ref: str | None
    commit: str | None
    package_version: str | None
    digest: str | None
    lock_digest: str | None
    lock_kind: str | None
    python_version: str | None
    processes: dict[str, str]
    settings: dict
    size_bytes: int | None
    build: dict | None = Field(
        description="The build in another system that the release waits for: integration, state, url; null: there is none."
    )
    bundle: dict | None = Field(description="Where the release was published: integration, path, sha256, size_bytes.")
    error: str | None
    requested_by: str
    cancel_requested_by: str | None = Field(description="Who wants its build to end.")
    created_at: Time
    ended_at: Time | None


class Environment(Answer):
    """A virtualenv that is built for a release's dependencies."""

    platform: str
    digest: str
    size_bytes: int


class ReleaseInFull(Release):
    """A release with its dependencies and virtualenvs."""

    dependencies: dict[str, str]
    environments: list[Environment]
    latched: list[dict] = Field(description="Environments in which its newest deploy failed or was rolled back.")


class Commit(Answer):
    """A commit as its author wrote it."""

    commit: str
    author: str
    at: str
    subject: str
    message: str


class FileChange(Answer):
    """A file that was added, removed or changed."""

    path: str
    change: str
    size_before: int | None
    size: int | None


class DependencyChanges(Answer):
    """Packages that came, went or changed their version."""

    added: list[dict]
    removed: list[dict]
    changed: list[dict]


class Comparison(Answer):
    """What changes from one release to another; null stands for what this machine does not know."""

    application: str
    from_: str = Field(alias="from")
    to: str
    commits: list[Commit] | None
    reverted_commits: list[Commit] | None
    files: list[FileChange] | None
    files_total: int | None
    dependencies: DependencyChanges
    python: dict
    processes: dict
