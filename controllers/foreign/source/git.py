"""Driver of plain git repositories at any URL that git can read; they are kept as bare mirrors below <data>/git/."""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import egress
import scratch
import subprocesses
from config import settings
from controllers.build_work import Work
from controllers.errors import BuildFailed
from controllers.foreign import Check, DriverSettings, ForeignError, Proof, attempt
from controllers.foreign import credentials as kinds
from controllers.foreign.credentials import BASIC, SSH_KEY, TOKEN, USER_TOKEN, one_of
from controllers.foreign.errors import BAD_ANSWER, NOT_FOUND, REFUSED_CREDENTIALS, TIMED_OUT, UNAVAILABLE, UNUSABLE
from controllers.foreign.source import git_address, git_commands, git_tree
from controllers.foreign.source.base import BRANCH, TAG, Change, Checkout, Commit, Ref, SourceDriver
from controllers.foreign.source.git_commands import MirrorBroken, git
from egress_proxy import EgressProxy
from utils.datekit import rfc3339

FULL_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,63}")
BAD_IN_REF = re.compile(r"\.\.|@\{|//|[\x00-\x20\x7f~^:?*\[\\]|\.lock(/|$)")
FOLDERS = {BRANCH: "refs/heads/", TAG: "refs/tags/"}
HINTS = {
    UNAVAILABLE: "Look whether it is well.",
    TIMED_OUT: "Look whether it is well.",
    BAD_ANSWER: "Check its URL.",
}
REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
RELEASE_REF = "refs/windlass/"  # Keeps what became a release from being pruned when its branch is rewritten.
LISTED_BRANCHES = 8
CHANGES = {"A": "added", "D": "removed"}
LOG_FORMAT = "%H%x00%an%x00%at%x00%s%x00%B"
LOG_ONE = ("-z", "--max-count=1", f"--format={LOG_FORMAT}")


