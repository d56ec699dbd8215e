"""Releases: ask for a build, look at it, compare two."""

from peewee import IntegrityError, fn

from controllers import events, idempotency, paging, rows
from controllers.catalog import lookups
from controllers.controller import Controller
from controllers.errors import Conflict, Invalid, NotFound
from controllers.foreign import ForeignError
from controllers.foreign.source.git import check_ref
from controllers.guards import known_bad
from controllers.jobs import leases, queue, states, transitions
from controllers.releases import compare as comparing
from controllers.releases.dependencies import lockfiles
from models import Application, BuiltEnvironment, Release
from models.db import clock, database
from utils.datekit import rfc3339

NUMBER_ATTEMPTS = 20


def describe(release, application):
    """Return a release in the API's shape."""
    return {
        "application": application,
        "version": release.version,
        "number": release.number,
        "state": release.state,
        "ref": release.ref,
        "commit": release.commit,
        "package_version": release.package_version,
        "digest": release.digest,
        "lock_digest": release.lock_digest,
        "lock_kind": release.lock_kind,
        "python_version": release.python_version,
        "processes": release.processes,
        "settings": release.settings,
        "size_bytes": release.size_bytes,
        "build": build_of(release),
        "bundle": release.bundle,
        "error": release.error,
        "requested_by": release.requested_by,
        "cancel_requested_by": release.cancel_requested_by,
        "created_at": rfc3339(release.created_at),
        "ended_at": rfc3339(release.ended_at),
    }


def build_of(release):
    """Return how far the build in another system is, {"integration", "state", "url"}; None where there is none."""
    if not release.partners.get("build"):
        return None
    build = release.foreign_build or {}
    return {
        "integration": release.partners["build"]["integration"],
        "state": build.get("state", "waiting"),
        "url": build.get("url"),
    }


def environments_of(release):
    """Return the virtualenvs that are built for a release, by platform."""
    if not release.lock_digest:
        return []
    built = BuiltEnvironment.select().where(BuiltEnvironment.lock_digest == release.lock_digest)
    return [
        {"platform": row.platform, "digest": row.digest, "size_bytes": row.size_bytes}
        for row in built.order_by(BuiltEnvironment.platform)
    ]


def check_fields(source, fields):
    """Raise Invalid for what does not fit the application's source."""
    if fields.get("ref") is not None:
        if source.get("package"):
            raise Invalid([("ref", "The application is a package of an index: give package_version.")])
        try:
            check_ref(fields["ref"])
        except ForeignError:
            raise Invalid([("ref", "Use a branch, a tag or a commit.")]) from None
    if fields.get("package_version") is not None and not source.get("package"):
        raise Invalid([("package_version", "The application has a repository: give a ref.")])


def check_ref_is_there(source, ref):
    """Raise Invalid for a ref that the repository says at once it has not."""
    mistake = lookups.no_such_ref(source, ref) if ref is not None else None
    if mistake:
        raise Invalid([("ref", mistake)])


def is_package(application):
    """Say whether an application comes from a package index."""
    return bool(application.source.get("package"))


def insert(application, **columns):
    """Write a new release with the application's next number; of two at once one takes the number after."""
    for _ in range(NUMBER_ATTEMPTS):
        try:
            with database.atomic():
                number = (Release.select(fn.MAX(Release.number)).where(Release.application == application).scalar() or 0) + 1
                release = Release.create(
                    application=application,
                    number=number,
                    version=f"v{number}",
                    state="building",
                    partners={name: getattr(application, name) for name in ("build", "artifacts")},
                    created_at=clock(),
                    **columns,
                )
                events.append(
                    f"release-{release.id}",
                    [{"kind": "release", "data": {"state": "building", "version": release.version}}],
                )
                return release
        except IntegrityError:
            continue
    raise Conflict("Too many releases of this application are asked for at once; try again.", code="busy")


def may_be_elsewhere(release):
    """Return whether a build in another system may have been begun, which only a worker can end."""
    return bool(release.partners.get("build")) and release.epoch > 0


def topic_of(release):
    """Return the name of a build's history."""
    return f"release-{release.id}"


def is_last(event):
    """Say whether an event is the end of a build."""
    return event["kind"] == "release" and not states.RELEASE[event["data"]["state"]]


