"""What changed between two releases of an application: commits, files, dependencies."""

import store
from controllers import foreign
from controllers.errors import NotFound, WindlassError
from controllers.releases.dependencies import lockfiles

MOST_COMMITS = 200
MOST_FILES = 2000


def compare(older, newer):
    """Return what `newer` (a models.Release) changes against `older`.

    `commits` is None where it is not known on this machine, `files` where one of the trees is not.
    """
    files = file_changes(older.digest, newer.digest)
    return {
        "commits": commits_between(older, newer),
        "reverted_commits": commits_between(newer, older),
        "files": files[:MOST_FILES] if files is not None else None,
        "files_total": len(files) if files is not None else None,
        "dependencies": dependency_changes(older.lock, newer.lock),
        "python": {"from": older.python_version, "to": newer.python_version},
        "processes": value_changes(older.processes, newer.processes),
    }


def commits_between(older, newer):
    """Return the commits `newer` has and `older` has not, newest first, or None where they are not known here."""
    try:
        return find_commits(older, newer)
    except WindlassError:
        return None  # The integration or the folder is gone; what is known of files and dependencies is still worth telling.


def find_commits(older, newer, may_fetch=False):
    """Return the commits `newer` has and `older` has not, newest first, fetching what is not here if that is allowed.

    None where they are not known without fetching. Raises NotFound for a release without a commit, ForeignError.
    """
    for release in (older, newer):
        if release.commit is None:
            raise NotFound(f"{release.version} comes from a package, which has none.")
    if older.commit == newer.commit:
        return []
    driver = foreign.driver_for(newer.source)
    return driver.commits(newer.source["repository"], older.commit, newer.commit, MOST_COMMITS, may_fetch)


def file_changes(older, newer):
    """Return [{"path", "change", "size_before", "size"}] by path, or None where a tree is not in this machine's store."""
    try:
        before, after = ({entry[0]: entry for entry in store.manifest(digest)} for digest in (older, newer))
    except store.StoreError:
        return None
    changes = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            kind = "added" if old is None else "removed" if new is None else "changed"
            changes.append({"path": path, "change": kind, "size_before": size_of(old), "size": size_of(new)})
    return changes


def size_of(entry):
    """Return the bytes of a manifest's entry; a link has none."""
    return None if entry is None or entry[1] == "link" else entry[2]


def dependency_changes(older, newer):
    """Return {"added", "removed", "changed"}: packages of two locks' texts with their versions."""
    changes = value_changes(lockfiles.packages(older), lockfiles.packages(newer))
    as_list = {"added": "version", "removed": "version"}
    return {
        kind: [
            {"name": name, as_list[kind]: value} if kind in as_list else {"name": name, **value} for name, value in items.items()
        ]
        for kind, items in changes.items()
    }


def value_changes(before, after):
    """Return {"added": {name: new}, "removed": {name: old}, "changed": {name: {"from", "to"}}} of two dicts."""
    return {
        "added": {name: after[name] for name in sorted(after.keys() - before.keys())},
        "removed": {name: before[name] for name in sorted(before.keys() - after.keys())},
        "changed": {
            name: {"from": before[name], "to": after[name]}
            for name in sorted(before.keys() & after.keys())
            if before[name] != after[name]
        },
    }
