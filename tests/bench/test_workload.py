"""The benchmark's application is the same every time, and each release differs in what its name says."""

import shutil
import subprocess

from bench.workload import Workload


def files(workload, tag, folder):
    """Return {path: bytes} of a tag's files."""
    workload.check_out(tag, folder)
    content = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    shutil.rmtree(folder)
    return content


def changed(before, after):
    """Return the paths that differ."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def test_each_release_changes_what_it_is_there_for(tmp_path):
    workload = Workload(tmp_path / "repository", rounds=2)
    workload.make()
    tree = {tag: files(workload, tag, tmp_path / "tree") for tag in ("first", "dependency", "code-1", "code-2", "broken-1")}
    assert changed(tree["first"], tree["dependency"]) == {"VERSION", "requirements.txt"}
    assert changed(tree["dependency"], tree["code-1"]) == {"VERSION", "assets/000.bin"}
    assert changed(tree["code-1"], tree["code-2"]) == {"VERSION", "assets/000.bin"}
    assert changed(tree["code-2"], tree["broken-1"]) == {"VERSION"}
    assert tree["first"]["requirements.txt"].count(b"==") == tree["dependency"]["requirements.txt"].count(b"==") == 12


def test_two_repositories_hold_the_same_trees(tmp_path):
    ids = []
    for name in ("one", "two"):
        workload = Workload(tmp_path / name, rounds=1)
        workload.make()
        ids.append(workload.git("rev-parse", "code-1^{tree}", stdout=subprocess.PIPE, text=True).stdout)
    assert ids[0] == ids[1]
