"""Virtualenvs: built once for a lock and a platform, kept in the content store, shared by all releases with that lock."""

import hashlib

from peewee import IntegrityError

import scratch
import store
from config import settings
from controllers import foreign
from controllers.build_work import Work
from controllers.errors import BuildFailed, WindlassError
from controllers.foreign.artifacts.package_index import default_index
from controllers.releases import trees
from controllers.releases.dependencies import lockfiles, platforms, relocatable, uv
from models import BuiltEnvironment, db
from models.db import clock, database

CACHE_MISS = "not in the cache of earlier builds"


def name_of(lock_digest, platform):
    """Return the name of the virtualenv for a lock and a platform, also the folder's on a host."""
    return hashlib.sha256(f"{lock_digest}\n{platform}".encode()).hexdigest()


def names_for(lock_digests):
    """Return the names of all virtualenvs that were built for any of these locks, sorted."""
    rows = BuiltEnvironment.select(BuiltEnvironment.name).where(BuiltEnvironment.lock_digest.in_(list(lock_digests)))
    return sorted(row.name for row in rows)


def index_for(source):
    """Return the Index that an application's packages come from. Raises BuildFailed."""
    try:
        return foreign.driver_for(source).index() if source.get("package") else default_index()
    except WindlassError as error:
        raise BuildFailed(error.detail) from None


def lock_of(release):
    """Return a release's Lock."""
    return lockfiles.Lock(release.lock_kind, release.lock or "", release.python_version)


def recorded(release, platform):
    """Return the BuiltEnvironment of a release for a platform, whoever has its files; None where nobody has built it."""
    return BuiltEnvironment.get_or_none(BuiltEnvironment.name == name_of(lock_of(release).digest, platform))


def ensure(release, platform, output):
    """Return the BuiltEnvironment of a release for a platform, building it where this machine does not have it.

    output(text) takes lines for people. An empty lock has a virtualenv too, an empty one. Raises BuildFailed,
    and ForeignError while the package index is away.
    """
    work = Work(output, settings.build.timeout_s)
    return ensure_for(lock_of(release), platform, index_for(release.source), work)


def ensure_for(lock, platform, index, work):
    """Return the BuiltEnvironment of a Lock for a platform, built within `work`.

    Raises BuildFailed, Interrupted, ForeignError.
    """
    name = name_of(lock.digest, platform)
    built = find(name)
    if built:
        return built
    with work.holding("locks", f"env-{name}.lock", waiting="Another build makes the same virtualenv; waiting for it."):
        return find(name) or build(name, lock, platform, index, work)


def find(name):
    """Return a BuiltEnvironment whose content is complete in this machine's store, or None."""
    row = BuiltEnvironment.get_or_none(BuiltEnvironment.name == name)
    return row if row and store.has(row.digest) else None


def build(name, lock, platform, index, work):
    """Build a virtualenv aside, put its content into the store and record it; nothing is left of one that fails."""
    work.output(f"Building the virtualenv for {platform}")
    db.release()  # A build takes long; the next query takes a fresh connection.
    with scratch.folder("env") as folder:
        prefix = folder / "prefix"
        prefix.mkdir()
        parsed = platforms.parse(platform)
        if lockfiles.without_comments(lock.text).strip():
            install(lock, parsed, index, work, folder, prefix)
            relocatable.finish(prefix, parsed, platforms.interpreter(parsed.python), work)
        digest = put_into_store(prefix, work)
    work.check()
    return record(name, lock.digest, platform, digest)


def install(lock, platform, index, work, folder, prefix):
    """Install a lock's packages below `prefix`: from what earlier builds fetched where that suffices, else from the index."""
    native = platforms.native_interpreter(platform)
    python = native or platforms.interpreter(platforms.own_version())
    cross = None if native else (platforms.uv_tag(platform), platform.python)
    file_name, text = lockfiles.for_uv(lock.text, lock.kind, crosses=native is None)
    (folder / file_name).write_text(text, encoding="utf-8")
    arguments = uv.install_command(folder / file_name, prefix, python, is_complete=lock.kind != lockfiles.HASHED, cross=cross)
    what = "The dependencies cannot be installed" + (
        "" if native else f" for {platform.system} on {platform.machine} with Python {platform.python}, from wheels alone"
    )
    quiet = Work(lambda text: None, work.remaining_s(), work.stop, work.tick)
    try:
        uv.run([*arguments, "--offline"], quiet, index, folder, CACHE_MISS)
        work.output("All packages were in the cache of earlier builds.")
    except (BuildFailed, foreign.ForeignError):
        uv.run(arguments, work, index, folder, what)


def put_into_store(prefix, work):
    """Return the digest of what is below `prefix`."""
    try:
        return store.add_tree(prefix)
    except store.BadTree as error:
        raise BuildFailed(f"A package holds something that no virtualenv of a release may: {error}") from None


def record(name, lock_digest, platform, digest):
    """Write down a virtualenv; of two machines that built it the later one's content counts."""
    trees.keep(digest)
    row = {"lock_digest": lock_digest, "platform": platform, "digest": digest, "size_bytes": store.size(digest)}
    try:
        with database.atomic():
            return BuiltEnvironment.create(name=name, created_at=clock(), **row)
    except IntegrityError:
        BuiltEnvironment.update(**row).where(BuiltEnvironment.name == name).execute()
        return BuiltEnvironment.get(BuiltEnvironment.name == name)
