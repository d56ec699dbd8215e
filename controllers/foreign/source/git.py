"""Git repositories: any URL git can read, kept as bare mirrors below <data>/git/."""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict

import commands
import network
import scratch
from controllers.foreign import ForeignError
from controllers.foreign.source import git_address, git_commands, git_tree
from controllers.foreign.source.base import Checkout, SourceDriver
from controllers.foreign.source.git_commands import MirrorBroken, git
from gate import Gate

FULL_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,63}")
BAD_IN_REF = re.compile(r"\.\.|@\{|//|[\x00-\x20\x7f~^:?*\[\\]|\.lock(/|$)")
REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
KEPT_REF = "refs/windlass/"  # Keeps what became a release from being pruned when its branch is rewritten.
LISTED_BRANCHES = 8
LOG_FORMAT = "%H%x00%an%x00%aI%x00%s"


class Git(SourceDriver):
    """Git over https, http, ssh, git:// and from folders of this machine that the configuration opens."""

    name = "git"

    class Settings(BaseModel):
        """For SSH: the server's host keys as ssh-keyscan prints them, compared with what the server's owner publishes."""

        model_config = ConfigDict(extra="forbid", strict=True)
        known_hosts: str | None = None

    class Credentials(BaseModel):
        """For https a token or a password, with a user name where the server wants one; for SSH a private key."""

        model_config = ConfigDict(extra="forbid", strict=True)
        username: str | None = None
        password: str | None = None
        token: str | None = None
        ssh_key: str | None = None

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """A password must know its server; a key needs pinned host keys."""
        mistakes = []
        if (credentials.get("password") or credentials.get("token")) and not url:
            mistakes.append(("url", "Give the server's URL, so that the password is sent nowhere else."))
        if credentials.get("ssh_key") and not settings.get("known_hosts"):
            mistakes.append(
                ("settings.known_hosts", "An SSH key needs the server's host keys, as ssh-keyscan prints them.")
            )
        if credentials.get("token") and credentials.get("password"):
            mistakes.append(("credentials", "Give a password or a token, not both."))
        return mistakes

    def checkout(self, repository, ref, branch, work):
        """Put the tree of a ref into the content store; returns a Checkout. `work` is a building.work.Work. Raises ForeignError.

        Where a branch and a tag have the same name, the tag is meant, as git has it, but for the application's own branch.
        """
        address = self.address_of(repository)
        check_ref(ref)
        with Mirror(address, self.access, work) as mirror:
            try:
                return mirror.checkout(ref, prefers_branch=ref == branch)
            except MirrorBroken:
                work.output("The local mirror of the repository is damaged and is made anew.")
                mirror.make()
            try:
                return mirror.checkout(ref, prefers_branch=ref == branch)
            except MirrorBroken as error:
                raise mirror.not_fetched(str(error)) from error

    def commits(self, repository, older, newer, most):
        """Return up to `most` commits that `newer` has and `older` has not, None where the mirror here lacks them."""
        if not (FULL_COMMIT.fullmatch(older or "") and FULL_COMMIT.fullmatch(newer or "")):
            return None
        folder = git_commands.mirror_folder(self.address_of(repository).key(self.access.name))
        if not folder.is_dir():
            return None
        argv = git(
            "-C", str(folder), "log", "-z", f"--max-count={most}", f"--format={LOG_FORMAT}", newer, f"^{older}", "--"
        )
        try:
            done = commands.run(argv, environment=git_commands.base_environment("/nonexistent"), timeout_s=20)
        except commands.CommandError:
            return None
        words = done.output.decode("utf-8", "replace").split("\0")
        keys = ("commit", "author", "at", "subject")
        return [dict(zip(keys, words[place : place + 4], strict=True)) for place in range(0, len(words) - 3, 4)]

    def address_of(self, repository):
        """Return the repository's Address; credentials go to the integration's own server only. Raises ForeignError."""
        address = git_address.address_of(repository, self.access.url)
        if not self.access.credentials:
            return address
        if self.access.url:
            base = git_address.address_of(self.access.url)
            if not address.is_below(base):
                raise ForeignError(
                    f"The repository is not below the URL of the integration '{self.access.name}', "
                    "whose credentials it would be given: "
                    f"choose another integration, or none."
                )
        elif address.protocol != "ssh":
            raise ForeignError(
                f"The integration '{self.access.name}' has credentials and no URL: give it the server's URL, "
                "so that they are sent nowhere else."
            )
        return address


def check_ref(ref):
    """Raise ForeignError for what cannot be a branch, a tag or a commit (git-check-ref-format(1))."""
    if not ref or len(ref) > 250 or ref.startswith(("-", "/")) or ref.endswith(("/", ".")) or BAD_IN_REF.search(ref):
        raise ForeignError(f"'{(ref or '')[:100]}' cannot be a branch, a tag or a commit.")


