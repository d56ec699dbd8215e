"""Put the files of a git commit into the content store, reading from a mirror only the files that were never read before.

A file beside the mirror remembers for each blob that was read its SHA-256 and size, so that a commit that changes three
files costs three files. Formats: git-ls-tree(1) with -z, git-cat-file(1) with --batch.
"""

import re
from dataclasses import dataclass, field

import store
import subprocesses
from controllers.foreign import ForeignError
from controllers.foreign.source.git_commands import MirrorBroken, git

FILE_MODES = {"100644": 0o644, "100664": 0o644, "100755": 0o755}
LINK_MODE, SUBMODULE_MODE = "120000", "160000"
LFS_START = b"version https://git-lfs.github.com/spec/v1\n"
LFS_LARGEST = 1024
LONGEST_LINK = 4096
KNOWN = re.compile(rb"([0-9a-f]{40,64}) ([0-9a-f]{64}) ([0-9]+)( lfs)?\n")
NAMED = 5


@dataclass
class Tree:
    """What a commit holds, as git lists it."""

    files: list = field(default_factory=list)  # (path, mode, blob)
    links: list = field(default_factory=list)  # (path, blob)
    submodules: list = field(default_factory=list)  # paths


@dataclass(frozen=True)
class Blob:
    """A file's content in the store."""

    sha256: str
    size: int
    is_lfs: bool


def parse_tree(listing):
    """Return the Tree of what `git ls-tree -r -z` wrote. Raises ForeignError for a path that is not UTF-8."""
    tree = Tree()
    for record in listing.split(b"\0")[:-1]:
        description, _, raw_path = record.partition(b"\t")
        mode, _, blob = description.decode("ascii").split(" ")
        try:
            path = raw_path.decode()
        except UnicodeDecodeError:
            raise ForeignError(f"The file name {raw_path!r} in the repository is not UTF-8: rename the file.") from None
        if mode in FILE_MODES:
            tree.files.append((path, FILE_MODES[mode], blob))
        elif mode == LINK_MODE:
            tree.links.append((path, blob))
        elif mode == SUBMODULE_MODE:
            tree.submodules.append(path)
        else:
            raise ForeignError(f"'{path}' in the repository has the mode {mode}, which no file of a release may have.")
    return tree


class BlobReader:
    """Takes what `git cat-file --batch` writes, piece by piece: files go to the store, small texts are kept."""

    def __init__(self, with_content):
        self.with_content = with_content
        self.contents = {}
        self.blobs = {}
        self._held = bytearray()
        self._blob = self._writer = None
        self._left = 0
        self._start = b""

    def feed(self, data):
        """Take more bytes. Raises MirrorBroken when git does not have an object."""
        self._held += data
        while self._step():
            pass

    def _step(self):
        """Take the next whole piece of what is held; returns whether there was one."""
        if self._writer is None:
            return self._begin()
        if self._left:
            return self._continue()
        return self._finish()

    def _begin(self):
        end = self._held.find(b"\n")
        if end < 0:
            return False
        words = bytes(self._held[:end]).decode("ascii", "replace").split(" ")
        del self._held[: end + 1]
        if len(words) != 3 or words[1] != "blob":
            raise MirrorBroken(f"the object {words[0]} is missing.")
        self._blob, self._left = words[0], int(words[2])
        self._writer = store.Writer()
        self._start = b""
        return True

    def _continue(self):
        piece = bytes(self._held[: self._left])
        del self._held[: len(piece)]
        self._left -= len(piece)
        self._start = (self._start + piece)[: LONGEST_LINK + 1] if len(self._start) <= LONGEST_LINK else self._start
        self._writer.write(piece)
        return bool(piece)

    def _finish(self):
        if not self._held:
            return False
        del self._held[:1]  # The line break after each content.
        if self._blob in self.with_content:
            self.contents[self._blob] = self._start
        sha256, size = self._writer.finish()
        self.blobs[self._blob] = Blob(sha256, size, size <= LFS_LARGEST and self._start.startswith(LFS_START))
        self.close()
        return True

    def close(self):
        """Leave nothing half-written behind."""
        if self._writer:
            self._writer.__exit__(None, None, None)
            self._writer = None


