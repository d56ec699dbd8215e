"""Build one release: claim it, make its source tree, its lock and its virtualenvs, and say how it ended.

Everything is made aside and named by its content, so a build that was killed anywhere is simply done again from the
start, and finds what is there already.
"""

import errno
import json

import failpoints
import store
import subprocesses
from config import settings
from controllers import foreign
from controllers.build_work import Interrupted, Work
from controllers.errors import BuildFailed, WindlassError
from controllers.fleet import targets
from controllers.foreign import ForeignError
from controllers.foreign.errors import NOT_FOUND
from controllers.jobs import leases, transitions
from controllers.jobs.attempt import AWAY_MS, Attempt
from controllers.jobs.kinds import Kind, declare
from controllers.releases import external_build, project, trees
from controllers.releases.dependencies import lockfiles, platforms, virtualenvs
from controllers.releases.output import Output
from models import Release, Target, db

MOST_ATTEMPTS = 5
MOST_PREVIOUS_LOCKS = 20
TAIL_LINES = 15
PACKAGE_FILE = "windlass-package.json"
AWAY_S = (2, 5, 15, 30, 60, 120)  # Pauses while the source or the package index is away; then the build has failed.
FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


class BuildAttempt(Attempt):
    """One attempt to build a release."""

    model, what = Release, "release"
    tells_error = False  # A credential may be in it.

    def __init__(self, release):
        super().__init__(release)
        self.application = release.application
        self.source = release.source
        self.output = Output(f"release-{release.id}")
        self.progress = Work(self.output, settings.build.timeout_s, tick=self.output.tick)

    @classmethod
    def may_begin(cls):
        """It is to be built, and its time has come."""
        return (Release.state == "building") & leases.is_due(Release)

    def work(self):
        """Build and write down how it ended; what somebody cancels meanwhile ends as cancelled."""
        if self.row.cancel_requested_by is None:
            self.build()
        self.call_off()

    def build(self):
        """Build, and write down how that ended."""
        try:
            self.end("ready", **self.make())
        except (Interrupted, subprocesses.Stopped):
            self.give_back(attempt=Release.attempt - 1)
        except external_build.Postponed as later:
            self.put_off(later.seconds)
        except (BuildFailed, subprocesses.CommandError) as error:
            self.fail(str(error), error.tail)
        except ForeignError as error:
            self.missed(error)
        except (WindlassError, store.StoreError) as error:
            self.fail(str(error))
        except OSError as error:
            self.fail(sentence_of(error))

    def broke(self, message):
        """Windlass made a mistake."""
        self.fail(message)
        self.call_off()

    def database_away(self, error):
        """The attempt says nothing about the build, so it does not count."""
        self.put_back(AWAY_MS, attempt=Release.attempt - 1)

    def is_cancelled(self):
        """Say whether somebody has cancelled the build."""
        return self.cancelled_by() is not None

    def interrupt(self, why):
        """Have the build end."""
        self.progress.stop.set()
        failpoints.reach("build.stop")

    # What is done, in order.

    def make(self):
        """Make everything the release consists of; returns the columns that say so."""
        self.greet()
        failpoints.reach("build.before")
        store.tidy()
        driver = foreign.driver_for(self.source)
        self.output.hide(driver.access.secrets())
        made = self.from_package() if self.source.get("package") else self.from_repository(driver)
        self.progress.check()
        failpoints.reach("build.after")
        return made

    def greet(self):
        """Say what begins; give up what has killed its worker again and again."""
        if self.row.attempt > MOST_ATTEMPTS:
            raise BuildFailed(
                f"The build was begun {MOST_ATTEMPTS} times and each time its worker ended before it did: "
                "perhaps it needs more memory than there is."
            )
        if self.row.epoch == 1 or self.row.attempt > 1:
            again = f", attempt {self.row.attempt}" if self.row.attempt > 1 else ""
            self.output(f"Building {self.application.name} {self.row.version}{again}")

    def from_repository(self, driver):
        """Make a release of a commit."""
        db.release()  # What follows takes long; the next query takes a fresh connection.
        tree = self.tree_of_commit(driver)
        failpoints.reach("build.checked-out")
        found = project.read(tree)
        for note in found.notes:
            self.output(note)
        hosts = self.hosts()
        python = self.python_for(hosts, found.python, found.lowest_python)
        index = self.index()
        lock = lockfiles.settle(
            found, python, index, self.progress, self.previous_locks(), self.source.get("upgrade_dependencies", False)
        )
        self.build_environments(lock, hosts, index)
        return {**described(lock, tree), "processes": found.processes, "settings": found.settings}

    def tree_of_commit(self, driver):
        """Put the release's code into the store, once the other system that is to build the commit has; returns its digest."""
        partner = self.row.partners.get("build")
        if partner is None or self.row.commit is None:
            checkout = self.check_out(driver)
            if partner is None:
                return checkout.digest
        elsewhere = self.elsewhere()
        elsewhere.advance()
        return elsewhere.fetch_tree(self.progress) if partner.get("artifact") else self.check_out(driver).digest

    def elsewhere(self):
        """Return the build in another system that the release waits for."""
        return external_build.ForeignBuild(self.row, self.output, self.keep, settings.build.foreign_timeout_s)

    def check_out(self, driver):
        """Put the tree of the commit into the store; returns a Checkout."""
        checkout = driver.checkout(
            self.source["repository"], self.row.commit or self.row.ref, self.source.get("branch"), self.progress
        )
        self.keep(commit=checkout.commit)
        return checkout

    def from_package(self):
        """Make a release of a package of an index."""
        hosts = self.hosts()
        python = self.python_for(hosts)
        index = self.index()
        extras = self.source.get("extras") or []
        package = self.source["package"] + (f"[{','.join(extras)}]" if extras else "")
        lock, version = lockfiles.settle_package(
            package,
            self.row.package_version,
            self.source.get("requirements") or [],
            python,
            index,
            self.progress,
            self.previous_locks(),
            self.source.get("upgrade_dependencies", False),
        )
        self.keep(package_version=version)
        self.output(f"Package {package} {version}")
        self.build_environments(lock, hosts, index)
        content = (
            json.dumps({"package": package, "version": version, "lock": lock.digest}, sort_keys=True, indent=2).encode() + b"\n"
        )
        sha256, size = store.add_bytes(content)
        digest = store.add_manifest([[PACKAGE_FILE, 0o644, size, sha256]])
        return {**described(lock, digest), "processes": {}, "settings": {}}

    def index(self):
        """Return where packages come from."""
        index = virtualenvs.index_for(self.source)
        self.output.hide(index.secrets())
        return index

    def hosts(self):
        """Return the hosts of the application's targets that were observed."""
        rows = Target.select().where(Target.application == self.application)
        found = {host.name: host for target in rows for host in targets.hosts_of(target) if host.facts}
        return [found[name] for name in sorted(found)]

    def python_for(self, hosts, required=None, lowest=None):
        """Return the version of Python the release is for, and name in the output the hosts that lack it."""
        python = platforms.pick_version([host.facts["pythons"] for host in hosts], required, lowest)
        lacking = [host.name for host in hosts if python not in host.facts["pythons"]]
        if lacking:
            self.output(f"Note: there is no Python {python} on {', '.join(lacking)}; a deploy there will be refused.")
        return python

    def previous_locks(self):
        """Return the locks of the application's earlier releases, newest first."""
        rows = (
            Release.select(Release.lock)
            .where(
                Release.application == self.application,
                Release.state == "ready",
                Release.id != self.row.id,
                Release.lock.is_null(False),
            )
            .order_by(Release.number.desc())
            .limit(MOST_PREVIOUS_LOCKS)
        )
        return [row.lock for row in rows]

    def build_environments(self, lock, hosts, index):
        """Build the virtualenvs for the platforms of the hosts, or for this machine's where no host is known."""
        names = {platforms.platform_of(host.facts, lock.python) for host in hosts if lock.python in host.facts["pythons"]}
        if not hosts:
            names = {platforms.own_platform(lock.python)}
        for platform in sorted(names):
            virtualenvs.ensure_for(lock, platform, index, self.progress)

    # Writing it down.

    def keep(self, **columns):
        """Write down what is known already: a build that is done again must take the same commit."""
        if not Release.update(**columns).where(self.is_held()).execute():
            raise Interrupted()
        for name, value in columns.items():
            setattr(self.row, name, value)

    def put_off(self, seconds, **columns):
        """Give the release back until it is looked at again; it got somewhere, so no attempt is used up."""
        self.output.flush()
        self.give_back(due_at=db.now() + int(seconds * 1000), attempt=0, **columns)

    def give_back(self, **columns):
        """Give the lease back, for whoever goes on."""
        leases.release(self.row, Release.cancel_requested_by.is_null(), enqueued_at=None, **columns)

    def may_end(self):
        """Return the condition that the lease is held and that nobody cancelled the build."""
        return self.is_held() & Release.cancel_requested_by.is_null()

    def missed(self, error):
        """Put the build off while the source or the package index is away; it fails where asking again is no use, or was none."""
        missed = self.row.missed
        # A commit that was told of by a hook, or seen before, exists, although the server may not show it at the moment.
        may_pass = error.may_pass or (error.kind == NOT_FOUND and self.row.commit is not None)
        if not may_pass or missed >= len(AWAY_S):
            self.fail(error.detail)
            return
        self.output(f"{error.detail} Trying again.")
        self.put_off(max(AWAY_S[missed], error.retry_after_s or 0), missed=missed + 1)

    def fail(self, sentence, tail=()):
        """End the build as failed, saying why."""
        tail = [line for line in tail if line.strip() and line.strip() not in sentence][-TAIL_LINES:]
        self.end("failed", error="\n".join([self.output.mask(sentence), *map(self.output.mask, tail)]))

    def end(self, state, **columns):
        """Make the change of state, unless the lease was lost, so that the outcome is another worker's, or it was cancelled."""
        self.output.flush()
        transitions.move_release(self.row, state, guard=self.may_end(), **leases.FREE, **columns)

    def cancelled_by(self):
        """Return who cancelled the build, None where nobody did or the lease was lost."""
        return Release.select(Release.cancel_requested_by).where(self.is_held()).scalar()

    def call_off(self):
        """End what somebody cancelled, however far it came: the build in the other system first, the release after it."""
        by = self.cancelled_by()
        if by is None:
            return
        try:
            # What has killed its worker again and again is not tried for ever.
            unstopped = self.stop_elsewhere() if self.row.attempt <= MOST_ATTEMPTS else None
        except Interrupted:  # Another worker has it.
            return
        except external_build.Postponed as later:
            self.put_back(int(later.seconds * 1000), attempt=0)
            return
        self.output.flush()
        error = f"cancelled by {by}" + (f"; {self.output.mask(unstopped)}" if unstopped else "")
        transitions.move_release(self.row, "failed", guard=self.is_held(), **leases.FREE, error=error)

    def stop_elsewhere(self):
        """End the build in the other system, if one may have been begun; returns a sentence where it goes on, else None."""
        return self.elsewhere().stop() if self.row.partners.get("build") and self.row.commit else None


def described(lock, digest):
    """Return the columns that a lock and a tree fill, once what the tree consists of is written down."""
    trees.keep(digest)
    return {
        "digest": digest,
        "size_bytes": store.size(digest),
        "lock": lock.text,
        "lock_digest": lock.digest,
        "lock_kind": lock.kind,
        "python_version": lock.python,
    }


def sentence_of(error):
    """Return what the operating system's refusal means."""
    if error.errno in FULL_DISK:
        return f"This machine's disk is full: make room below {settings.data} and build the release again."
    place = f" ({error.filename})" if error.filename else ""
    return f"The build could not use this machine's files: {error.strerror or error}{place}."


KIND = declare(Kind("windlass.build", run=BuildAttempt.carry_out, model=Release, is_due=BuildAttempt.may_begin))
