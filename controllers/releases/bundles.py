"""Bundles: a release as one file, to be kept outside Windlass and read back; and trees that come as archives of others.

A bundle is a gzip-compressed tar (POSIX.1-2001): release.json first, then the lock, then every file of the tree below
source/, by path, owned by nobody and of no time, so that the same release gives the same bytes.
"""

import gzip
import io
import json
import posixpath
import tarfile
import zlib

import store
from controllers.errors import BuildFailed

DESCRIPTION, LOCK, TREE = "release.json", "lock.txt", "source/"
LEVEL = 6
MOST_FILES = 200_000
MOST_BYTES = 4 * 1024**3
DESCRIBED = ("version", "ref", "commit", "digest", "lock_digest", "lock_kind", "python_version")


class BadBundle(BuildFailed):
    """An archive cannot be what it should be; the message is a sentence for people."""


def write(release, file):
    """Write the bundle of a ready release to an open binary file. Raises store.StoreError."""
    described = {"application": release.application.name, **{name: getattr(release, name) for name in DESCRIBED}}
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        add(archive, DESCRIPTION, json.dumps(described, indent=2, sort_keys=True).encode() + b"\n")
        add(archive, LOCK, (release.lock or "").encode())
        for entry in store.manifest(release.digest):
            if entry[1] == "link":
                info = member(TREE + entry[0], 0o777)
                info.type, info.linkname = tarfile.SYMTYPE, entry[2]
                archive.addfile(info)
            else:
                add(archive, TREE + entry[0], store.read(entry[3]), entry[1])


def member(name, mode):
    """Return a tar entry that says nothing of the machine it was made on."""
    info = tarfile.TarInfo(name)
    info.mode, info.mtime, info.uid, info.gid = mode, 0, 0, 0
    return info


def add(archive, name, content, mode=0o644):
    """Add a file to a tar archive."""
    info = member(name, mode)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def restore(release, file):
    """Put a release's tree back into the store from its bundle. Raises BadBundle when it is the bundle of another tree."""
    digest = take_tree(file, below=TREE)
    if digest != release.digest:
        raise BadBundle(
            f"The bundle holds the tree {digest[:12]} and not {release.digest[:12]}, which {release.version} consists of."
        )


def take_tree(file, below="", only_folder=False):
    """Put the tree of an archive (tar, compressed or not) into the store; returns its digest. Raises BadBundle.

    `below` is the folder whose content counts; with `only_folder`, an archive that has one folder at its top and nothing
    beside it counts from there, as GitHub and others pack a repository.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:*") as archive:
            entries = list(taken(archive, below))
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadBundle(f"The archive cannot be read: {error}.") from None
    if only_folder:
        entries = without_top(entries)
    if not entries:
        raise BadBundle("The archive holds no file.")
    return store.add_manifest(entries)


def taken(archive, below):
    """Yield the manifest's entries for an archive's members, whose files it puts into the store."""
    count = size = 0
    for info in archive:
        name = posixpath.normpath(info.name)
        if info.isdir() or not name.startswith(below):
            continue
        count, size = count + 1, size + info.size
        if count > MOST_FILES or size > MOST_BYTES:
            raise BadBundle(f"The archive holds more than {MOST_FILES} files or {MOST_BYTES} bytes.")
        path = name.removeprefix(below)
        if info.issym():
            yield [path, "link", info.linkname]
        elif info.isfile():
            yield [path, 0o755 if info.mode & 0o100 else 0o644, *reversed(stored(archive.extractfile(info)))]
        else:
            raise BadBundle(f"'{info.name}' in the archive is neither a file nor a symbolic link.")


def stored(source):
    """Put an open file's content into the store; returns (sha256, size)."""
    with store.Writer() as writer:
        while data := source.read(store.READ_BYTES):
            writer.write(data)
        return writer.finish()


def without_top(entries):
    """Return entries without the one folder that all of them are in, if there is one."""
    tops = {entry[0].partition("/")[0] for entry in entries}
    if len(tops) != 1 or any("/" not in entry[0] for entry in entries):
        return entries
    return [[entry[0].partition("/")[2], *entry[1:]] for entry in entries]
