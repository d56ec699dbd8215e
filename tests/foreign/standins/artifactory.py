"""A stand-in for JFrog Artifactory, and one for the storage in the cloud that it sends downloads to."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote

from tests.controllers.servers import basic
from tests.foreign.standins.frame import Reply, StandIn, route

A = "/artifactory"
AQL = re.compile(r"items\.find\((.*?)\)\.include\((.*?)\)\.sort\((.*?)\)\.offset\((\d+)\)\.limit\((\d+)\)\Z")
NAMED = {"sha1": "X-Checksum-Sha1", "md5": "X-Checksum-Md5", "sha256": "X-Checksum-Sha256"}


def digests_of(content):
    return {name: hashlib.new(name, content, usedforsecurity=False).hexdigest() for name in NAMED}


def split(text, separator):
    """Split at separators that no backslash stands before, as Artifactory reads properties."""
    return [re.sub(r"\\(.)", r"\1", part) for part in re.findall(rf"(?:\\.|[^\\{separator}])+", text)]


@dataclass
class File:
    """A file that is kept."""

    content: bytes
    created: datetime
    properties: dict = field(default_factory=dict)


class Storage(StandIn):
    """Storage whose URLs are signed: it refuses whoever brings credentials of its own."""

    def __init__(self):
        super().__init__()
        self.contents = {}

    def keep(self, content):
        """Return the signed URL of a content."""
        name = hashlib.sha256(content).hexdigest()
        self.contents[name] = content
        return f"{self.url}/bucket/{name}?X-Amz-Signature=5167"

    @route("GET", "/bucket/(?P<name>[0-9a-f]+)")
    def get(self, request, name):
        if request.login or request.headers.get("X-JFrog-Art-Api"):
            body = b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>"
            raise Reply(body, 400, kind="application/xml")
        return Reply(self.contents[name], kind="application/octet-stream")


class Artifactory(StandIn):
    """Repositories `releases` (files) and `pypi`; logins: a token, deploy with a password, or an API key."""

    token, password, key = "artifactory-t0ken", "artifactory-passw0rd", "artifactory-k3y"

    def __init__(self):
        super().__init__()
        self.files = {}  # By repository/path.
        self.blobs = []  # Contents it has anywhere.
        self.storage = None
        self.hard_limit = None  # Of results of a search, as an administrator set it.
        self.may_overwrite = False

    def error(self, status, message="Refused by the stand-in"):
        return {"errors": [{"status": status, "message": message}]}

    def refuse(self, status, message):
        raise Reply(self.error(status, message), status)

    def admit(self, request):
        logins = (f"Bearer {self.token}", basic("deploy", self.password))
        if request.login in logins or request.headers.get("X-JFrog-Art-Api") == self.key:
            return
        bearer = (request.login or "").startswith("Bearer")
        self.refuse(401, "Props Authentication Token not found" if bearer else "Bad credentials")

    @route("GET", A + "/api/system/version")
    def version(self, request):
        return Reply({"version": "7.98.7", "revision": "79807900"})

    # Packages.

    @route("GET", A + "/api/pypi/(?P<repository>[^/]+)/simple/(?P<package>[^/]+)/")
    def package(self, request, repository, package):
        self.admit(request)
        folder = f"{repository}/{package}/"
        found = [(path.rpartition("/")[2], file.content) for path, file in self.files.items() if path.startswith(folder)]
        links = [f'<a href="../../{package}/{name}#sha256={digests_of(content)["sha256"]}">{name}</a>' for name, content in found]
        if not links:
            self.refuse(404, "Unable to find item")
        return Reply("".join(links).encode(), kind="text/html")

    # Files.

    def named(self, path):
        """Return the File at repository/path."""
        return self.files.get(path) or self.refuse(404, "Unable to find item")

    def file_json(self, path):
        """Return what Artifactory tells of a file; its size is a text."""
        file = self.named(path)
        repository, _, rest = path.partition("/")
        return {
            "repo": repository,
            "path": f"/{rest}",
            "created": file.created.isoformat(),
            "size": str(len(file.content)),
            "checksums": digests_of(file.content),
            "downloadUri": f"http://artifactory.example.net/artifactory/{path}",
        }

    def add(self, path, content, properties=None):
        """Keep a file; each is a minute younger than the one before."""
        created = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=len(self.blobs))
        self.files[path] = File(content, created, properties or {})
        self.blobs.append(content)

    @route("PUT", A + "/(?!api/)(?P<path>[^;]+)(?:;.*)?")
    def deploy(self, request, path):
        content = request.body
        digests = {name: request.headers[header] for name, header in NAMED.items() if request.headers[header]}
        if request.headers.get("X-Checksum-Deploy") == "true":
            content = next((known for known in self.blobs if digests.items() <= digests_of(known).items()), None)
            if content is None:
                self.refuse(404, "Checksum deploy failed. No existing file with SHA1: " + digests.get("sha1", ""))
        for name, digest in digests.items():
            actual = digests_of(content)[name]
            if digest != actual:
                self.refuse(409, f"Checksum error for '{path}': received '{digest}' but actual is '{actual}'")
        if path in self.files and not self.may_overwrite:
            self.refuse(403, f"Not enough permissions to delete/overwrite artifact '{path}' (user: 'deploy')")
        pairs = [split(unquote(pair), "=") for pair in request.path.split(";")[1:]]
        self.add(path, content, {pair[0]: "".join(pair[1:]) for pair in pairs})
        return Reply(self.file_json(path), 201)

    @route("GET", A + "/(?!api/)(?P<path>.+)")
    def download(self, request, path):
        file = self.named(path)
        if self.storage:
            return Reply(None, 302, {"Location": self.storage.keep(file.content)})
        headers = {NAMED[name]: digest for name, digest in digests_of(file.content).items()}
        return Reply(file.content, headers=headers, kind="application/octet-stream")

    @route("GET", A + "/api/storage/(?P<path>.+)")
    def info(self, request, path):
        if path in ("releases", "pypi"):
            return Reply({"repo": path, "path": "/", "children": [{"uri": "/shop", "folder": True}]})
        if "properties" not in request.query:
            return Reply(self.file_json(path))
        found = self.named(path).properties
        if not found:
            self.refuse(404, "No properties could be found.")
        return Reply({"properties": {name: [value] for name, value in found.items()}, "uri": "x"})

    @route("PUT", A + "/api/storage/(?P<path>.+)")
    def set_properties(self, request, path):
        file = self.named(path)
        given = dict(parse_qsl(request.target.partition("?")[2]))
        for pair in re.findall(r"(?:\\.|[^\\;])+", given["properties"]):
            name, *value = split(pair, "=")
            if len(value) > 1 or len(split("".join(value) and pair.partition("=")[2], ",|")) > 1:
                self.refuse(400, f"The property {name} is malformed")
            file.properties[name] = "".join(value)
        return Reply(None, 204)

    # Searching.

    @route("POST", A + "/api/search/aql")
    def search(self, request):
        if request.headers["Content-Type"] != "text/plain":
            self.refuse(415, "Unsupported Media Type")
        found = AQL.match(request.body.decode())
        criteria, fields = json.loads(found[1]), json.loads(f"[{found[2]}]")
        offset, limit = int(found[4]), int(found[5])
        if not {"repo", "path", "name"} <= set(fields):
            self.refuse(403, "This query requires the fields repo, path and name")
        items = [item for item in map(self.item, self.files) if self.fits(item, criteria)]
        items.sort(key=lambda item: item["created"], reverse=True)
        most = min(limit, self.hard_limit or limit)
        shown = items[offset : offset + most]
        span = {"start_pos": offset, "end_pos": offset + len(shown), "total": len(shown), "limit": limit}
        if most < limit and offset + most < len(items):
            span["notification"] = "AQL query reached the search hard limit, results are trimmed."
        return Reply({"results": [{name: item[name] for name in fields} for item in shown], "range": span})

    def item(self, path):
        repository, _, rest = path.partition("/")
        folder, _, name = rest.rpartition("/")
        file = self.files[path]
        item = {"repo": repository, "path": folder or ".", "name": name, "type": "file", "size": len(file.content)}
        return {**item, "created": file.created.isoformat(), "sha256": digests_of(file.content)["sha256"]}

    def fits(self, item, criteria):
        """Say whether an item fits criteria: equality, $match with *, and $or."""
        for name, value in criteria.items():
            if name == "$or":
                good = any(self.fits(item, other) for other in value)
            elif isinstance(value, dict):
                good = re.fullmatch(re.escape(value["$match"]).replace(r"\*", ".*"), item[name]) is not None
            else:
                good = item[name] == value
            if not good:
                return False
        return True