class Git(SourceDriver):
    """Git over https, http, ssh, git:// and from folders of this machine that the configuration opens."""

    name = "git"

    class Settings(DriverSettings):
        """For SSH: the server's host keys as ssh-keyscan prints them, compared with what the server's owner publishes."""

        known_hosts: str | None = None

    Credentials = one_of(BASIC, TOKEN, USER_TOKEN, SSH_KEY)
    needs_url = False
    has_repositories = False

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """A password must know its server; a key needs pinned host keys."""
        mistakes = kinds.mistakes_in(credentials, cls.Credentials.kinds)
        if (credentials.get("password") or credentials.get("token")) and not url:
            mistakes.append(("url", "Give the server's URL, so that the password is sent nowhere else."))
        if credentials.get("ssh_key") and not settings.get("known_hosts"):
            mistakes.append(("settings.known_hosts", "An SSH key needs the server's host keys, as ssh-keyscan prints them."))
        return mistakes

    def checkout(self, repository, ref, branch, work):
        """Put the tree of a ref into the content store; returns a Checkout. `work` is a building.work.Work. Raises ForeignError.

        Where a branch and a tag have the same name, the tag is meant, as git has it, but for the application's own branch.
        """
        address = self.address_of(repository)
        check_ref(ref)
        return self.in_mirror(address, work, lambda mirror: mirror.checkout(ref, prefers_branch=ref == branch))

    def in_mirror(self, address, work, look):
        """Return look(mirror) of the mirror of a repository; a damaged one is made anew. Raises ForeignError."""
        with Mirror(address, self.access, work) as mirror:
            try:
                return look(mirror)
            except MirrorBroken:
                work.output("The local mirror of the repository is damaged and is made anew.")
                mirror.make()
            try:
                return look(mirror)
            except MirrorBroken as error:
                raise mirror.not_fetched(str(error), BAD_ANSWER) from error  # A new mirror: it is the server that lies.

    def commits(self, repository, older, newer, most, may_fetch=False):
        """Return up to `most` commits that `newer` has and `older` has not; those that the mirror here lacks are fetched if
        that is allowed, else None is returned. Raises ForeignError.
        """
        if not (FULL_COMMIT.fullmatch(older or "") and FULL_COMMIT.fullmatch(newer or "")):
            return None
        address = self.address_of(repository)
        folder = git_commands.mirror_folder(address.key(self.access.name))
        log = ("log", "-z", f"--max-count={most}", f"--format={LOG_FORMAT}", newer, f"^{older}", "--")
        argv = git("-C", str(folder), *log)
        if folder.is_dir():
            with contextlib.suppress(subprocesses.CommandError):
                environment = git_commands.base_environment("/nonexistent")
                return logged(subprocesses.run(argv, environment=environment, timeout_s=20).output)

        def fetched(mirror):
            """Return the commits once the mirror has both."""
            for commit in (older, newer):
                mirror.commit_of(commit, prefers_branch=False)
            return logged(mirror.run(argv).output)

        if not may_fetch:
            return None
        try:
            return self.in_mirror(address, quiet(), fetched)
        except (BuildFailed, subprocesses.CommandError):
            raise ForeignError(
                f"The commits of {address.url} could not be looked up in time, perhaps because a build uses its mirror.",
                TIMED_OUT,
                self.access,
            ) from None

    def is_same_repository(self, repository, pushed):
        """Say whether two names lead to the same place."""
        return self.address_of(repository).url.removesuffix(".git") == self.address_of(pushed).url.removesuffix(".git")

    def refs(self, repository, query=None):
        """Return branches, then tags with the commits they lead to, as the server has them now. Raises ForeignError."""
        address = self.address_of(repository)
        done = remote_git(address, self.access, "ls-remote", "--heads", "--tags", "--end-of-options")
        found = {}
        for line in done.output.decode("utf-8", "replace").splitlines():
            commit, _, name = line.partition("\t")
            found[name.removesuffix("^{}")] = commit  # The line of what a tag object leads to comes after its own.
        return [
            Ref(kind, name.removeprefix(folder), commit)
            for kind, folder in FOLDERS.items()
            for name, commit in found.items()
            if name.startswith(folder)
        ]

    def has_ref(self, repository, ref, branch=None):
        """Say whether a branch or a tag is there; None for what may be a commit, which only fetching would tell."""
        check_ref(ref)
        names = {name for found in self.refs(repository) for name in (found.name, FOLDERS[found.kind] + found.name)}
        is_commit = SHORT_COMMIT.fullmatch(ref) or FULL_COMMIT.fullmatch(ref)
        return True if ref in names else None if is_commit else False

    def resolve(self, repository, ref, branch=None):
        """Return the Commit of a branch, a tag or a commit, fetching it. Raises ForeignError."""
        check_ref(ref)
        with Mirror(self.address_of(repository), self.access, quiet()) as mirror:
            commit = mirror.commit_of(ref, prefers_branch=ref == branch)
            done = mirror.run(git("-C", str(mirror.folder), "log", *LOG_ONE, commit, "--"))
        return Commit(**logged(done.output)[0])

    def changed_files(self, repository, older, newer, most):
        """Return up to `most` Changes between two commits, fetching them. Raises ForeignError."""
        with Mirror(self.address_of(repository), self.access, quiet()) as mirror:
            pair = [mirror.commit_of(commit, prefers_branch=False) for commit in (older, newer)]
            done = mirror.run(git("-C", str(mirror.folder), "diff-tree", "-r", "-z", "--name-status", "--no-renames", *pair))
        words = done.output.decode("utf-8", "replace").split("\0")
        named = zip(words[0::2], words[1::2], strict=False)
        return [Change(path, CHANGES.get(kind, "changed")) for kind, path in named][:most]

    def prove(self, repository=None):
        """Try to read a repository's branches; without one only the server's being there can be tried."""
        if repository:
            check = attempt("repository", lambda: self.branches(repository), lambda count: f"It has {count} branches.")
            return Proof(None, [check])
        checks = [attempt("server", self.reach, lambda place: f"{place} answers; name a repository to try more.")]
        state = self.access.breaker.state
        if state and state["kind"] == REFUSED_CREDENTIALS:
            checks.append(Check("login", False, f"{state['reason']} Name a repository to try the credentials again."))
        return Proof(None, checks)

    def reach(self):
        """Connect to the server of the integration's URL; returns its name. Raises ForeignError."""
        if not self.access.url:
            raise ForeignError("Without a URL there is no server to try: name a repository.", access=self.access)
        address = git_address.address_of(self.access.url)
        if address.protocol != "file":
            try:
                egress.connect(
                    address.host,
                    address.port or egress.DEFAULT_PORTS[address.protocol],
                    settings.foreign.connect_timeout_s,
                ).close()
            except egress.NetworkError as error:
                raise ForeignError(str(error), UNAVAILABLE, self.access) from None
        return address.host or address.path

    def branches(self, repository):
        """Return how many branches a repository has, as its server says. Raises ForeignError."""
        done = remote_git(self.address_of(repository), self.access, "ls-remote", "--heads", "--end-of-options")
        return len(done.output.splitlines())

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


