"""Driver of JFrog Artifactory: release bundles in a generic repository, Python packages in a PyPI repository.

Source: the REST API of Artifactory, jfrog.com/help/r/jfrog-rest-apis. Files are sent by their checksums first, so that what
Artifactory has anywhere is not sent again; AQL trims its answers and says so in range.notification alone.
"""

import json
import posixpath
import re
from urllib.parse import quote, quote_plus

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from pydantic import Field

from controllers.foreign import Check, DriverSettings, Proof, attempt, errors, paging
from controllers.foreign.artifacts.base import Artifact, ArtifactDriver, Index
from controllers.foreign.artifacts.package_index import PackageIndex
from controllers.foreign.credentials import BASIC, HEADER, TOKEN, one_of
from controllers.foreign.errors import ForeignError
from controllers.foreign.hooks import Hook, Published, delivery_of, is_signed, is_token, parsed
from controllers.foreign.http import Http

REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
SPECIAL = re.compile(r"([\\,|;=])")
PAGE = 500
LARGEST_FILE = 8 * 1024**3
NOTHING_THERE = (404,)


class Artifactory(ArtifactDriver):
    """JFrog Artifactory; its URL ends in /artifactory. Keeps release bundles, and packages that builds install."""

    name = "artifactory"
    is_index = True
    takes_files = True
    takes_hooks = True
    hook_setup = (
        "Administration, General, Webhooks: events Artifact was deployed of the repositories; the secret as the "
        "webhook's secret token, signing the payload where the version offers it."
    )
    Credentials = one_of(TOKEN, BASIC, HEADER)

    class Settings(DriverSettings):
        """Which repositories are used."""

        repository: str | None = Field(default=None, pattern=REPOSITORY, description="Generic repository for bundles.")
        pypi_repository: str | None = Field(default=None, pattern=REPOSITORY, description="PyPI repository for builds.")

    def __init__(self, access):
        super().__init__(access)
        self.settings = self.Settings.model_validate(access.settings)
        self.http = Http(access) if access.url else None

    # Packages.

    def index(self):
        """Return the Index of the PyPI repository. Raises ForeignError where none is set."""
        if not self.settings.pypi_repository:
            raise ForeignError(
                f"The integration '{self.access.name}' names no PyPI repository: set settings.pypi_repository.",
                access=self.access,
            )
        login = {name: self.access.credentials.get(name) for name in ("username", "password", "token")}
        return Index(f"{self.access.url.rstrip('/')}/api/pypi/{self.settings.pypi_repository}/simple", **login)

    def package_versions(self, package):
        """Return the PackageVersions of a package in the PyPI repository, newest first."""
        return PackageIndex(self.access.sharing(url=self.index().url)).package_versions(package)

    # Files.

    @property
    def repository(self):
        """The repository of bundles. Raises ForeignError where none is set."""
        if not self.settings.repository:
            raise ForeignError(
                f"The integration '{self.access.name}' names no repository for files: set settings.repository.",
                access=self.access,
            )
        return self.settings.repository

    def path_of(self, path):
        """Return the percent-encoded place of a file, repository first. Raises ForeignError for one that leads elsewhere."""
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise ForeignError(f"The integration '{self.access.name}' cannot keep a file at '{path}'.", access=self.access)
        return f"{self.repository}/{quote(path)}"

    def look(self, path):
        """Return the Artifact of a file that is kept, None where there is none."""
        answer = self.http.get(f"api/storage/{self.path_of(path)}", also=NOTHING_THERE)
        if answer.status == 404:
            return None
        found = self.http.json_of(answer, dict)
        digest = (found.get("checksums") or {}).get("sha256")
        size = str(found.get("size") or "")
        return Artifact(path, int(size) if size.isdecimal() else None, digest, self.page_of(path))

    def page_of(self, path):
        """Return where people get a file."""
        return f"{self.access.url.rstrip('/')}/{self.path_of(path)}"

    def versions(self, path):
        """Return the Artifacts below a path, newest first."""
        below = {"$or": [{"path": path.rstrip("/")}, {"path": {"$match": path.rstrip("/") + "/*"}}]}
        criteria = json.dumps({"repo": self.repository, "type": "file", **below})
        found, offset = [], 0
        for _ in range(paging.MOST_PAGES):
            query = (
                f'items.find({criteria}).include("repo","path","name","size","sha256","created")'
                f'.sort({{"$desc":["created","path","name"]}}).offset({offset}).limit({PAGE})'
            )
            answer = self.http.ask("POST", "api/search/aql", data=query.encode(), headers={"Content-Type": "text/plain"})
            page = self.http.json_of(answer, dict)
            items = page.get("results")
            if not isinstance(items, list):
                raise self.http.bad_answer("a search has no 'results'")
            found += [self.described(item) for item in items]
            offset += len(items)
            is_cut = bool((page.get("range") or {}).get("notification"))
            if not items or (len(items) < PAGE and not is_cut):
                return found
        raise self.http.bad_answer("its list does not end")

    def described(self, item):
        """Return the Artifact of an item of a search."""
        path = posixpath.normpath(posixpath.join(item.get("path") or "", item.get("name") or ""))
        return Artifact(path, item.get("size"), item.get("sha256"), self.page_of(path))

    def fetch(self, path, file, sha256=None):
        """Write a file into an open one, its digest checked; returns its Artifact."""
        answer = self.http.download(self.path_of(path), file, LARGEST_FILE, sha256)
        stated = answer.headers.get("X-Checksum-Sha256")
        if sha256 is None and stated and stated != answer.sha256:
            raise self.http.bad_answer(f"{path} has another SHA-256 than it says")
        return Artifact(path, answer.size, answer.sha256, self.page_of(path))

    def publish(self, path, file, digests, properties=None):
        """Put an open file there unless the very same is there; returns its Artifact."""
        known = self.look(path)
        if known is None:
            self.send(path, file, digests, properties or {})
            known = self.look(path)
        elif known.sha256 == digests.sha256 and properties:
            self.promote(path, properties)
        if known is None or known.sha256 != digests.sha256:
            raise self.http.error(
                errors.CONFLICT,
                f"{self.http.who} keeps another file at {path}; it is not replaced. Delete it there, or use another path.",
            )
        return known

    def send(self, path, file, digests, properties):
        """Send a file: by its checksums, and whole where Artifactory does not know them."""
        place = self.path_of(path) + "".join(
            f";{quote(escaped(name), safe='')}={quote(escaped(value), safe='')}" for name, value in properties.items()
        )
        checksums = {
            "X-Checksum-Sha256": digests.sha256,
            "X-Checksum-Sha1": digests.sha1,
            "X-Checksum-Md5": digests.md5,
        }
        checksums = {name: value for name, value in checksums.items() if value}
        try:
            self.http.ask("PUT", place, headers={**checksums, "X-Checksum-Deploy": "true"})
            return
        except ForeignError as error:
            if error.may_pass or error.kind in (errors.REFUSED_CREDENTIALS, errors.NOT_PERMITTED):
                raise
        file.seek(0)
        self.http.ask("PUT", place, data=file, headers={**checksums, "Content-Type": "application/octet-stream"})

    def promote(self, path, properties):
        """Add properties to a file that is kept; what they were before is replaced."""
        text = ";".join(f"{escaped(name)}={escaped(value)}" for name, value in properties.items())
        place = f"api/storage/{self.path_of(path)}?properties={quote_plus(text)}&recursive=0"
        if self.http.ask("PUT", place).status != 204:  # A page to log in, say, is no sign that anything was done.
            raise self.http.bad_answer("setting properties was not confirmed")

    def properties(self, path):
        """Return {name: value} of a file's properties; of several values the first."""
        answer = self.http.get(f"api/storage/{self.path_of(path)}?properties", also=NOTHING_THERE)
        if answer.status == 404:
            if self.look(path) is None:
                raise self.http.error(errors.NOT_FOUND, f"{self.http.who} has no file at {path}, or hides it.")
            return {}
        found = self.http.json_of(answer, dict).get("properties") or {}
        return {name: values[0] if isinstance(values, list) and values else "" for name, values in found.items()}

    # Trying it out, and hooks.

    def prove(self, **hints):
        """Ask for the version and for each repository."""
        versions = []

        def ask_version():
            versions.append(str(self.http.get_json("api/system/version").get("version")))
            return versions[0]

        checks = [attempt("connection", ask_version, lambda version: f"Artifactory {version} answers.")]
        for kind, name in (
            ("repository", self.settings.repository),
            ("pypi_repository", self.settings.pypi_repository),
        ):
            if name and checks[0].ok:
                checks.append(
                    attempt(
                        kind,
                        lambda name=name: self.http.get_json(f"api/storage/{name}"),
                        lambda _, name=name: f"{name} can be read.",
                    )
                )
        if not self.settings.repository and not self.settings.pypi_repository:
            checks.append(Check("settings", False, "Name a repository, a pypi_repository, or both in settings."))
        return Proof(versions[0] if versions else None, checks)

    def verify_hook(self, headers, body, secret):
        """X-JFrog-Event-Auth holds the HMAC-SHA256 of the body, or the secret itself in older versions."""
        claimed = headers.get("x-jfrog-event-auth")
        return is_signed(claimed, body, secret, prefix="") | is_token(claimed, secret)

    def read_hook(self, headers, body):
        """Read an event of the domain artifact: {"domain", "event_type", "data": {"repo_key", "path", "name", "sha256"}}."""
        document = parsed(body)
        data = document.get("data")
        if not isinstance(data, dict):
            raise ValueError("it has no object 'data'.")
        event = f"{document.get('domain')}:{document.get('event_type')}"
        if event != "artifact:deployed":
            return Hook(delivery_of(None, body), event)
        path, repository = data.get("path"), data.get("repo_key")
        if not isinstance(path, str) or not isinstance(repository, str):
            raise ValueError("its data names no repo_key and path.")
        package, version = package_in(posixpath.basename(path)) if repository == self.settings.pypi_repository else (None, None)
        return Hook(delivery_of(None, body), event, (Published(f"{repository}/{path}", data.get("sha256"), package, version),))


def escaped(text):
    """Return a property's name or value with what separates properties escaped."""
    return SPECIAL.sub(r"\\\1", str(text))


def package_in(filename):
    """Return (name, version) of a distribution's file name, (None, None) for any other file."""
    for parse in (parse_wheel_filename, parse_sdist_filename):
        try:
            name, version = parse(filename)[:2]
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue
        return str(name), str(version)
    return None, None
