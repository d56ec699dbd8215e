"""Lists of the files of releases and environments: checked before a tree is made, compared with one that is there."""

import hashlib
import json
import os
import stat
import zlib

from remote.agent.failures import Failure
from remote.agent.machine.files import read_bytes, read_link, sha256_of

MOST_DAMAGED = 20  # files of one tree that are reported as damaged


class Manifest:
    """The list of a tree's files: [path, mode, size, sha256] or [path, "link", target], checked before anything is made."""

    def __init__(self, document, digest, kind):
        if hashlib.sha256(document).hexdigest() != digest:
            raise Failure("bad-transfer", f"The list of files does not have the digest {digest}.", "Deploy again.")
        self.document, self.kind = document, kind
        self.entries = json.loads(document)
        self.links = {}
        self.folders = set()
        self.check()

    def check(self):
        """Raise Failure "unsafe-path" for anything that could be written outside the tree."""
        paths = set()
        for entry in self.entries:
            path = entry[0]
            self.check_path(path)
            if path in paths:
                raise self.unsafe(path, "is listed twice")
            paths.add(path)
            while "/" in path:
                path = path.rpartition("/")[0]
                self.folders.add(path)
            if entry[1] == "link":
                self.links[entry[0]] = entry[2]
            elif entry[1] not in (0o644, 0o755) or not isinstance(entry[2], int) or entry[2] < 0 or not is_digest(entry[3]):
                raise self.unsafe(entry[0], "has no valid mode, size or digest")
        for path in self.folders & paths:
            raise self.unsafe(path, "is a file and a folder at the same time")
        for path in self.links:
            self.resolve(path)

    def check_path(self, path):
        """Raise Failure unless `path` is relative, clean and below the tree."""
        parts = path.split("/") if isinstance(path, str) else [""]
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise self.unsafe(path, "is not a clean relative path")
        try:
            is_long = len(path.encode()) > 3000 or any(len(part.encode()) > 255 for part in parts)
        except UnicodeEncodeError:
            raise self.unsafe(path, "is not valid UTF-8") from None
        if is_long:
            raise self.unsafe(path, "is too long")
        own = path == "pyvenv.cfg" or path.startswith("bin/python")
        if self.kind == "environment" and own:
            raise self.unsafe(path, "is made on the host itself")

    def resolve(self, path):
        """Follow a link through the tree the way the kernel would; raise Failure when it leads out of it."""
        done, todo, steps = [], path.split("/"), 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise self.unsafe(path, "is a link that leads out of the tree")
                done.pop()
                continue
            done.append(part)
            target = self.links.get("/".join(done))
            if target is None:
                continue
            steps += 1
            if not isinstance(target, str) or not target or target.startswith("/") or "\0" in target or steps > 40:
                raise self.unsafe(path, "is a link that leads out of the tree or nowhere")
            done.pop()
            todo = target.split("/") + todo

    @staticmethod
    def unsafe(path, why):
        """Return the Failure for a path that is refused."""
        return Failure(
            "unsafe-path",
            f"The path {json.dumps(path)} {why}.",
            "Take it out of the repository or package, or rename it.",
        )

    def files(self):
        """Return [(index, path, mode, size, sha256)] of the files."""
        return [(index, *entry) for index, entry in enumerate(self.entries) if entry[1] != "link"]


def is_digest(value):
    """Say whether a value is a hex SHA-256."""
    return isinstance(value, str) and len(value) == 64 and all(character in "0123456789abcdef" for character in value)


def damage_of(place, kind, name, deep):
    """Return the first paths of a tree that differ from its list; unless `deep`, files are only looked at, not read."""
    document = read_bytes(place.manifest(kind, name))
    if document is None:
        return ["its list of files is missing"]
    damaged = []
    for entry in json.loads(zlib.decompress(document)):
        path = os.path.join(place.trees(kind), name, entry[0])
        try:
            is_right = (
                read_link(path) == entry[2]
                if entry[1] == "link"
                else sha256_of(path) == entry[3]
                if deep
                else is_file_of(path, entry[2])
            )
        except OSError:
            is_right = False
        if not is_right:
            damaged.append(entry[0])
        if len(damaged) == MOST_DAMAGED:
            break
    return damaged


def is_file_of(path, size):
    """Say whether a path is a file, not a link, of this size."""
    about = os.lstat(path)
    return stat.S_ISREG(about.st_mode) and about.st_size == size