class Mirror:
    """The bare mirror of one repository, for one process at a time; a `with` block holds it."""

    def __init__(self, address, access, work):
        self.address = address
        self.access = access
        self.work = work
        self.key = address.key(access.name)
        self.folder = git_commands.mirror_folder(self.key)

    def __enter__(self):
        self.held = contextlib.ExitStack()
        with self.held:
            self.lock = self.held.enter_context(
                self.work.holding(
                    "git",
                    f"{self.key}.lock",
                    waiting="Another build is using the mirror of this repository; waiting for it.",
                )
            )
            if not (self.folder / "HEAD").is_file():
                self.make()
            self.held = self.held.pop_all()
        return self

    def __exit__(self, *_):
        self.held.close()

    def run(self, argv, environment=None, **options):
        """Run git. It inherits the lock, so that a git that outlives a killed worker keeps others from the mirror."""
        try:
            return commands.run(
                argv,
                environment=environment or git_commands.base_environment("/nonexistent"),
                timeout_s=git_commands.time_limit(self.work.remaining_s()),
                keep_open=(self.lock,),
                stop=self.work.stop,
                on_tick=self.work.tick,
                **options,
            )
        except commands.Failed as error:
            if git_commands.is_mirror_broken(error.tail):
                raise MirrorBroken(git_commands.meaning_of(error.tail)) from error
            raise

    def make(self):
        """Make the mirror anew, empty. Raises ForeignError."""
        for left_over in self.folder.parent.glob(f"{self.key}.new-*"):  # Of a killed worker: the mirror is ours alone.
            shutil.rmtree(left_over, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=f"{self.key}.new-", dir=self.folder.parent))
        try:
            self.run(git("init", "--quiet", "--bare", "--template=", str(aside)))
            shutil.rmtree(self.folder, ignore_errors=True)
            os.rename(aside, self.folder)
        except commands.Failed as error:
            raise self.not_fetched(git_commands.meaning_of(error.tail)) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def checkout(self, ref, prefers_branch):
        """Return the Checkout of a ref. Raises ForeignError, and MirrorBroken when the mirror is to be made anew."""
        commit = self.commit_of(ref, prefers_branch)
        return Checkout(commit, self.export(commit))

    def commit_of(self, ref, prefers_branch):
        """Return the full commit of a ref, fetching unless it names a commit that is here already."""
        if FULL_COMMIT.fullmatch(ref) and self.resolve(ref):
            return ref
        self.work.output(f"Fetching {self.address.url}")
        self.fetch()
        commit = self.look_up(ref, prefers_branch)
        if commit is None and FULL_COMMIT.fullmatch(ref):
            commit = self.fetch_commit(ref)
        if commit is None:
            raise ForeignError(self.nothing_called(ref))
        return commit

    def fetch(self, *refspecs):
        """Bring all branches and tags (or the given refspecs) here; raises ForeignError saying what went wrong."""
        refspecs = refspecs or REFSPECS
        if self.address.protocol in ("ssh", "git") and not network.proxies():
            self.check_server()
        with scratch.folder("git") as folder, Gate() as gate:
            environment = git_commands.remote_environment(self.address, self.access, folder, gate.variables())
            argv = git(
                "-C",
                str(self.folder),
                "fetch",
                "--prune" if refspecs == REFSPECS else "--no-prune",
                "--no-tags",
                "--force",
                "--no-write-fetch-head",
                "--no-recurse-submodules",
                "--end-of-options",
                self.address.url,
                *refspecs,
                follow_redirects="GIT_ASKPASS" not in environment,
            )
            try:
                self.run(argv, environment, on_line=self.work.output)
            except commands.TimedOut as error:
                raise self.not_fetched(str(error)) from error
            except commands.Failed as error:
                raise self.not_fetched(git_commands.meaning_of(error.tail, gate.failures)) from error

    def not_fetched(self, why):
        """Return the error for a repository that cannot be fetched."""
        return ForeignError(f"The repository {self.address.url} could not be fetched: {why}")

    def check_server(self):
        """Raise ForeignError unless the fence lets ssh and git:// reach the server; they do not go through the gate."""
        try:
            network.addresses_of(self.address.host, self.address.port or network.DEFAULT_PORTS[self.address.protocol])
        except network.NetworkError as error:
            raise self.not_fetched(str(error)) from None

    def fetch_commit(self, commit):
        """Fetch a commit that no branch or tag leads to; returns it, or None where the server does not give it."""
        try:
            self.fetch(f"+{commit}:{KEPT_REF}{commit}")
        except ForeignError:
            return None
        return self.resolve(commit)

    def look_up(self, ref, prefers_branch):
        """Return the commit of a branch, a tag, a whole ref or the beginning of a commit, or None."""
        folders = ("refs/heads/", "refs/tags/") if prefers_branch else ("refs/tags/", "refs/heads/")
        names = [folder + ref for folder in folders] + ([ref] if ref.startswith(("refs/heads/", "refs/tags/")) else [])
        if SHORT_COMMIT.fullmatch(ref):
            names.append(ref)
        return next(filter(None, map(self.resolve, names)), None)

    def resolve(self, name):
        """Return the full commit a name stands for in the mirror, or None."""
        try:
            done = self.run(git("-C", str(self.folder), "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"))
        except commands.Failed:
            return None
        return done.output.decode().strip()

    def nothing_called(self, ref):
        """Return the sentence for a ref that is not there, naming what is."""
        done = self.run(
            git(
                "-C",
                str(self.folder),
                "for-each-ref",
                f"--count={LISTED_BRANCHES}",
                "--sort=-committerdate",
                "--format=%(refname:short)",
                "refs/heads",
            )
        )
        branches = done.output.decode("utf-8", "replace").split()
        hint = (
            f"Its newest branches are {', '.join(branches)}."
            if branches
            else "It has no branches: push something first."
        )
        return f"{self.address.url} has no branch, tag or commit '{ref}'. {hint}"

    def export(self, commit):
        """Put the commit's tree into the content store and return its digest."""
        self.run(git("-C", str(self.folder), "update-ref", f"{KEPT_REF}{commit}", commit))
        self.tell_subject(commit)
        return git_tree.put_into_store(self.folder, commit, self.folder / "windlass-blobs", self.run, self.work.output)

    def tell_subject(self, commit):
        """Say which commit it is, as people know it."""
        done = self.run(git("-C", str(self.folder), "log", "--max-count=1", f"--format={LOG_FORMAT}", commit, "--"))
        _, author, at, subject = done.output.decode("utf-8", "replace").rstrip("\n").split("\0")
        self.work.output(f"Commit {commit[:12]} of {author}, {at[:10]}: {subject}")