def read_blobs(mirror, blobs, with_content, run):
    """Put all `blobs` into the store; returns (contents of those in `with_content`, {blob: Blob}). `run` starts git."""
    names = sorted({*blobs, *with_content})
    reader = BlobReader(with_content)
    if names:
        try:
            run(
                git("-C", str(mirror), "cat-file", "--batch", "--buffer"),
                stdin="".join(f"{blob}\n" for blob in names).encode(),
                on_output=reader.feed,
            )
        finally:
            reader.close()
    if missing := set(names) - set(reader.blobs):
        raise MirrorBroken(f"the object {min(missing)} is missing.")
    return reader.contents, reader.blobs


def known_blobs(index):
    """Return {blob: Blob} of what was read from this mirror before and is still in the store."""
    try:
        lines = KNOWN.findall(index.read_bytes())  # A line cut short by a kill matches nothing.
    except FileNotFoundError:
        return {}
    return {blob.decode(): Blob(sha256.decode(), int(size), bool(lfs)) for blob, sha256, size, lfs in lines}


def remember(index, blobs):
    """Add blobs to what is known of the mirror."""
    if blobs:
        lines = [f"{name} {blob.sha256} {blob.size}{' lfs' if blob.is_lfs else ''}\n" for name, blob in blobs.items()]
        with open(index, "ab") as file:
            file.write(b"\n" + "".join(lines).encode())


def link_target(path, content):
    """Return where a symbolic link leads. Raises ForeignError for what is no such text."""
    try:
        target = content.decode()
    except UnicodeDecodeError:
        target = ""
    if not target or len(content) > LONGEST_LINK:
        raise ForeignError(f"The symbolic link '{path}' in the repository leads to no usable path.")
    return target


def put_into_store(mirror, commit, index, run, output):
    """Put the tree of a commit into the store and return its digest.

    mirror: the bare repository; index: the file that remembers blobs; run(argv, **options): starts git and returns
    commands.Done; output(text): shows people what they should know. Raises ForeignError, MirrorBroken and commands.CommandError.
    """
    listing = run(git("-C", str(mirror), "ls-tree", "-r", "-z", "--full-tree", commit), most_output=subprocesses.MOST_OUTPUT)
    tree = parse_tree(listing.output)
    known = known_blobs(index)
    there = {blob for _, _, blob in tree.files if blob in known and store.is_there(store.object_path(known[blob].sha256))}
    new = {blob for _, _, blob in tree.files} - there
    contents, read = read_blobs(mirror, new, {blob for _, blob in tree.links}, run)
    blobs = {**known, **read}
    entries = [[path, mode, blobs[blob].size, blobs[blob].sha256] for path, mode, blob in tree.files]
    entries += [[path, "link", link_target(path, contents[blob])] for path, blob in tree.links]
    try:
        digest = store.add_manifest(entries)
    except store.BadTree as error:
        raise ForeignError(f"The repository cannot become a release: {error}") from None
    remember(index, {blob: read[blob] for blob in new})
    output_notes(tree, blobs, output)
    return digest


def output_notes(tree, blobs, output):
    """Write into the output what people may miss in the release."""
    if tree.submodules:
        output(f"Note: submodules are not followed; the release lacks {listed(tree.submodules)}.")
    pointers = [path for path, _, blob in tree.files if blobs[blob].is_lfs]
    if pointers:
        output(f"Note: Git LFS content is not fetched; the release has only its pointers for {listed(pointers)}.")


def listed(paths):
    """Return some paths as one text."""
    more = len(paths) - NAMED
    return ", ".join(paths[:NAMED]) + (f" and {more} more" if more > 0 else "")
