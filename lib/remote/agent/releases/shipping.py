"""Receive releases and environments: say which files are lacking, take these, put the tree in place."""

import hashlib
import json
import os
import struct
import time
import zlib

from remote.agent.failures import FULL, Failure
from remote.agent.machine.files import (
    copy_checked,
    discard,
    flush_file_system,
    flush_folder,
    free_space,
    make_folder,
    point,
    read_bytes,
    read_link,
    remove_tree,
    retire_tree,
    sha256_of,
    write_all,
    write_file,
)
from remote.agent.releases.manifests import Manifest, damage_of, is_digest


class Shipment:
    """One tree on its way: built aside from what the host has and what it is sent, then renamed into place."""

    def __init__(self, place, control, emitter, request):
        self.place, self.control, self.emitter = place, control, emitter
        self.kind, self.name, self.digest = request["kind"], request["name"], request["digest"]
        self.python, self.mend = request.get("python"), bool(request.get("mend"))
        self.step = "ship" if self.kind == "release" else "environment"
        if self.kind not in ("release", "environment") or not is_digest(self.name) or not is_digest(self.digest):
            raise Failure("bad-request", "'ship' needs kind, name and digest.", step="ship")
        if self.kind == "environment" and not self.python:
            raise Failure("bad-request", "'ship' of an environment needs python: {path, version}.", step=self.step)
        self.target = os.path.join(place.trees(self.kind), self.name)
        self.partial = f"{self.target}.partial-{os.getpid()}"
        self.manifest = None
        self.lacks = []
        self.reported_at = 0.0

    def is_complete(self):
        """Say whether the tree is there; an environment whose interpreter moved gets its links renewed.

        Of a tree that is to be mended every file is read; if one is not what the list says, the tree is built anew.
        """
        if not os.path.isdir(self.target) or (self.mend and damage_of(self.place, self.kind, self.name, True)):
            return False
        if self.kind == "environment" and read_link(self.target + "/bin/python") != self.python["path"]:
            os.chmod(self.target, 0o755)
            os.chmod(self.target + "/bin", 0o755)
            self.add_interpreter(self.target)
            self.seal_folders(self.target, ("", "bin"))
        return True

    def begin(self, document):
        """Take the list of files, build what can be built from trees that are here; return the indexes that are lacking."""
        if self.is_complete():
            return []
        self.manifest = Manifest(document, self.digest, self.kind)
        known = self.known_files()
        self.check_room(known)
        remove_tree(self.partial)
        make_folder(self.partial)
        for folder in sorted(self.manifest.folders):
            os.mkdir(os.path.join(self.partial, folder), 0o755)
        for index, path, mode, _, digest in self.manifest.files():
            self.control.check()
            source = known.get((digest, mode))
            if source is None or not self.reuse(source, path, mode, digest):
                self.lacks.append(index)
        return self.lacks

    def check_room(self, known):
        """Raise Failure "disk-full" before anything is written when the tree cannot fit; hard links take no room."""
        files = self.manifest.files()
        written = [size for _, _, mode, size, digest in files if self.kind == "release" or (digest, mode) not in known]
        needed = sum((size + 4095) // 4096 * 4096 for size in written) + (1 << 20)
        count = len(files) + len(self.manifest.folders) + 16
        free, inodes = free_space(self.place.releases)
        if needed > free:
            raise Failure(
                "disk-full",
                f"{self.step.capitalize()} needs {needed:,} bytes on the disk of {self.place.root} but {free:,} are free.",
                "Free some space there, then deploy again; nothing needs to be cleaned up.",
                needed=needed,
                free=free,
            )
        if inodes is not None and count > inodes:
            raise Failure(
                "disk-full",
                f"The disk of {self.place.root} has {inodes:,} inodes free but {count:,} files are to be written.",
                "Remove files there, then deploy again.",
                needed_inodes=count,
                free_inodes=inodes,
            )

    def known_files(self):
        """Return {(sha256, mode): path} of the files in the newest complete trees of this kind."""
        folder, known = self.place.trees(self.kind), {}
        names = self.place.complete(self.kind)
        names.sort(key=lambda name: os.stat(os.path.join(folder, name)).st_mtime, reverse=True)
        for name in names[:3]:
            document = read_bytes(self.place.manifest(self.kind, name))
            for entry in json.loads(zlib.decompress(document)) if document else ():
                if entry[1] != "link":
                    known.setdefault((entry[3], entry[1]), f"{folder}/{name}/{entry[0]}")
        return known

    def reuse(self, source, path, mode, digest):
        """Take a file over from another tree if it really has the expected content; say whether that was done.

        Environments share files by hard links. Releases do not: an application that writes to its own code must not reach
        into another release.
        """
        target = os.path.join(self.partial, path)
        try:
            if self.kind == "environment" and sha256_of(source) == digest:
                os.link(source, target)
                return True
            if self.kind == "release" and copy_checked(source, target, 0o555 if mode == 0o755 else 0o444, digest):
                return True
        except OSError as error:
            if error.errno in FULL:
                raise
        discard(target)
        return False

    def receive(self, frames):
        """Write the lacking files from the stream: for each an 8-byte length, then that many bytes of zlib data."""
        total = sum(self.manifest.entries[index][2] for index in self.lacks) or 1
        done = 0
        for index in self.lacks:
            path, mode, size, digest = self.manifest.entries[index]
            self.control.check()
            (length,) = struct.unpack(">Q", frames.exactly(8))
            self.write_one(frames, length, os.path.join(self.partial, path), mode, size, digest)
            done += size
            if time.monotonic() - self.reported_at > 0.2 or index == self.lacks[-1]:
                self.reported_at = time.monotonic()
                self.emitter.send({"event": "progress", "step": self.step, "done": done, "total": total})
        if frames.some(1):
            raise Failure("bad-transfer", "More was sent than the host lacks.", "Deploy again.")

    def write_one(self, frames, length, target, mode, size, digest):
        """Unpack one file, refusing anything but the size and digest that were announced."""
        unpack, check, written = zlib.decompressobj(), hashlib.sha256(), 0
        name = os.path.relpath(target, self.partial)
        damaged = Failure("bad-transfer", f"The file {name} arrived damaged.", "Deploy again.")
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while length:
                piece = frames.some(length)
                if not piece:
                    raise damaged
                length -= len(piece)
                while piece:
                    content = unpack.decompress(piece, 1 << 20)
                    piece = unpack.unconsumed_tail
                    written += len(content)
                    if written > size:
                        raise damaged
                    check.update(content)
                    write_all(handle, content)
            if not unpack.eof or written != size or check.hexdigest() != digest:
                raise damaged
            os.fchmod(handle, 0o555 if mode == 0o755 else 0o444)
        except zlib.error:
            raise damaged from None
        except OSError as error:
            raise OSError(error.errno, error.strerror, target) from None
        finally:
            os.close(handle)

    def finish(self):
        """Complete the tree, flush it and rename it into place."""
        for path, target in self.manifest.links.items():
            os.symlink(target, os.path.join(self.partial, path))
        if self.kind == "environment":
            self.add_interpreter(self.partial)
        self.seal_folders(self.partial, ["", *self.manifest.folders])
        write_file(self.place.manifest(self.kind, self.name), zlib.compress(self.manifest.document, 1), 0o600)
        flush_file_system(self.partial)
        self.control.check()
        if os.path.isdir(self.target):
            retire_tree(self.target)  # It is damaged; the processes started from it are started anew from this one.
        os.rename(self.partial, self.target)
        flush_folder(os.path.dirname(self.target))

    def add_interpreter(self, tree):
        """Make the parts of an environment that depend on where the host keeps Python (see PEP 405)."""
        path, version = self.python["path"], str(self.python["version"])
        make_folder(tree + "/bin")
        for name in {"python", "python3", "python" + version}:
            point(os.path.join(tree, "bin", name), path if name == "python" else "python")
        write_file(
            tree + "/pyvenv.cfg",
            f"home = {os.path.dirname(path)}\ninclude-system-site-packages = false\nversion = {version}\n",
            0o444,
        )

    @staticmethod
    def seal_folders(tree, folders):
        """Make folders read-only, the inner ones first."""
        for folder in sorted(folders, key=len, reverse=True):
            os.chmod(os.path.join(tree, folder), 0o555)

    def discard(self):
        """Leave nothing of an unfinished tree."""
        remove_tree(self.partial)
