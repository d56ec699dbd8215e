"""Static files: what is in static/ at start, kept in memory, with content digests as ETags and one version for all.

Pages name files as /static/v-<version>/js/page.js. Modules import each other by relative addresses, so they inherit the
version; a file under the current version may be kept by browsers for ever. Only files found at start, by folder and
suffix, are served: package.json, node_modules and whatever is put beside them later are not.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bottle import HTTPError, HTTPResponse, request

ROOT = Path(__file__).resolve().parent.parent / "static"
FOLDERS = ("css", "js", "vendor", "img")
TYPES = {
    ".js": "text/javascript; charset=UTF-8",
    ".css": "text/css; charset=UTF-8",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
}
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


@dataclass(frozen=True)
class Asset:
    """A file to serve."""

    media_type: str
    content: bytes
    etag: str


def collect(root=ROOT):
    """Return {path below static/: Asset} of all files that may be served."""
    found = {}
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in TYPES and file.is_file():
                content = file.read_bytes()
                etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                found[file.relative_to(root).as_posix()] = Asset(TYPES[file.suffix], content, etag)
    return found


def version_of(assets):
    """Return a short name for exactly these files; it changes when any of them does."""
    lines = "".join(f"{path} {asset.etag}\n" for path, asset in sorted(assets.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def answer_with(asset, caching):
    """Return the response for a file, without its content when the browser has it already (If-None-Match)."""
    headers = {
        "ETag": asset.etag,
        "Cache-Control": caching,
        "Content-Type": asset.media_type,
    }
    tags = request.headers.get("If-None-Match", "")
    if asset.etag in (tag.strip().removeprefix("W/") for tag in tags.split(",")):
        return HTTPResponse(status=304, headers=headers)
    return HTTPResponse(asset.content, headers=headers)


def mount(app, assets):
    """Serve the assets: under /static/v-<version>/ for ever, under /static/ to be asked for again each time."""
    current = version_of(assets)

    def serve(path, caching):
        if path not in assets:
            return HTTPError(404, "There is no such file.")
        return answer_with(assets[path], caching)

    @app.get("/static/v-<version:re:[0-9a-f]+>/<path:path>")
    def versioned_file(version, path):
        return serve(path, FOR_EVER if version == current else ASK_AGAIN)

    @app.get("/static/<path:path>")
    def unversioned_file(path):
        return serve(path, ASK_AGAIN)

    @app.get("/favicon.ico")
    def favicon():
        return serve("img/windlass.svg", ASK_AGAIN)