class ReleaseController(Controller):
    """The releases of applications, for whoever asks."""

    def listing(self, application, limit=paging.LIMIT, after=None, state=None):
        """Return a page of an application's releases, newest first. Raises NotFound."""
        row = self.named(Application, application, "application")
        query = self.visible(Release).where(Release.application == row)
        if state:
            query = query.where(Release.state == state)
        return paging.page(query, Release.number, lambda release: describe(release, row.name), limit, after, newest_first=True)

    def find(self, application, version):
        """Return the row of a release by its version; "latest" is the newest that is ready. Raises NotFound."""
        row = self.named(Application, application, "application")
        release = self.of(row, version)
        if release is None:
            raise NotFound(f"{application} has no release {'that is ready' if version == 'latest' else version}.")
        return release

    def of(self, application, version):
        """Return the row of a release of an application (its row) by version or "latest", or None."""
        if "\0" in version:
            return None
        query = self.visible(Release).where(Release.application == application)
        if version == "latest":
            return query.where(Release.state == "ready").order_by(Release.number.desc()).first()
        return query.where(Release.version == version).first()

    def deployable(self, application, version):
        """Return a release of an application (its row) that can be deployed, by version or "latest".

        Raises NotFound, Conflict "no-ready-release" or "release-not-ready".
        """
        release = self.of(application, version)
        if release is None and version == "latest":
            raise Conflict(f"{application.name} has no release that is ready: make one first.", code="no-ready-release")
        if release is None:
            raise NotFound(f"{application.name} has no release {version}.")
        if release.state != "ready":
            reason = f" It says: {release.error}" if release.error else ""
            raise Conflict(
                f"Release {version} of {application.name} is {release.state} and cannot be deployed.{reason}",
                code="release-not-ready",
            )
        return release

    def get(self, application, version):
        """Return one release with its dependencies and the virtualenvs that are built for it. Raises NotFound."""
        release = self.find(application, version)
        return {
            **describe(release, application),
            "dependencies": lockfiles.packages(release.lock),
            "environments": environments_of(release),
            "latched": known_bad.on_release(release),
        }

    def get_by_id(self, release_id):
        """Return one release as `create` does. Raises NotFound."""
        release = self.visible(Release).where(Release.id == release_id).first()
        if release is None:
            raise NotFound("The release that this request made was deleted.")
        return describe(release, release.application.name)

    def create(self, application, fields):
        """Ask for a release of `ref`, of `package_version`, or of what is newest; returns it, building.

        Raises NotFound, Invalid.
        """
        row = self.named(Application, application, "application")
        check_fields(row.source, fields)
        check_ref_is_there(row.source, fields.get("ref"))
        source = {**row.source, "upgrade_dependencies": True} if fields.get("upgrade_dependencies") else row.source
        ref = None if is_package(row) else fields.get("ref") or row.source.get("branch")
        with self.change("release.create", row.name, **{**fields, "ref": ref}) as made:
            release = insert(
                row, source=source, ref=ref, package_version=fields.get("package_version"), requested_by=self.actor.name
            )
            made["version"] = release.version
            idempotency.note_made("release", release.id)
        queue.enqueue("windlass.build", release.id)
        return describe(release, row.name)

    def cancel(self, application, version):
        """Ask for the end of a release's build; the release fails. Raises NotFound, Conflict when it is not being built."""
        release = self.find(application, version)
        with self.change("release.cancel", application, version=release.version):
            row = rows.for_change(self.visible(Release).where(Release.id == release.id), Release).get()
            if row.state != "building":
                raise Conflict(
                    f"Release {row.version} of {application} is {row.state}: nothing is being built that could be cancelled.",
                    code="not-cancellable",
                )
            by = row.cancel_requested_by or self.actor.name
            Release.update(cancel_requested_by=by, due_at=None).where(Release.id == row.id).execute()
            if not may_be_elsewhere(row):
                transitions.move_release(row, "failed", guard=leases.is_free(Release), error=f"cancelled by {by}", **leases.FREE)
        queue.enqueue("windlass.build", release.id)
        return self.get_by_id(release.id)

    def history(self, application, version, after=0, limit=200):
        """Return a page of a build's events that come after number `after`. Raises NotFound."""
        return events.page(topic_of(self.find(application, version)), after, limit)

    def follow(self, application, version, after=0):
        """Return an iterator over a build's events as they come, with None as heartbeat, ending after its end.

        Raises NotFound.
        """
        release = self.find(application, version)
        return events.follow_work(topic_of(release), after, release.state != "building", is_last)

    def compare(self, application, older, newer):
        """Return what changes from one release to another. Raises NotFound, Conflict when one of them is not ready."""
        pair = [self.find(application, version) for version in (older, newer)]
        for release in pair:
            if release.state != "ready":
                raise Conflict(
                    f"Release {release.version} of {application} is {release.state}; "
                    "only releases that are ready can be compared.",
                    code="release-not-ready",
                )
        return {"application": application, "from": pair[0].version, "to": pair[1].version, **comparing.compare(*pair)}