def logged(output):
    """Return the commits that git-log(1) wrote in LOG_FORMAT, as the API has them."""
    words = output.decode("utf-8", "replace").split("\0")
    return [
        {
            "commit": words[place],
            "author": words[place + 1],
            "at": rfc3339(int(words[place + 2]) * 1000),
            "subject": words[place + 3],
            "message": words[place + 4].strip(),
        }
        for place in range(0, len(words) - 4, 5)
    ]


def check_ref(ref):
    """Raise ForeignError for what cannot be a branch, a tag or a commit (git-check-ref-format(1))."""
    if not ref or len(ref) > 250 or ref.startswith(("-", "/")) or ref.endswith(("/", ".")) or BAD_IN_REF.search(ref):
        raise ForeignError(f"'{(ref or '')[:100]}' cannot be a branch, a tag or a commit.")


def quiet():
    """Return the Work of a look that nobody follows."""
    return Work(lambda text: None, settings.git.timeout_s)


def judged(address):
    """Return the IP address with which ssh and git://, which do not go through the proxy, are to reach a repository's server:
    the one that the fence has judged, whatever the name leads to a moment later. None for all others, and where an
    administrator's proxy decides. Raises network.NetworkError.
    """
    if address.protocol not in ("ssh", "git") or egress.proxies():
        return None
    return egress.addresses_of(address.host, address.port or egress.DEFAULT_PORTS[address.protocol])[0][1][0]


