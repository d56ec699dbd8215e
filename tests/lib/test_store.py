"""The content store: equal content gives equal digests, nothing half-written is ever seen, no tree leads out of itself."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_store(settings):
    """A store of the test's own."""
    return settings


def write(folder, files):
    """Write {path: content} below a folder; a tuple ("->", target) makes a symbolic link. Returns the folder."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, tuple):
            place.symlink_to(content[1])
        else:
            place.write_bytes(content)
    return folder


def test_the_digest_depends_on_content_alone(tmp_path):
    files = {"b/two.txt": b"2", "a.py": b"print()", "link": ("->", "b/two.txt")}
    first = store.add_tree(write(tmp_path / "one", files))
    os.utime(tmp_path / "one" / "a.py", (0, 0))
    second = store.add_tree(write(tmp_path / "two", dict(reversed(files.items()))))
    assert first == second == hashlib.sha256(store.manifest_bytes(first)).hexdigest()


def test_a_tree_comes_back_as_it_was(tmp_path):
    tree = write(
        tmp_path / "tree",
        {"run.sh": b"#!/bin/sh\n", "data/ünï.bin": bytes(range(256)), "empty": b"", "l": ("->", "data/ünï.bin")},
    )
    (tree / "run.sh").chmod(0o775)
    digest = store.add_tree(tree)
    by_path = {entry[0]: entry[1:] for entry in store.manifest(digest)}
    assert by_path["run.sh"][0] == 0o755
    assert by_path["data/ünï.bin"][:2] == [0o644, 256]
    assert by_path["l"] == ["link", "data/ünï.bin"]
    assert store.read(by_path["data/ünï.bin"][2]) == bytes(range(256))
    assert store.read(by_path["empty"][2]) == b""
    assert store.size(digest) == 256 + 10
    assert [entry[0] for entry in store.manifest(digest)] == sorted(by_path)


def test_objects_are_zlib_and_named_by_their_raw_content():
    sha256, size = store.add_bytes(b"content" * 1000)
    assert (sha256, size) == (hashlib.sha256(b"content" * 1000).hexdigest(), 7000)
    assert zlib.decompress(store.object_path(sha256).read_bytes()) == b"content" * 1000


def test_large_files_give_the_same_as_small_pieces(tmp_path):
    content = os.urandom(store.IN_MEMORY * 2 + 17)
    (tmp_path / "large").write_bytes(content)
    sha256, size = store.add_file(tmp_path / "large")
    assert (sha256, size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert store.read(sha256) == content
    assert os.listdir(store.base() / "incoming") == []


def test_a_writer_that_is_given_up_leaves_nothing():
    with pytest.raises(RuntimeError), store.Writer() as writer:
        writer.write(b"x" * (store.IN_MEMORY + 1))
        raise RuntimeError("stop")
    assert os.listdir(store.base() / "incoming") == []


def test_an_empty_tree_has_a_digest(tmp_path):
    (tmp_path / "nothing").mkdir()
    digest = store.add_tree(tmp_path / "nothing")
    assert store.manifest(digest) == []
    assert store.has(digest) and store.size(digest) == 0


@pytest.mark.parametrize(
    "links, message",
    [
        ({"a": "/etc/passwd"}, "leads out of the tree"),
        ({"a": "../secret"}, "leads out of the tree"),
        ({"d/e/a": "../../../x"}, "leads out of the tree"),
        ({"d/e/up": "../..", "out": "d/e/up/.."}, "leads out of the tree"),
        ({"here": ".", "out": "here/here/.."}, "leads out of the tree"),
        ({"a": ""}, "leads out of the tree"),
        ({"a": "x\0y"}, "leads out of the tree"),
    ],
)
def test_links_that_leave_the_tree_are_refused(links, message):
    with pytest.raises(store.BadTree, match=message):
        store.add_manifest([[path, "link", target] for path, target in links.items()])


@pytest.mark.parametrize(
    "links",
    [
        {"a": "b/c"},
        {"d/e": "../x"},
        {"a": "b", "b": "a"},
        {"self": "self"},
        {"d/up": "..", "x": "d/up/d"},
        {"a": "missing/./y"},
    ],
)
def test_links_that_stay_inside_are_kept(links):
    digest = store.add_manifest([[path, "link", target] for path, target in links.items()])
    assert {entry[0]: entry[2] for entry in store.manifest(digest)} == links


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../../b", "a//b", "a/", "", ".", "a/./b", "x\0y", "a" * 256, "d/" * 600 + "x", "\udcff"],
)
def test_paths_that_are_none_are_refused(path):
    sha256, size = store.add_bytes(b"x")
    with pytest.raises(store.BadTree):
        store.add_manifest([[path, 0o644, size, sha256]])


def test_a_path_cannot_be_two_things():
    sha256, size = store.add_bytes(b"x")
    with pytest.raises(store.BadTree, match="a file and a folder"):
        store.add_manifest([["a", "link", "b"], ["a/x", 0o644, size, sha256]])
    with pytest.raises(store.BadTree, match="twice"):
        store.add_manifest([["a", 0o644, size, sha256], ["a", "link", "b"]])
    with pytest.raises(store.BadTree, match="mode"):
        store.add_manifest([["a", 0o4755, size, sha256]])


def test_special_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(store.BadTree, match="pipe"):
        store.add_tree(tmp_path)


@pytest.mark.parametrize("digest", ["", "x", "../../etc/passwd", "0" * 63, None, "A" * 64])
def test_what_is_no_digest_is_not_looked_up(digest):
    with pytest.raises(store.Missing):
        store.manifest(digest)
    assert not store.has(digest)


def test_a_damaged_object_is_noticed_and_made_anew():
    sha256, _ = store.add_bytes(b"precious")
    path = store.object_path(sha256)
    path.chmod(0o600)
    path.write_bytes(zlib.compress(b"forged!!"))
    with pytest.raises(store.Damaged):
        store.read(sha256)
    store.add_bytes(b"precious")
    assert store.read(sha256) == b"precious"


def test_an_empty_object_left_by_a_crash_is_not_taken_for_one(tmp_path):
    digest = store.add_tree(write(tmp_path / "tree", {"a": b"content"}))
    path = store.object_path(store.manifest(digest)[0][3])
    path.chmod(0o600)
    path.write_bytes(b"")
    assert not store.has(digest)
    store.add_tree(tmp_path / "tree")
    assert store.has(digest)


def test_a_changed_manifest_is_noticed(tmp_path):
    digest = store.add_tree(write(tmp_path / "tree", {"a": b"content"}))
    path = store.manifest_path(digest)
    path.chmod(0o600)
    path.write_text("[]")
    with pytest.raises(store.Damaged):
        store.manifest(digest)
    assert not store.has(digest)
    assert store.add_tree(tmp_path / "tree") == digest
    assert store.has(digest)


def test_only_the_beginning_is_read_when_asked():
    sha256, _ = store.add_bytes(b"a" * 100_000)
    assert store.read(sha256, most=10) == b"a" * 10


def test_many_at_once_write_one_object(tmp_path):
    content = os.urandom(200_000)
    with ThreadPoolExecutor(8) as pool:
        results = set(pool.map(lambda _: store.add_bytes(content), range(16)))
    assert len(results) == 1
    assert store.read(results.pop()[0]) == content
    assert os.listdir(store.base() / "incoming") == []


WRITES_FOREVER = """
import itertools, os, sys
sys.path[:0] = [sys.argv[1] + "/lib/vendor", sys.argv[1] + "/lib"]
import config
config.load(environ={"WINDLASS_DATA": sys.argv[2]})
import store
for number in itertools.count():
    store.add_manifest([[f"f{n}", 0o644, *reversed(store.add_bytes(os.urandom(3_000_000)))] for n in range(2)])
    print(number, flush=True)
"""


def test_what_was_killed_in_the_middle_is_complete_or_absent(settings):
    process = subprocess.Popen([sys.executable, "-c", WRITES_FOREVER, str(ROOT), settings.data], stdout=subprocess.PIPE)
    objects = store.base() / "objects"
    for number in range(3):
        assert process.stdout.readline() == b"%d\n" % number
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    seen = [path for path in objects.rglob("*") if path.is_file()]
    assert len(seen) >= 6
    for path in seen:
        store.read(path.name)
    for path in (store.base() / "manifests").glob("*"):
        assert store.has(path.name)


def test_left_overs_of_killed_writers_are_tidied_away():
    old = store.aside()
    old.write_bytes(b"half")
    new = store.aside()
    new.write_bytes(b"under way")
    os.utime(old, (0, 0))
    store.tidy()
    assert [path.name for path in new.parent.iterdir()] == [new.name]


def test_the_manifest_is_canonical_json(tmp_path):
    digest = store.add_tree(write(tmp_path / "tree", {"ä": b"1"}))
    content = store.manifest_bytes(digest)
    assert content == json.dumps(json.loads(content), separators=(",", ":"), ensure_ascii=False).encode()
    assert "ä".encode() in content
