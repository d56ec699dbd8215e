"""What every driver of a configurator can do: bring a host into the state that a playbook or manifest describes."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field

from config import settings
from controllers.foreign import Driver, ForeignError
from controllers.foreign.credentials import one_of
from controllers.foreign.errors import NOT_FOUND, NOT_PERMITTED

MOST_FILES = 20_000
LEFT_OUT = frozenset({".git", "__pycache__"})


class FolderSettings(BaseModel):
    """Where the playbooks or manifests are, and how they are run."""

    model_config = ConfigDict(extra="forbid", strict=True)
    folder: str = Field(pattern=r"^/[^\x00]*$", max_length=1000, description="Absolute path of their folder on the workers.")
    time_limit_s: int = Field(default=900, ge=1, le=86_400, description="Seconds one run on one host may take.")


@dataclass(frozen=True)
class Job:
    """One run on one host.

    host: a models.Host; groups: those it is in; variables: what the run is given, by name; secrets: values among them that
    nobody may see; is_check: see what would change, changing nothing; key: the same for what may be followed instead of being
    started twice, epoch: higher for whoever comes later; on_event(event): is given {"kind": "task", "text", "data": {"state"}}
    and {"kind": "output", "text"} as they happen; stop: a threading.Event that ends it; limit_s: seconds it may take at most,
    whatever the integration allows.
    """

    host: object
    run: str
    variables: dict = field(repr=False)
    on_event: object
    stop: object
    limit_s: int
    key: str
    epoch: int = 1
    groups: tuple = ()
    secrets: tuple = field(default=(), repr=False)
    is_check: bool = False


class ConfiguratorDriver(Driver):
    """A system that brings hosts into a described state. `opened` names the setting with the folders it may read."""

    role = "configurator"
    runs_on_workers = True
    needs_url = False
    Settings = FolderSettings
    Credentials = one_of()
    opened = None

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """A folder is no URL."""
        return [("url", "Leave it out: the folder goes into settings.folder.")] if url else []

    def carry_out(self, job):
        """Carry out a Job; returns whether it changed anything. Raises ForeignError: what failed, in the system's words."""
        raise NotImplementedError

    # The folder.

    @property
    def folder(self):
        """The folder, wherever links lead. Raises ForeignError for one that the configuration does not open."""
        real = Path(self.access.settings["folder"]).resolve()
        first, _, second = self.opened.partition(".")
        allowed = [Path(path).resolve() for path in getattr(getattr(settings, first), second)]
        if not any(real.is_relative_to(path) for path in allowed):
            raise self.error(f"has the folder {real}, which is below none of the setting {self.opened}: add it there.")
        return real

    def place(self, run):
        """Return the path of a playbook or manifest. Raises ForeignError for one that is not there, or out of the folder."""
        parts = PurePosixPath(run).parts
        if not parts or run.startswith("/") or ".." in parts or "\0" in run:
            raise self.error(f"cannot run '{run}': use a path below its folder, such as site.yml.")
        place = self.folder.joinpath(*parts).resolve()
        if not place.is_relative_to(self.folder):
            raise self.error(f"cannot run '{run}', which leads out of its folder.")
        if not place.is_file():
            raise self.error(f"has no file '{run}' in {self.folder} on this worker.", NOT_FOUND)
        return place

    def files(self):
        """Return the paths of all files in the folder, in the order of their names. Raises ForeignError."""
        found = []
        for base, folders, names in os.walk(self.folder, onerror=self.unreadable):
            folders[:] = sorted(set(folders) - LEFT_OUT)
            found += [Path(base, name) for name in sorted(names)]
            if len(found) > MOST_FILES:
                raise self.error(f"has more than {MOST_FILES} files in its folder: give it one of its own.")
        return found

    def digest(self):
        """Return the SHA-256 over names, modes and contents of the folder, so that a change in it shows. Raises ForeignError."""
        total = hashlib.sha256()
        try:
            for path in self.files():
                content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
                about = f"{path.relative_to(self.folder)}\0{path.lstat().st_mode:o}\0".encode("utf-8", "surrogateescape")
                total.update(about + hashlib.sha256(content).digest())
        except OSError as error:
            self.unreadable(error)
        return total.hexdigest()

    def unreadable(self, error):
        """Raise what an OSError of the folder means."""
        raise self.error(f"cannot read {error.filename}: {error.strerror}.", NOT_PERMITTED) from None

    def error(self, sentence, kind="unusable", **vendor):
        """Return a ForeignError of this integration."""
        return ForeignError(f"The integration '{self.access.name}' {sentence}", kind, self.access, **vendor)

    def again(self, error):
        """Return a ForeignError that names this integration."""
        return ForeignError(error.detail, error.kind, self.access, vendor_message=error.vendor_message)

    def opened_folder(self):
        """Return what the folder holds, for a test of the integration. Raises ForeignError."""
        if not self.folder.is_dir():
            raise self.error(f"has the folder {self.folder}, which is not there on this machine.", NOT_FOUND)
        return f"{self.folder} has {len(self.files())} files."
