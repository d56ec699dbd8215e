"""The content store: every file once, compressed and named by its SHA-256; trees as manifests named by their digest.

    <data>/store/objects/<aa>/<sha256 of the raw content>   zlib level 6, ready to be sent to a host as it is
    <data>/store/manifests/<digest>                         canonical JSON, its SHA-256 is the digest

A manifest is a list sorted by path of [path, mode, size, sha256] for files (mode 0o644 or 0o755) and
[path, "link", target] for symbolic links that stay inside the tree; folders are implied. So a digest depends on content
alone. Objects and manifests are written aside and renamed, manifests last: what has a manifest is complete, whatever
was killed meanwhile, and any number of processes may write at the same time.
"""

import contextlib
import hashlib
import json
import os
import posixpath
import re
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from config import settings

LEVEL = 6
IN_MEMORY = 1024 * 1024  # Larger files are compressed while they are read, smaller ones only when they are new.
READ_BYTES = 256 * 1024
LEFT_OVER_AFTER_S = 24 * 3600
MOST_HOPS = 40
FILE_MODES = (0o644, 0o755)
DIGEST = re.compile(r"[0-9a-f]{64}")


class StoreError(Exception):
    """The store cannot do what was asked; the message is a sentence for people."""


class BadTree(StoreError):
    """A tree holds something no release may: the message names the path."""


class Missing(StoreError):
    """The store does not hold this."""


class Damaged(StoreError):
    """What the store holds is not what it was."""


def base():
    """Return the store's folder."""
    return Path(settings.data, "store")


def object_path(sha256):
    """Return where the compressed content of a file is, or would be."""
    return base() / "objects" / sha256[:2] / sha256


def manifest_path(digest):
    """Return where the manifest of a tree is, or would be."""
    return base() / "manifests" / digest


# Writing.


class Writer:
    """Takes one file's content piece by piece; `finish()` puts it into the store. Use it in a `with` block."""

    def __init__(self):
        self.size = 0
        self._hash = hashlib.sha256()
        self._start = bytearray()
        self._file = self._path = self._compressor = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._file:
            with contextlib.suppress(OSError):  # A full disk refuses what is still buffered; it is thrown away anyway.
                self._file.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def write(self, data):
        """Take more of the content."""
        self.size += len(data)
        self._hash.update(data)
        if self._file is None and len(self._start) + len(data) <= IN_MEMORY:
            self._start += data
            return
        if self._file is None:
            self._path = aside()
            self._file = open(self._path, "xb")  # noqa: SIM115  (closed by __exit__)
            self._compressor = zlib.compressobj(LEVEL)
            self._file.write(self._compressor.compress(bytes(self._start)))
            self._start.clear()
        self._file.write(self._compressor.compress(data))

    def finish(self):
        """Put the content into the store and return (sha256, size)."""
        sha256 = self._hash.hexdigest()
        path = object_path(sha256)
        if self._file:
            self._file.write(self._compressor.flush())
            self._file.close()
            place(self._path, path)
        elif not is_there(path):
            write_aside(path, zlib.compress(bytes(self._start), LEVEL))
        return sha256, self.size


def add_bytes(content):
    """Put a file's content into the store; returns (sha256, size)."""
    with Writer() as writer:
        writer.write(content)
        return writer.finish()


