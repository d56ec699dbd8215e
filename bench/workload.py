"""The application whose deploys are measured, as a git repository with a tag for every release that is needed."""

import os
import random
import shutil
import subprocess
from pathlib import Path

TEMPLATE = Path(__file__).with_name("shop")
ASSETS, ASSET_BYTES = 300, 8_192
COMMITTER = {
    "GIT_AUTHOR_NAME": "Bench",
    "GIT_AUTHOR_EMAIL": "bench@localhost",
    "GIT_COMMITTER_NAME": "Bench",
    "GIT_COMMITTER_EMAIL": "bench@localhost",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


class Workload:
    """The repository at `folder`, with the tags first, dependency, code-1 … code-N and broken-1 … broken-N."""

    def __init__(self, folder, rounds):
        self.folder, self.rounds = Path(folder), rounds

    def make(self):
        """Make the repository."""
        self.folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        for name in ("app.py", "Procfile", "requirements.txt"):
            shutil.copy(TEMPLATE / name, self.folder)
        assets = self.folder / "assets"
        assets.mkdir()
        noise = random.Random(2)  # Always the same bytes, and none that compress.
        for number in range(ASSETS):
            (assets / f"{number:03}.bin").write_bytes(noise.randbytes(ASSET_BYTES))
        self.commit("first")
        shutil.copy(TEMPLATE / "requirements.other.txt", self.folder / "requirements.txt")
        self.commit("dependency")
        for number in range(1, self.rounds + 1):
            (assets / "000.bin").write_bytes(noise.randbytes(ASSET_BYTES))
            self.commit(f"code-{number}")
        for number in range(1, self.rounds + 1):
            self.commit(f"broken-{number}")

    def commit(self, version):
        """Commit what there is as `version` and tag it so."""
        (self.folder / "VERSION").write_text(version + "\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", version)
        self.git("tag", version)

    def git(self, *arguments, **options):
        """Run git in the repository."""
        return subprocess.run(["git", "-C", str(self.folder), *arguments], env={**os.environ, **COMMITTER}, check=True, **options)

    def check_out(self, tag, folder):
        """Write the files of `tag` into a new folder."""
        Path(folder).mkdir(parents=True)
        archive = self.git("archive", tag, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
