"""Manifests of trees, kept in the database by digest: every worker reads the same of one, whoever has its files."""

import functools
import json
import zlib
from dataclasses import dataclass

import store
from models import Tree

MOST_REMEMBERED = 16  # The hosts of one rollout look at the same few.


@dataclass(frozen=True)
class Listed:
    """A tree's manifest, as store.manifest() has it, and {SHA-256: bytes a file takes on its way to a host}."""

    entries: list
    packed: dict


def keep(digest):
    """Write down what a tree in this machine's store consists of; once is enough. Raises store.StoreError, OSError."""
    if Tree.select().where(Tree.digest == digest).exists():
        return
    entries = [
        entry if entry[1] == "link" else [*entry, store.object_path(entry[3]).stat().st_size] for entry in store.manifest(digest)
    ]
    Tree.insert(digest=digest, entries=zlib.compress(store.canonical(entries))).on_conflict_ignore().execute()


def of(digest):
    """Return what a tree consists of as a Listed, or None where nobody has written that down."""
    try:
        return _read(digest)
    except Tree.DoesNotExist:
        return None


@functools.lru_cache(maxsize=MOST_REMEMBERED)
def _read(digest):
    """Return a tree's Listed, which never changes. Raises Tree.DoesNotExist."""
    entries = json.loads(zlib.decompress(bytes(Tree.get(Tree.digest == digest).entries)))
    packed = {entry[3]: entry[4] for entry in entries if entry[1] != "link"}
    return Listed([entry[:4] for entry in entries], packed)