def add_file(path):
    """Put a file into the store; returns (sha256, size)."""
    with Writer() as writer, open(path, "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > IN_MEMORY:  # Compressing costs far more than reading twice.
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if is_there(object_path(sha256)):
                return sha256, size
            file.seek(0)
        while data := file.read(READ_BYTES):
            writer.write(data)
        return writer.finish()


def add_tree(folder):
    """Put everything below a folder into the store; returns the tree's digest. Raises BadTree."""
    files, entries = [], []
    for path, name in walk(Path(folder)):
        if path.is_symlink():
            entries.append([name, "link", os.readlink(path)])
        elif path.is_file():
            files.append((path, name))
        else:
            raise BadTree(f"{name} is neither a file nor a symbolic link.")
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:  # zlib and hashlib work outside the GIL.
        stored = pool.map(add_file, [path for path, _ in files])
        for (path, name), (sha256, size) in zip(files, stored, strict=True):
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            entries.append([name, mode, size, sha256])
    return add_manifest(entries)


def walk(folder):
    """Yield (path, name below the folder) for everything but folders."""
    for where, folders, names in os.walk(folder):
        linked = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in names + linked:
            path = Path(where, name)
            yield path, path.relative_to(folder).as_posix()


def add_manifest(entries):
    """Write the manifest of entries whose files are in the store; returns its digest. Raises BadTree."""
    entries = sorted((list(entry) for entry in entries), key=lambda entry: entry[0])
    check_entries(entries)
    content = canonical(entries)
    digest = hashlib.sha256(content).hexdigest()
    path = manifest_path(digest)
    if not is_there(path):
        write_aside(path, content, durable=True)
    return digest


def canonical(entries):
    """Return a manifest's bytes."""
    return json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()


def aside():
    """Return a new path on the store's file system for something that is being written."""
    folder = base() / "incoming"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{os.getpid()}-{os.urandom(8).hex()}"


def write_aside(path, content, durable=False):
    """Write a file completely or not at all."""
    temporary = aside()
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        place(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def place(temporary, path):
    """Rename a finished file to where it belongs."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chmod(temporary, 0o400)
    os.replace(temporary, path)


def tidy():
    """Remove what killed processes left half-written long ago."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(base() / "incoming"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime > LEFT_OVER_AFTER_S:
                    os.unlink(entry.path)


# Reading.


def is_there(path):
    """Say whether a file exists with any content: a crash of the machine can leave an empty one."""
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False


def manifest_bytes(digest):
    """Return a manifest's bytes, checked against the digest; raises Missing or Damaged."""
    if not DIGEST.fullmatch(digest or ""):
        raise Missing("That is no digest of a tree.")
    try:
        content = manifest_path(digest).read_bytes()
    except FileNotFoundError:
        raise Missing(f"The store does not hold the tree {digest[:12]}.") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(f"The manifest of the tree {digest[:12]} is damaged: {manifest_path(digest)}.")
    return content


def manifest(digest):
    """Return a tree's entries; raises Missing or Damaged."""
    return json.loads(manifest_bytes(digest))


def has(digest):
    """Say whether a tree is complete in the store: its manifest and all its files."""
    try:
        entries = manifest(digest)
    except Damaged:
        manifest_path(digest).unlink(missing_ok=True)  # The next build writes it anew.
        return False
    except Missing:
        return False
    return all(entry[1] == "link" or is_there(object_path(entry[3])) for entry in entries)


def size(digest):
    """Return the bytes of all files of a tree; raises Missing or Damaged."""
    return sum(entry[2] for entry in manifest(digest) if entry[1] != "link")


def read(sha256, most=None):
    """Return a file's content, checked; at most `most` bytes of it, unchecked then. Raises Missing or Damaged."""
    try:
        compressed = object_path(sha256).read_bytes()
    except FileNotFoundError:
        raise Missing(f"The store does not hold the file {sha256[:12]}.") from None
    try:
        inflater = zlib.decompressobj()
        content = inflater.decompress(compressed, most or 0)
    except zlib.error:
        content = None
    is_whole = most is None or (content is not None and len(content) < most)
    if content is None or (is_whole and hashlib.sha256(content).hexdigest() != sha256):
        object_path(sha256).unlink(missing_ok=True)  # The next build writes it anew.
        raise Damaged(f"The file {sha256[:12]} in the store was damaged and has been removed; build the release again.")
    return content


# What a tree may hold.


def check_entries(entries):
    """Raise BadTree unless sorted entries are a tree that stays inside its own folder, wherever that is."""
    links, folders, seen = {}, set(), set()
    for entry in entries:
        path = entry[0]
        check_path(path)
        if path in seen:
            raise BadTree(f"{path!r} is in the tree twice.")
        seen.add(path)
        if entry[1] == "link":
            links[path] = entry[2]
        elif entry[1] not in FILE_MODES:
            raise BadTree(f"{path!r} has the mode {entry[1]:o}.")
        parts = path.split("/")
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    clash = min(folders & seen, default=None)
    if clash is not None:
        raise BadTree(f"{clash!r} is a file and a folder at once.")
    for path, target in links.items():
        check_link(path, target, links)


def check_path(path):
    """Raise BadTree for a path that could lead elsewhere or that cannot be written down."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadTree(f"The name {path!r} is not UTF-8.") from None
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise BadTree(f"The path {path!r} is not one inside a tree.")
    if len(path.encode()) > 1024 or any(len(part.encode()) > 255 for part in parts):
        raise BadTree(f"The path {path[:100]!r}… is too long.")


def check_link(path, target, links):
    """Raise BadTree if following a symbolic link could leave the tree, also by way of other links."""
    check_link_text(path, target)
    left = target.split("/")
    place = path.split("/")[:-1]
    hops = 0
    while left:
        part = left.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if not place:
                raise BadTree(f"The symbolic link {path!r} leads out of the tree, to {target!r}.")
            place.pop()
            continue
        place.append(part)
        further = links.get("/".join(place))
        if further is None:
            continue
        hops += 1
        if hops > MOST_HOPS:
            return  # A circle leads nowhere; the kernel gives up after as many (path_resolution(7)).
        place.pop()
        left = further.split("/") + left


def check_link_text(path, target):
    """Raise BadTree for a target that is no relative path."""
    try:
        fits = 0 < len(target.encode()) <= 1024 and "\0" not in target
    except UnicodeEncodeError:
        fits = False
    if not fits or posixpath.isabs(target):
        raise BadTree(f"The symbolic link {path!r} leads out of the tree, to {target!r}.")
