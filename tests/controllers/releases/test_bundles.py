"""Bundles: the same release gives the same bytes, and they give the same tree; what is no bundle is refused."""

import io
import tarfile

import pytest

import store
from controllers.releases import bundles
from tests import factories

FILES = {"app.py": (b"print(1)\n", 0o644), "bin/run": (b"#!/bin/sh\n", 0o755), "a/\u00e9.txt": (b"x" * 300_000, 0o644)}


@pytest.fixture
def release(database):
    """A release whose tree is in the store: files of both modes and a link."""
    entries = []
    for path, (content, mode) in FILES.items():
        sha256, size = store.add_bytes(content)
        entries.append([path, mode, size, sha256])
    digest = store.add_manifest([*entries, ["run", "link", "bin/run"]])
    return factories.release(digest=digest, lock="flask==3.1.0\n", commit="c" * 40)


def bundle_of(release):
    file = io.BytesIO()
    bundles.write(release, file)
    return file.getvalue()


def archive(**files):
    """Return a tar of files by name; a value of None is a device."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.CHRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            made.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return io.BytesIO(file.getvalue())


def test_the_same_release_gives_the_same_bytes(release):
    assert bundle_of(release) == bundle_of(release)


def test_a_bundle_gives_the_tree_back(release, settings, tmp_path):
    made = bundle_of(release)
    settings.data = str(tmp_path / "elsewhere")
    assert not store.has(release.digest)
    bundles.restore(release, io.BytesIO(made))
    assert store.has(release.digest)


def test_the_bundle_of_another_release_is_refused(release):
    other = factories.release(digest=store.add_manifest([["x", 0o644, *reversed(store.add_bytes(b"other"))]]))
    with pytest.raises(bundles.BadBundle, match="and not"):
        bundles.restore(release, io.BytesIO(bundle_of(other)))


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_bundle_that_was_cut_is_refused(release, cut):
    with pytest.raises(bundles.BadBundle, match=r"cannot be read|holds no file"):
        bundles.restore(release, io.BytesIO(bundle_of(release)[:cut]))


@pytest.mark.parametrize(
    "files, says",
    [
        ({"../out": b"x"}, "out"),
        ({"/etc/passwd": b"x"}, "passwd"),
        ({"link": "../../etc"}, "link"),
        ({"device": None}, "neither a file"),
        ({}, "no file"),
    ],
)
def test_what_no_release_may_hold_is_refused(database, files, says):
    with pytest.raises((bundles.BadBundle, store.BadTree), match=says):
        bundles.take_tree(archive(**files))


def test_an_archive_with_one_folder_at_its_top_counts_from_there(database):
    digest = bundles.take_tree(archive(**{"shop-1/app.py": b"1", "shop-1/lib/x.py": b"2"}), only_folder=True)
    assert [entry[0] for entry in store.manifest(digest)] == ["app.py", "lib/x.py"]