def remote_git(address, access, *arguments):
    """Run a git command that asks a repository's server, away from every mirror; returns commands.Done.

    arguments: without the repository's URL, which is added. Raises ForeignError.
    """

    def unread(why, kind):
        return ForeignError(f"The repository {address.url} could not be read: {why}", kind, access)

    with access.breaker.watching(), scratch.folder("git") as folder, EgressProxy() as proxy:
        try:
            place = judged(address)
        except egress.NetworkError as error:
            raise ForeignError(str(error), git_commands.kind_of_barrier(error), access) from None
        environment = git_commands.remote_environment(address, access, folder, proxy.variables(), place)
        argv = git(*arguments, address.url_at(place), follow_redirects="GIT_ASKPASS" not in environment)
        try:
            return subprocesses.run(argv, environment=environment, timeout_s=access.left_s(settings.foreign.total_timeout_s))
        except subprocesses.Failed as error:
            meaning = git_commands.meaning_of(error.tail, proxy.failures)
            kind = git_commands.kind_of(error.tail, proxy, git_commands.is_own_login(address, access))
            raise unread(meaning, kind) from None
        except subprocesses.TimedOut as error:
            raise unread(error, TIMED_OUT) from None
        except subprocesses.CommandError as error:
            raise unread(error, UNAVAILABLE) from None


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
            return subprocesses.run(
                argv,
                environment=environment or git_commands.base_environment("/nonexistent"),
                timeout_s=git_commands.time_limit(self.work.remaining_s()),
                keep_open=(self.lock,),
                stop=self.work.stop,
                on_tick=self.work.tick,
                **options,
            )
        except subprocesses.Failed as error:
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
        except subprocesses.Failed as error:
            raise self.not_fetched(git_commands.meaning_of(error.tail)) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def checkout(self, ref, prefers_branch):
        """Return the Checkout of a ref. Raises ForeignError, and MirrorBroken when the mirror is to be made anew."""
        commit = self.commit_of(ref, prefers_branch)
        return Checkout(commit, self.export(commit))

    def commit_of(self, ref, prefers_branch):
        """Return the full commit of a ref, fetching unless it names a commit that is here already."""
        if FULL_COMMIT.fullmatch(ref) and (commit := self.resolve(ref)):
            return commit
        self.work.output(f"Fetching {self.address.url}")
        self.fetch()
        commit = self.look_up(ref, prefers_branch)
        if commit is None and FULL_COMMIT.fullmatch(ref):
            commit = self.fetch_commit(ref)
        if commit is None:
            raise ForeignError(self.nothing_called(ref), NOT_FOUND, self.access)
        return commit

    def fetch(self, *refspecs):
        """Bring all branches and tags (or the given refspecs) here; raises ForeignError saying what went wrong."""
        with self.access.breaker.watching(), scratch.folder("git") as folder, EgressProxy() as proxy:
            try:
                place = judged(self.address)
            except egress.NetworkError as error:
                raise self.not_fetched(str(error), git_commands.kind_of_barrier(error)) from None
            environment = git_commands.remote_environment(self.address, self.access, folder, proxy.variables(), place)
            argv = self.fetching(self.address.url_at(place), refspecs, "GIT_ASKPASS" not in environment)
            try:
                self.run(argv, environment, on_line=self.work.output)
            except subprocesses.TimedOut as error:
                raise self.not_fetched(str(error), TIMED_OUT) from error
            except subprocesses.Failed as error:
                meaning = git_commands.meaning_of(error.tail, proxy.failures)
                is_own_login = git_commands.is_own_login(self.address, self.access)
                kind = git_commands.kind_of(error.tail, proxy, is_own_login)
                raise self.not_fetched(meaning, kind) from error

    def fetching(self, url, refspecs, follow_redirects):
        """Return the argv that brings refspecs (none: all branches and tags) here."""
        return git(
            "-C",
            str(self.folder),
            "fetch",
            "--no-prune" if refspecs else "--prune",
            "--no-tags",
            "--force",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--end-of-options",
            url,
            *(refspecs or REFSPECS),
            follow_redirects=follow_redirects,
        )

    def not_fetched(self, why, kind=UNUSABLE):
        """Return the error for a repository that cannot be fetched."""
        if kind in HINTS:
            why = f"{why.rstrip('.')}. {HINTS[kind]}"
        return ForeignError(f"The repository {self.place} could not be fetched: {why}", kind, self.access)

    @property
    def place(self):
        """The repository's URL, and whose it is, as people read it."""
        return self.address.url + (f" of the integration '{self.access.name}'" if self.access.name else "")

    def fetch_commit(self, commit):
        """Fetch a commit that no branch or tag leads to; returns it, or None where the server does not give it."""
        try:
            self.fetch(f"+{commit}:{RELEASE_REF}{commit}")
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
        except subprocesses.Failed:
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
            else "It has no branches: push something first, or correct the address if it leads to a page to log in."
        )
        return f"{self.place} has no branch, tag or commit '{ref}'. {hint}"

    def export(self, commit):
        """Put the commit's tree into the content store and return its digest."""
        self.run(git("-C", str(self.folder), "update-ref", f"{RELEASE_REF}{commit}", commit))
        self.output_subject(commit)
        return git_tree.put_into_store(self.folder, commit, self.folder / "windlass-blobs", self.run, self.work.output)

    def output_subject(self, commit):
        """Write into the output which commit it is, as people know it."""
        done = self.run(git("-C", str(self.folder), "log", "--max-count=1", f"--format={LOG_FORMAT}", commit, "--"))
        found = logged(done.output)[0]
        self.work.output(f"Commit {commit[:12]} of {found['author']}, {found['at'][:10]}: {found['subject']}")
