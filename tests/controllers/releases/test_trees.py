"""Manifests of trees can be read by every worker by their digest, also by those that lack the files."""

import pytest

import store
from controllers.releases import trees


@pytest.fixture
def tree(database):
    """A tree in the store: one file and one link; returns (digest, SHA-256 of the file)."""
    sha256, size = store.add_bytes(b"print(1)\n" * 100)
    return store.add_manifest([["app.py", 0o644, size, sha256], ["link", "link", "app.py"]]), sha256


def test_a_tree_is_read_where_its_files_are_not(tree, settings, tmp_path):
    digest, sha256 = tree
    for _ in range(2):
        trees.keep(digest)
    manifest, packed = store.manifest(digest), store.object_path(sha256).stat().st_size
    settings.data = str(tmp_path / "elsewhere")
    listed = trees.of(digest)
    assert listed.entries == manifest and listed.packed == {sha256: packed}


def test_a_tree_that_nobody_has_made_is_not_known(database):
    assert trees.of("0" * 64) is None
    with pytest.raises(store.Missing):
        trees.keep("0" * 64)
