"""Driver of package indexes that speak PEP 503 or PEP 691: the Python Package Index, Artifactory, Nexus, devpi, pypiserver."""

from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion
from pydantic import BaseModel, ConfigDict

from config import settings
from controllers.foreign import ForeignError, Proof, attempt, errors
from controllers.foreign import credentials as kinds
from controllers.foreign.artifacts.base import Artifact, ArtifactDriver, Index, PackageVersion
from controllers.foreign.credentials import BASIC, TOKEN, one_of
from controllers.foreign.http import Http

JSON, HTML = "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+html"  # PEP 691
SIMPLE = f"{JSON}, {HTML};q=0.5, text/html;q=0.1"
FILES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".egg", ".exe", ".msi")  # What indexes have, or once had.
LARGEST_FILE = 4 * 1024**3


class PackageIndex(ArtifactDriver):
    """A Python package index; its URL is the one that lists packages, often ending in /simple."""

    name = "package-index"
    is_index = True

    class Settings(BaseModel):
        """Nothing beyond the URL."""

        model_config = ConfigDict(extra="forbid")

    Credentials = one_of(BASIC, TOKEN)

    def __init__(self, access):
        """Without an integration it is the index of the setting build.index_url."""
        if access.name is None:
            found = default_index()
            login = {"username": found.username, "password": found.password} if found.password else {}
            access = replace(access, url=found.url, credentials=login)
        super().__init__(access)

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """A URL is needed; a password needs its user name; a token needs neither."""
        mistakes = []
        if not url or not url.startswith(("https://", "http://")):
            mistakes.append(("url", "A package index needs its URL, such as https://pypi.example.net/simple."))
        return mistakes + kinds.mistakes_in(credentials, cls.Credentials.kinds)

    def index(self):
        """Return the integration's index, or the one of the setting build.index_url where there is no integration."""
        if self.access.name is None:
            return default_index()
        mistakes = self.mistakes_together(self.access.url, self.access.settings, self.access.credentials)
        if mistakes:
            raise ForeignError(f"The integration '{self.access.name}' cannot be used: {mistakes[0][1]}")
        return Index(self.access.url, **{key: value for key, value in self.access.credentials.items() if value})

    def versions(self, path):
        """Return the Artifacts of a package, newest version first; their paths are package/file."""
        answer, links = self.page(path)
        found = [
            (
                version_in(name),
                Artifact(f"{canonicalize_name(path)}/{name}", size, hashes.get("sha256"), urljoin(answer.url, href)),
            )
            for href, name, hashes, size in links
        ]
        known = [item for item in found if item[0] is not None]
        return [artifact for _, artifact in sorted(known, key=lambda item: (item[0], item[1].path), reverse=True)]

    def package_versions(self, package):
        """Return the PackageVersions of a package, newest first; none of an unknown one."""
        found = {}
        for artifact in self.versions(package):
            name = artifact.path.rpartition("/")[2]
            found.setdefault(version_in(name), []).append(name)
        return [PackageVersion(str(version), version.is_prerelease, files) for version, files in found.items()]

    def page(self, package):
        """Return (the Answer, links as [(URL, file name, {algorithm: digest}, size)]) of a package's page; none without one.

        Raises ForeignError for what is no page of an index, such as one to log in, which must not pass for an empty package.
        """
        name, http = canonicalize_name(package), Http(self.access)
        answer = http.get(f"{self.access.url.rstrip('/')}/{name}/", headers={"Accept": SIMPLE}, also=(404,))
        if answer.status == 404:
            return answer, []
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in (HTML, "text/html"):
            files = http.json_of(answer, dict)["files"]
            if not isinstance(files, list) or not all(isinstance(item, dict) for item in files):
                raise http.bad_answer("its 'files' is no list of files")
            return answer, [(item["url"], item["filename"], item.get("hashes") or {}, item.get("size")) for item in files]
        page = Page(answer.body.decode("utf-8", "replace"))
        if kind == "text/html" and not page.is_index:
            raise http.bad_answer(
                f"{http.place(answer.url)} is an HTML page that neither links to files of {name} nor says that it is a page of "
                "a package index, perhaps a page to log in"
            )
        return answer, page.links

    def fetch(self, path, file, sha256=None):
        """Write a package's file into an open one, its digest checked; returns its Artifact."""
        found = next((item for item in self.versions(path.partition("/")[0]) if item.path == path), None)
        if found is None:
            raise ForeignError(f"The integration '{self.access.name}' has no file {path}.", errors.NOT_FOUND, self.access)
        answer = Http(self.access).download(found.url, file, LARGEST_FILE, sha256 or found.sha256)
        return Artifact(path, answer.size, answer.sha256, found.url)

    def prove(self, **hints):
        """Ask for a package that need not be there: what matters is that the index answers and takes the login."""
        return Proof(None, [attempt("index", self.knock, lambda url: f"{url} answers.")])

    def knock(self):
        """Ask the index for a package; returns the index's URL. Raises ForeignError."""
        self.page("pip")
        return self.access.url


class Page(HTMLParser):
    """An index's page of a package as HTML (PEP 503): `links` is [(URL, file name, {"sha256": digest}, None)]."""

    def __init__(self, text):
        super().__init__()
        self.links = []
        self.has_version = self.asks_for_password = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Take a link to a file, and what tells whether this is a page of an index; `attrs` is [(name, value or None)]."""
        about = dict(attrs)
        if tag == "a" and about.get("href"):
            url, _, fragment = about["href"].partition("#")
            name, _, digest = fragment.partition("=")
            self.links.append((url, unquote(urlsplit(url).path.rpartition("/")[2]), {name: digest}, None))
        elif tag == "meta":
            self.has_version |= about.get("name") == "pypi:repository-version"  # PEP 629
        elif tag == "input":
            self.asks_for_password |= (about.get("type") or "").lower() == "password"

    @property
    def is_index(self):
        """Whether this is what it should be: it gives the index's version or links to a package's files.

        A page without either is none, although an old index may have one for a package without files: nothing tells that
        from a page to log in, which may be any HTML, and nothing could be installed from it.
        """
        has_files = any(name.lower().endswith(FILES) for _, name, _, _ in self.links)
        return (self.has_version or has_files) and not self.asks_for_password


def version_in(filename):
    """Return the version of a distribution's file name, None for another file."""
    for parse in (parse_wheel_filename, parse_sdist_filename):
        try:
            return parse(filename)[1]
        except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
            continue
    return None


def default_index():
    """Return the Index of the setting build.index_url; an empty one leaves it to uv's own configuration."""
    if not settings.build.index_url:
        return Index()
    return split(settings.build.index_url)


def split(url):
    """Return the Index of a URL that may hold a user name and a password."""
    parts = urlsplit(url)
    if parts.username is None:
        return Index(url)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Index(plain, username=unquote(parts.username), password=unquote(parts.password or ""))
