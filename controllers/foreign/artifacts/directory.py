"""Driver that keeps release bundles in a folder of the workers, such as a shared file system, with JSON beside each file."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field

from config import settings
from controllers.foreign import Check, ForeignError, Proof, errors
from controllers.foreign.artifacts.base import Artifact, ArtifactDriver
from controllers.foreign.credentials import one_of

DESCRIPTION = ".windlass.json"
LOOK = "look whether it is mounted and well. It is tried again later."


class Directory(ArtifactDriver):
    """A folder of the workers' machine, below one that the setting artifacts.local_paths opens."""

    name = "directory"
    takes_files = True
    needs_url = False
    Credentials = one_of()

    class Settings(BaseModel):
        """Where the files are."""

        model_config = ConfigDict(extra="forbid", strict=True)
        folder: str = Field(pattern=r"^/[^\x00]*$", max_length=1000, description="Absolute path of the folder.")

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """A folder is no URL."""
        return [("url", "Leave it out: the folder goes into settings.folder.")] if url else []

    @property
    def folder(self):
        """The folder, wherever links lead. Raises ForeignError for one that the configuration does not open."""
        real = Path(self.access.settings["folder"]).resolve()
        allowed = [Path(path).resolve() for path in settings.artifacts.local_paths]
        if not any(real.is_relative_to(path) for path in allowed):
            raise self.error(f"has the folder {real}, which is below none of the setting artifacts.local_paths: add it there.")
        return real

    def place(self, path):
        """Return where a file is kept. Raises ForeignError for a path that leads out of the folder."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or path.endswith(DESCRIPTION) or "\0" in path:
            raise self.error(f"cannot keep a file at '{path}': use a path such as releases/shop/shop-v1.tar.gz.")
        place = self.folder.joinpath(*parts)
        if not place.resolve().is_relative_to(self.folder):
            raise self.error(f"cannot keep a file at '{path}', which leads out of its folder.")
        return place

    def error(self, sentence, kind=errors.UNUSABLE):
        """Return a ForeignError of this integration."""
        return ForeignError(f"The integration '{self.access.name}' {sentence}", kind, self.access)

    @contextlib.contextmanager
    def translating_errors(self):
        """Turn what the operating system refuses into ForeignErrors."""
        try:
            yield
        except FileNotFoundError as error:
            if not self.folder.exists():  # A share that is not mounted, say: the files in it are not gone for that.
                raise self.error(f"cannot find its folder {self.folder} now: {LOOK}", errors.UNAVAILABLE) from None
            raise self.error(
                f"has no file {error.filename}: put it back, or build the release again.", errors.NOT_FOUND
            ) from None
        except PermissionError as error:
            raise self.error(f"may not use {error.filename}: give Windlass's user the right to.", errors.NOT_PERMITTED) from None
        except OSError as error:
            reason = f"{error.strerror} ({error.filename})" if error.filename else str(error)
            raise self.error(f"cannot use its folder now: {reason}; {LOOK}", errors.UNAVAILABLE) from None

    # What drivers of artifacts do.

    def versions(self, path):
        """Return the Artifacts below a path, newest first."""
        with self.translating_errors():
            base = self.place(path)
            described = [place.with_name(place.name.removesuffix(DESCRIPTION)) for place in base.rglob(f"*{DESCRIPTION}")]
            found = [(place.stat().st_mtime_ns, place) for place in described if place.is_file()]
            return [self.described(place) for _, place in sorted(found, reverse=True)]

    def fetch(self, path, file, sha256=None):
        """Copy a file that is kept into an open one, its digest checked; returns its Artifact."""
        with self.translating_errors(), open(self.place(path), "rb") as stored:
            shutil.copyfileobj(stored, file)
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()
        expected = sha256 or self.description(self.place(path)).get("sha256") or found
        if found != expected:
            raise self.error(f"gave {path} with another content than it had: it was changed or damaged.", errors.BAD_ANSWER)
        return Artifact(path, file.seek(0, os.SEEK_END), found, self.place(path).as_uri())

    def publish(self, path, file, digests, properties=None):
        """Put an open file there, complete or not at all; the very same again changes nothing. Returns its Artifact."""
        place = self.place(path)
        with self.translating_errors():
            os.stat(self.folder)  # Where a share is not mounted, nothing is kept in its stead.
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                self.put(place, lambda made: shutil.copyfileobj(file, made), replaces=False)
            with open(place, "rb") as stored:
                found = hashlib.file_digest(stored, "sha256").hexdigest()
                size = stored.tell()
            if found != digests.sha256:
                raise self.error(f"keeps another file at {path}; it is not replaced.", errors.CONFLICT)
            self.describe(place, {"sha256": found, "size_bytes": size}, properties or {})
        return Artifact(path, size, found, place.as_uri())

    def promote(self, path, properties):
        """Add properties to a file that is kept."""
        with self.translating_errors():
            place = self.place(path)
            self.describe(place, {}, properties)

    def properties(self, path):
        """Return {name: value} of a file's properties."""
        with self.translating_errors():
            os.stat(self.place(path))
            return self.description(self.place(path)).get("properties", {})

    # How they are kept.

    def put(self, place, fill, replaces):
        """Write a file aside and give it its name: `replaces` one that has it, or leaves that alone."""
        aside = place.with_name(f".{place.name}.{os.getpid()}-{os.urandom(6).hex()}")
        try:
            with open(aside, "xb") as made:
                fill(made)
                made.flush()
                os.fsync(made.fileno())
            if replaces:
                os.replace(aside, place)
                return
            with contextlib.suppress(FileExistsError):  # Another worker was faster; what it wrote is compared.
                os.link(aside, place)
        finally:
            aside.unlink(missing_ok=True)

    def description(self, place):
        """Return what is written beside a file, {} where nothing is."""
        try:
            return json.loads(place.with_name(place.name + DESCRIPTION).read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise self.error(f"has a damaged description of {place.name}: delete {place.name}{DESCRIPTION}.") from None

    def describe(self, place, facts, properties):
        """Add facts and properties to a file's description; workers that do so at once wait for each other."""
        with open(place, "rb") as stored:
            fcntl.flock(stored, fcntl.LOCK_EX)
            known = self.description(place)
            known = {**known, **facts, "properties": {**known.get("properties", {}), **properties}}
            content = json.dumps(known, indent=2, sort_keys=True).encode() + b"\n"
            self.put(place.with_name(place.name + DESCRIPTION), lambda made: made.write(content), replaces=True)

    def described(self, place):
        """Return the Artifact of a file by its description."""
        known = self.description(place)
        path = place.relative_to(self.folder).as_posix()
        return Artifact(path, known.get("size_bytes"), known.get("sha256"), place.as_uri())

    def prove(self, **hints):
        """Look whether the folder is there and can be written to, on the machine that is asked."""
        try:
            with self.translating_errors():
                folder = self.folder
                os.listdir(folder)
                if not os.access(folder, os.W_OK):
                    raise PermissionError(13, "Permission denied", str(folder))
        except ForeignError as error:
            return Proof(None, [Check("folder", False, error.detail)])
        return Proof(None, [Check("folder", True, "The folder can be read and written to.")])
