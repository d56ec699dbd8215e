"""Git repositories as sources: by path, over HTTP and over SSH; what goes wrong, and what must never happen."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import store
import subprocesses
from controllers.build_work import Interrupted, Work
from controllers.errors import BuildFailed
from controllers.foreign import Access, ForeignError
from controllers.foreign.source.git import Git, Mirror
from controllers.foreign.source.git_commands import mirror_folder
from tests.stack import AUTHOR, Repository

ROOT = Path(__file__).resolve().parents[4]


def checkout(repository, work, ref="main", branch="main", access=Access()):
    """Check a ref out of a repository given by its place."""
    return Git(access).checkout(str(getattr(repository, "folder", repository)), ref, branch, work)


def tree_of(digest):
    """Return {path: mode or link target} of a tree in the store."""
    return {entry[0]: entry[2] if entry[1] == "link" else entry[1] for entry in store.manifest(digest)}


def text_of(digest, path):
    """Return the content of a file in a tree."""
    return store.read(next(entry[3] for entry in store.manifest(digest) if entry[0] == path))


def mirrors(settings):
    """Return the mirrors there are."""
    return [path for path in Path(settings.data, "git").iterdir() if path.is_dir()]


# What is in a checkout.


def test_a_commit_becomes_a_tree(repository, work):
    repository.commit({"app.py": "print()", "bin/run": "#!/bin/sh\n", "docs/ü.txt": "text"})
    (repository.folder / "bin/run").chmod(0o755)
    os.symlink("../app.py", repository.folder / "bin/app")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "Modes")
    made = checkout(repository, work)
    assert made.commit == repository.git("rev-parse", "HEAD")
    assert tree_of(made.digest) == {"app.py": 0o644, "bin/run": 0o755, "bin/app": "../app.py", "docs/ü.txt": 0o644}
    assert text_of(made.digest, "docs/ü.txt") == b"text"
    assert any("Modes" in line for line in work.lines)


def test_the_same_content_gives_the_same_digest_wherever_it_comes_from(repositories, work, settings, tmp_path):
    first, second = Repository(repositories / "one"), Repository(repositories / "two")
    first.commit({"a.txt": "1", "b.txt": "2"})
    second.commit({"b.txt": "2"}, "Other history")
    second.commit({"a.txt": "1"})
    one = checkout(first, work)
    settings.data = str(tmp_path / "another machine")
    two = checkout(second, work)
    assert one.digest == two.digest and one.commit != two.commit


def test_attributes_of_the_repository_change_no_byte(repository, work):
    repository.commit(
        {
            ".gitattributes": "* text eol=crlf export-subst export-ignore\n*.txt filter=evil\n",
            "a.txt": "one\n$Format:%H$\n",
        }
    )
    made = checkout(repository, work)
    assert text_of(made.digest, "a.txt") == b"one\n$Format:%H$\n"
    assert set(tree_of(made.digest)) == {".gitattributes", "a.txt"}


def test_only_new_files_are_read_again(repository, work, monkeypatch):
    repository.commit({f"f{number}.txt": str(number) for number in range(50)})
    checkout(repository, work)
    repository.commit({"f7.txt": "changed"})
    asked = []
    real = subprocesses.run
    monkeypatch.setattr(
        subprocesses,
        "run",
        lambda argv, **options: (asked.append(options["stdin"]) if "cat-file" in argv else None, real(argv, **options))[1],
    )
    made = checkout(repository, work)
    assert [stdin.count(b"\n") for stdin in asked] == [1]
    assert text_of(made.digest, "f7.txt") == b"changed" and text_of(made.digest, "f8.txt") == b"8"


def test_a_file_lost_from_the_store_is_read_again(repository, work):
    repository.commit({"a.txt": "content"})
    made = checkout(repository, work)
    store.object_path(store.manifest(made.digest)[0][3]).unlink()
    assert checkout(repository, work).digest == made.digest
    assert text_of(made.digest, "a.txt") == b"content"


def test_large_files_come_whole(repository, work):
    content = os.urandom(3_000_000)
    (repository.folder / "large.bin").write_bytes(content)
    (repository.folder / "zeros.bin").write_bytes(bytes(2_000_000))
    repository.commit({"small": "x"})
    made = checkout(repository, work)
    assert text_of(made.digest, "large.bin") == content
    assert text_of(made.digest, "zeros.bin") == bytes(2_000_000)


def test_submodules_and_lfs_are_told(repositories, repository, work):
    other = Repository(repositories / "other")
    commit = other.commit({"x": "y"})
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendored/other")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    (repository.folder / "model.bin").write_text(pointer)
    repository.git("add", "model.bin")
    repository.git("commit", "--quiet", "--message", "Both")
    for _ in range(2):  # The second time the blob is known already.
        work.lines.clear()
        assert tree_of(checkout(repository, work).digest) == {"model.bin": 0o644}
        told = "\n".join(work.lines)
        assert "vendored/other" in told and "model.bin" in told


# Which commit it is.


def test_branches_tags_and_commits_are_found(repository, work):
    first = repository.commit({"v": "1"})
    repository.git("tag", "--annotate", "v1.0", "--message", "One")
    repository.git("branch", "feature/x", first)
    second = repository.commit({"v": "2"})
    found = {
        ref: checkout(repository, work, ref).commit
        for ref in ("main", "v1.0", "feature/x", first, second, first[:9], "refs/tags/v1.0")
    }
    assert found == {
        "main": second,
        "v1.0": first,
        "feature/x": first,
        first: first,
        second: second,
        first[:9]: first,
        "refs/tags/v1.0": first,
    }


def test_a_tag_is_meant_where_a_branch_has_the_same_name_but_for_the_application_s_own_branch(repository, work):
    first = repository.commit({"v": "1"})
    repository.git("tag", "main")
    repository.git("tag", "same")
    second = repository.commit({"v": "2"})
    repository.git("update-ref", "refs/heads/same", second)
    assert checkout(repository, work, "same").commit == first
    assert checkout(repository, work, "main", branch="main").commit == second


def test_a_rewritten_branch_is_followed_and_what_was_released_is_kept(repository, work):
    repository.commit({"v": "1"})
    old = repository.commit({"v": "2"})
    checkout(repository, work)
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    new = repository.commit({"v": "3"})
    assert checkout(repository, work).commit == new
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    assert checkout(repository, work, old).commit == old


def test_a_deleted_branch_is_gone(repository, work):
    repository.commit({"v": "1"})
    repository.git("branch", "old")
    checkout(repository, work, "old")
    repository.git("branch", "-D", "old")
    with pytest.raises(ForeignError, match="no branch, tag or commit 'old'"):
        checkout(repository, work, "old")


def test_an_unknown_ref_names_what_there_is(repository, work):
    repository.commit({"v": "1"})
    repository.git("branch", "release/2")
    with pytest.raises(ForeignError, match=r"'nope'.*branches are.*release/2"):
        checkout(repository, work, "nope")
    with pytest.raises(ForeignError, match="no branch, tag or commit"):
        checkout(repository, work, "0" * 40)


def test_an_empty_repository_says_so(repository, work):
    with pytest.raises(ForeignError, match="no branches: push something first"):
        checkout(repository, work)


def test_a_commit_that_no_branch_leads_to_is_asked_for(repositories, repository, work):
    repository.commit({"v": "1"})
    repository.git("checkout", "--quiet", "--detach")
    loose = repository.commit({"v": "loose"})
    repository.git("checkout", "--quiet", "main")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    assert checkout(repository, work, loose).commit == loose


def test_a_commit_that_is_here_needs_no_server(repository, work, repositories):
    commit = repository.commit({"v": "1"})
    made = checkout(repository, work)
    repository.folder.rename(repositories / "moved")
    repository.folder.mkdir()
    assert checkout(repository, work, commit) == made


def test_commits_between_two_are_listed(repository, work):
    first = repository.commit({"v": "1"}, "First")
    repository.commit({"v": "2"}, "Second: with ünicode")
    third = repository.commit({"v": "3"}, "Third")
    driver = Git(Access())
    assert driver.commits(str(repository.folder), first, third, 10) is None, "nothing was fetched yet"
    checkout(repository, work)
    between = driver.commits(str(repository.folder), first, third, 10)
    assert [commit["subject"] for commit in between] == ["Third", "Second: with ünicode"]
    assert between[0]["commit"] == third and between[0]["author"] == "Tester" and between[0]["at"][:2] == "20"
    assert driver.commits(str(repository.folder), third, first, 10) == []
    assert len(driver.commits(str(repository.folder), first, third, 1)) == 1
    assert driver.commits(str(repository.folder), "0" * 40, third, 10) is None
    assert driver.commits(str(repository.folder), "--output=/tmp/x", third, 10) is None


def test_commits_that_are_not_here_are_fetched_where_that_is_allowed(repository):
    first, second = repository.commit({"v": "1"}, "First"), repository.commit({"v": "2"}, "Second")
    driver, name = Git(Access()), str(repository.folder)
    assert [commit["subject"] for commit in driver.commits(name, first, second, 10, may_fetch=True)] == ["Second"]
    third = repository.commit({"v": "3"}, "Third")
    assert driver.commits(name, second, third, 10) is None
    assert [commit["subject"] for commit in driver.commits(name, second, third, 10, may_fetch=True)] == ["Third"]
    with pytest.raises(ForeignError, match="has no branch, tag or commit"):
        driver.commits(name, "0" * 40, third, 10, may_fetch=True)


def test_commits_are_not_waited_for_as_long_as_a_build_has_the_mirror(repository, settings, work):
    first, second = repository.commit({"v": "1"}, "First"), repository.commit({"v": "2"}, "Second")
    settings.git.timeout_s = 1
    driver, name = Git(Access()), str(repository.folder)
    with Mirror(driver.address_of(name), driver.access, work), pytest.raises(ForeignError, match="in time") as failed:
        driver.commits(name, first, second, 10, may_fetch=True)
    assert failed.value.may_pass


# What must never happen.


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd", "../x"])
def test_a_link_out_of_the_tree_is_refused(repository, work, target):
    os.symlink(target, repository.folder / "evil")
    repository.commit({"a": "b"})
    with pytest.raises(ForeignError, match="'evil' leads out of the tree"):
        checkout(repository, work)


def test_a_crafted_path_is_refused(repository, work):
    blob = subprocess.run(
        ["git", "-C", str(repository.folder), "hash-object", "-w", "--stdin"],
        input=b"x",
        capture_output=True,
        check=True,
    ).stdout.strip()
    raw = b"100644 ..\0" + bytes.fromhex(blob.decode())
    tree = (
        subprocess.run(
            ["git", "-C", str(repository.folder), "hash-object", "-w", "-t", "tree", "--stdin", "--literally"],
            input=raw,
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
    )
    commit = repository.git("commit-tree", tree, "-m", "evil")
    repository.git("update-ref", "refs/heads/main", commit)
    with pytest.raises(ForeignError):
        checkout(repository, work)


def test_a_name_that_is_not_utf_8_is_refused(repository, work):
    Path(os.fsdecode(os.fsencode(repository.folder) + b"/caf\xe9")).write_text("x")
    repository.commit({"a": "b"})
    with pytest.raises(ForeignError, match="not UTF-8"):
        checkout(repository, work)


def test_no_hook_and_no_configuration_of_this_user_runs(repository, work, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    witness = tmp_path / "ran"
    hook = tmp_path / "hooks"
    hook.mkdir()
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc", "fsmonitor"):
        (hook / name).write_text(f"#!/bin/sh\ntouch {witness}\n")
        (hook / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {hook}\n\tfsmonitor = {hook}/fsmonitor\n"
        f'[url "ext::touch {witness}"]\n\tinsteadOf = {repository.folder}\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(hook))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    repository_without_environment(repository)
    checkout(repository, work)
    assert not witness.exists()


def repository_without_environment(repository):
    """Commit without the variables that a test set for Windlass."""
    clean = {"PATH": os.environ["PATH"], **AUTHOR}
    (repository.folder / "a").write_text("b")
    for argv in (["add", "--all"], ["commit", "--quiet", "--message", "x"]):
        subprocess.run(["git", "-C", str(repository.folder), *argv], env=clean, check=True, capture_output=True)


def test_a_repository_of_another_user_can_be_read(repository, work):
    if os.geteuid() != 0:
        pytest.skip("needs: root, to give files away")
    repository.commit({"a": "b"})
    for path in [repository.folder, *repository.folder.rglob("*")]:
        os.lchown(path, 65534, 65534)
    assert tree_of(checkout(repository, work).digest) == {"a": 0o644}


# Interruptions.


def test_a_build_that_is_stopped_ends_its_git(repositories, repository, work):
    repository.commit({"a": "b"})
    work.stop.set()
    with pytest.raises((Interrupted, subprocesses.Stopped)):
        checkout(repository, work)
    fresh = Work(work.lines.append, 60)
    assert tree_of(checkout(repository, fresh).digest) == {"a": 0o644}


KILLED_WHILE_FETCHING = """
import os, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/lib/vendor", sys.argv[1] + "/lib"]
import config
settings = config.load(environ={"WINDLASS_DATA": sys.argv[2], "WINDLASS_GIT_LOCAL_PATHS": sys.argv[3]})
from controllers.build_work import Work
from controllers.foreign import Access
from controllers.foreign.source.git import Git
Git(Access()).checkout(sys.argv[4], "main", "main", Work(lambda line: print(line, flush=True), 60))
print("finished", flush=True)
"""


def test_a_killed_build_leaves_a_mirror_that_works(repositories, repository, work, settings):
    for number in range(40):
        (repository.folder / f"f{number}").write_bytes(os.urandom(200_000))
    repository.commit({"a": "b"})
    expected = checkout(repository, work)
    argv = [
        sys.executable,
        "-c",
        KILLED_WHILE_FETCHING,
        str(ROOT),
        settings.data + "-2",
        str(repositories),
        str(repository.folder),
    ]
    for lines_before in (1, 2, 3):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        for _ in range(lines_before):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    settings.data += "-2"
    assert checkout(repository, Work(work.lines.append, 60)) == expected


@pytest.mark.parametrize("damage", ["packs", "lock", "head", "config", "blob"])
def test_a_damaged_mirror_is_made_anew(repository, work, settings, damage):
    repository.commit({"a": "b"})
    checkout(repository, work)
    mirror = mirrors(settings)[0]
    if damage == "packs":
        for path in [*mirror.glob("objects/pack/*.pack"), *mirror.glob("objects/??/*")]:
            path.chmod(0o600)
            path.write_bytes(b"garbage")
    elif damage == "lock":
        (mirror / "packed-refs.lock").write_text("")
        (mirror / "refs" / "heads" / "main.lock").write_text("")
    elif damage == "blob":
        blob = repository.git("hash-object", "a")
        (mirror / "objects" / blob[:2] / blob[2:]).unlink()
        (mirror / "windlass-blobs").unlink()
        repository.git("commit", "--quiet", "--allow-empty", "--message", "Only the blob is missing")
        assert text_of(checkout(repository, work).digest, "a") == b"b"
    elif damage == "head":
        (mirror / "HEAD").unlink()
    else:
        (mirror / "config").write_text("[core\n")
    repository.commit({"a": "c"})
    made = checkout(repository, work)
    assert text_of(made.digest, "a") == b"c"


def test_two_builds_at_once_share_a_mirror(repositories, work):
    one = Repository(repositories / "busy")
    one.commit({f"f{number}": str(number) for number in range(200)})
    results, errors = [], []

    def build():
        try:
            results.append(checkout(one, Work(lambda line: None, 60)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(results)) == 1 and len(results) == 4


def test_waiting_for_another_build_is_told_and_ends_in_time(repository, work, settings):
    repository.commit({"a": "b"})
    key = Git(Access()).address_of(str(repository.folder)).key(None)
    with work.holding("git", f"{key}.lock", waiting=""):
        lines = []
        impatient = Work(lines.append, 0.3)
        with pytest.raises(BuildFailed, match="took longer than"):
            checkout(repository, impatient)
    assert "waiting for it" in lines[0]
    assert mirror_folder(key).exists() is False
