"""Virtualenvs: built once for a lock and a platform, the same each time, and never half."""

import importlib.util
import os
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

import store
from controllers.build_work import Interrupted, Work
from controllers.errors import BuildFailed
from controllers.foreign.artifacts.base import Index
from controllers.releases.dependencies import bytecode, lockfiles, platforms, uv, virtualenvs
from models import BuiltEnvironment, db
from tests import factories
from tests.controllers.servers import package_index, source_distribution, wheel

OWN = platforms.own_platform()
PACKAGES = f"lib/python{platforms.own_version()}/site-packages"


def lock_of(*lines, kind="requirements.txt"):
    """Return a lock of requirement lines (name==version, sha256)."""
    return lockfiles.Lock(kind, "".join(f"{name} --hash=sha256:{digest}\n" for name, digest in lines), platforms.own_version())


def ensure(lock, index, work, platform=OWN):
    """Build a lock's virtualenv."""
    return virtualenvs.ensure_for(lock, platform, Index(getattr(index, "url", None)), work)


def materialise(digest, folder):
    """Write a tree out as a host's agent does, with the interpreter that the manifest leaves out; returns the folder."""
    for path, mode, *rest in store.manifest(digest):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if mode == "link":
            place.symlink_to(rest[0])
            continue
        place.write_bytes(zlib.decompress(store.object_path(rest[1]).read_bytes()))
        place.chmod(mode & ~0o222)
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin" / "python").symlink_to(platforms.interpreter(platforms.own_version()))
    (folder / "pyvenv.cfg").write_text(
        f"home = {Path(platforms.interpreter(platforms.own_version())).parent}\ninclude-system-site-packages = false\n"
    )
    return folder


def paths_of(digest):
    """Return the paths of a tree."""
    return [entry[0] for entry in store.manifest(digest)]


def nothing_is_left(settings):
    """Check that no build left anything half-made behind."""
    assert list(Path(settings.data, "scratch").glob("*")) == []
    assert BuiltEnvironment.select().count() == 0
    assert list((store.base() / "manifests").glob("*")) == []


SCRIPT_FILES = {
    "tool.py": "import sys\ndef main():\n    print('tool runs in', sys.prefix)\n    return 7\n",
    "data/answer.txt": "42",
}


def test_what_is_installed_runs_wherever_it_is_put(database, index, packages, work, tmp_path):
    digest = wheel(packages, "tool", files=SCRIPT_FILES, scripts={"tool": "tool:main"})
    built = ensure(lock_of(("tool==1.0", digest)), index, work)
    folder = materialise(built.digest, tmp_path / "some where else")
    os.symlink(folder / "bin" / "tool", tmp_path / "linked-tool")
    for script in (folder / "bin" / "tool", tmp_path / "linked-tool"):
        done = subprocess.run([script], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        assert (done.returncode, done.stdout) == (7, f"tool runs in {folder}\n"), done.stderr
    assert f"{PACKAGES}/data/answer.txt" in paths_of(built.digest)
    assert not [path for path in paths_of(built.digest) if path.startswith("bin/python") or path in ("pyvenv.cfg", ".lock")]


def test_files_know_nothing_of_the_machine_that_built_them(database, index, packages, work, settings):
    digest = wheel(packages, "tool", files=SCRIPT_FILES, scripts={"tool": "tool:main"})
    built = ensure(lock_of(("tool==1.0", digest)), index, work)
    for entry in store.manifest(built.digest):
        content = store.read(entry[3])
        assert settings.data.encode() not in content and sys.prefix.encode() not in content, entry[0]


def test_the_record_of_a_package_is_right_about_its_scripts(database, index, packages, work, tmp_path):
    digest = wheel(packages, "tool", files=SCRIPT_FILES, scripts={"tool": "tool:main"})
    built = ensure(lock_of(("tool==1.0", digest)), index, work)
    folder = materialise(built.digest, tmp_path / "env")
    check = (
        "import importlib.metadata, sys\n"
        "files = [file for file in importlib.metadata.files('tool') if file.size]\n"
        "sys.exit(not files or any(file.locate().stat().st_size != file.size for file in files))"
    )
    assert subprocess.run([folder / "bin" / "python", "-c", check]).returncode == 0


def test_bytecode_is_there_and_never_compared_again(database, index, packages, work, tmp_path):
    digest = wheel(packages, "tool", files=SCRIPT_FILES)
    built = ensure(lock_of(("tool==1.0", digest)), index, work)
    folder = materialise(built.digest, tmp_path / "env")
    bytecode = importlib.util.cache_from_source(str(folder / PACKAGES / "tool.py"))
    head = Path(bytecode).read_bytes()[:8]
    assert head[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(head[4:], "little") == 1, "hash-based and unchecked (PEP 552)"
    (folder / PACKAGES / "tool.py").chmod(0o644)
    (folder / PACKAGES / "tool.py").write_text("raise SystemExit('read again')")
    done = subprocess.run(
        [folder / "bin" / "python", "-c", "import tool; print(tool.main.__code__.co_filename)"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(folder / PACKAGES / "tool.py"), done.stderr


def test_a_source_file_is_compiled_once_for_all_virtualenvs(database, index, packages, work, monkeypatch):
    one, two = wheel(packages, "one", files={"sub/a.py": "x = 1\n"}), wheel(packages, "two", files={"b.py": "y = 2\n"})
    compiled = []
    real = bytecode.compile_files
    monkeypatch.setattr(
        bytecode,
        "compile_files",
        lambda sources, *rest: (compiled.extend(path.name for path in sources), real(sources, *rest)),
    )
    first = ensure(lock_of(("one==1.0", one)), index, work)
    second = ensure(lock_of(("one==1.0", one), ("two==1.0", two)), index, work)
    assert sorted(compiled) == ["a.py", "b.py", "one.py", "two.py"]
    assert set(map(tuple, store.manifest(first.digest))) < set(map(tuple, store.manifest(second.digest)))
    for entry in store.manifest(second.digest):
        if entry[0].endswith(".pyc"):
            store.object_path(entry[3]).unlink()
    assert ensure(lock_of(("one==1.0", one), ("two==1.0", two)), index, work).digest == second.digest
    assert len(compiled) == 8, "what the store lost is compiled again"


def test_a_file_in_another_python_s_syntax_is_left_to_its_importer(database, index, packages, work):
    digest = wheel(packages, "old", files={"legacy.py": "print 'two'\n", "fine.py": "x = 1\n"})
    built = ensure(lock_of(("old==1.0", digest)), index, work)
    paths = " ".join(paths_of(built.digest))
    assert "legacy.py" in paths and "__pycache__/fine.cpython" in paths and "__pycache__/legacy.cpython" not in paths
    assert any("could not be compiled" in line and "legacy.py" in line for line in work.lines)


def test_the_same_lock_gives_the_same_content_on_another_machine(database, index, packages, work, settings, tmp_path):
    lock = lock_of(
        ("tool==1.0", wheel(packages, "tool", files=SCRIPT_FILES, scripts={"tool": "tool:main"})),
        ("legacy==1.0", source_distribution(packages, "legacy")),
    )
    first = ensure(lock, index, work)
    BuiltEnvironment.delete().execute()
    settings.data = str(tmp_path / "another")
    second = ensure(lock, index, work)
    assert (first.name, first.digest) == (second.name, second.digest)


def test_a_lock_and_a_platform_are_built_once(database, index, packages, work):
    lock = lock_of(("tool==1.0", wheel(packages, "tool")))
    first = ensure(lock, index, work)
    asked, lines = len(index.record.paths), len(work.lines)
    assert ensure(lock, index, work).id == first.id
    assert (len(index.record.paths), len(work.lines)) == (asked, lines)
    assert virtualenvs.names_for([lock.digest]) == [first.name] and virtualenvs.names_for(["x"]) == []


def test_releases_with_the_same_lock_share_it(database, index, packages, work):
    lock = lock_of(("tool==1.0", wheel(packages, "tool")))
    columns = {"lock": lock.text, "lock_digest": lock.digest, "lock_kind": lock.kind, "python_version": lock.python}
    one, two = factories.release(**columns), factories.release(**columns)
    assert virtualenvs.ensure(one, OWN, work.output).id == virtualenvs.ensure(two, OWN, work.output).id


def test_an_empty_lock_has_a_virtualenv_too(database, settings, work):
    built = ensure(lockfiles.Lock("none", "", platforms.own_version()), None, work)
    assert store.manifest(built.digest) == [] and built.size_bytes == 0


def test_content_lost_from_the_store_is_built_again(database, index, packages, work):
    lock = lock_of(("tool==1.0", wheel(packages, "tool")))
    first = ensure(lock, index, work)
    store.object_path(store.manifest(first.digest)[0][3]).unlink()
    second = ensure(lock, index, work)
    assert second.digest == first.digest and store.has(second.digest)
    assert BuiltEnvironment.select().count() == 1


def test_no_network_is_needed_for_what_was_fetched_before(database, packages, work, settings):
    settings.network.allow = ["127.0.0.0/8"]
    one, two = wheel(packages, "one"), wheel(packages, "two")
    with package_index(packages) as server:
        ensure(lock_of(("one==1.0", one), ("two==1.0", two)), server, work)
    ensure(lock_of(("two==1.0", two)), server, work)
    assert any("cache of earlier builds" in line for line in work.lines)
    packages_of_two = [path for path in paths_of(ensure(lock_of(("two==1.0", two)), server, work).digest) if "/one" in path]
    assert packages_of_two == []


# What must not succeed.


def test_a_wrong_hash_is_refused(database, index, packages, work, settings):
    wheel(packages, "tool")
    with pytest.raises(BuildFailed, match=r"cannot be installed.*Hash mismatch for `tool==1\.0`"):
        ensure(lock_of(("tool==1.0", "0" * 64)), index, work)
    nothing_is_left(settings)


def test_a_file_that_the_index_changed_later_is_refused(database, index, packages, work, settings):
    digest = wheel(packages, "tool")
    wheel(packages, "tool", files={"tool.py": "import evil"})
    with pytest.raises(BuildFailed, match="Hash mismatch"):
        ensure(lock_of(("tool==1.0", digest)), index, work)
    nothing_is_left(settings)


def test_a_requirement_that_the_file_forgot_is_named(database, index, packages, work, settings):
    digest = wheel(packages, "tool", requires=["helper"])
    wheel(packages, "helper")
    with pytest.raises(BuildFailed, match="no trusted hash was provided for: `helper`"):
        ensure(lock_of(("tool==1.0", digest)), index, work)
    nothing_is_left(settings)


def test_what_windlass_resolved_is_installed_as_it_is(database, index, packages, work):
    digest = wheel(packages, "tool", requires=["overridden"])
    assert ensure(lock_of(("tool==1.0", digest), kind="resolved"), index, work)


def test_a_package_that_does_not_build_says_why(database, index, packages, work, settings):
    digest = source_distribution(packages, "legacy", before="raise RuntimeError('the compiler is missing')")
    with pytest.raises(BuildFailed, match=r"Failed to build `legacy==1.0`") as caught:
        ensure(lock_of(("legacy==1.0", digest)), index, work)
    assert any("the compiler is missing" in line for line in [*caught.value.tail, *work.lines])
    nothing_is_left(settings)


def test_a_package_cannot_write_elsewhere(database, index, packages, work, tmp_path):
    digest = wheel(packages, "tool", files={"../../../../../../escaped.py": "x"})
    built = ensure(lock_of(("tool==1.0", digest)), index, work)
    assert f"{PACKAGES}/tool.py" in paths_of(built.digest)
    assert not [path for path in tmp_path.rglob("escaped.py") if "uv-cache" not in path.parts]


# Other platforms.


OTHER_MACHINE = "aarch64" if OWN.split("-")[3] == "x86_64" else "x86_64"


def test_wheels_of_another_machine_and_python_are_chosen(database, index, packages, work):
    wheel(packages, "fast", tag=f"cp312-cp312-manylinux_2_17_{OWN.split('-')[3]}", files={"fast_own.so": "x"})
    other = wheel(packages, "fast", tag=f"cp312-cp312-manylinux_2_17_{OTHER_MACHINE}", files={"fast_other.so": "x"})
    pure = wheel(packages, "pure")
    lock = lockfiles.Lock("resolved", f"fast==1.0 --hash=sha256:{other}\npure==1.0 --hash=sha256:{pure}\n", "3.12")
    built = ensure(lock, index, work, f"cpython-312-linux-{OTHER_MACHINE}-glibc-2.31")
    paths = paths_of(built.digest)
    assert {"lib/python3.12/site-packages/fast_other.so", "lib/python3.12/site-packages/pure.py"} <= set(paths)
    assert not [path for path in paths if "python3.11" in path]


@pytest.mark.parametrize("source_only", [True, False])
def test_a_package_without_a_wheel_for_the_platform_is_named(database, index, packages, work, settings, source_only):
    digest = (
        source_distribution(packages, "legacy")
        if source_only
        else wheel(packages, "legacy", tag="cp39-cp39-manylinux_2_17_x86_64")
    )
    with pytest.raises(BuildFailed, match=rf"for linux on {OTHER_MACHINE} with Python 3.12, from wheels alone: .*legacy"):
        ensure(lock_of(("legacy==1.0", digest)), index, work, f"cpython-312-linux-{OTHER_MACHINE}-glibc-2.31")
    nothing_is_left(settings)


def test_a_pylock_serves_other_versions_of_python_too(database, index, packages, work):
    digest = wheel(packages, "tool")
    url = f"{index.url.removesuffix('simple/')}packages/tool-1.0-py3-none-any.whl"
    text = (
        f'lock-version = "1.0"\ncreated-by = "test"\nrequires-python = ">=3.12"\n[[packages]]\nname = "tool"\nversion = "1.0"\n'
        f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{digest}" }} }}]\n'
    )
    built = ensure(lockfiles.Lock("pylock.toml", text, "3.12"), index, work, f"cpython-312-linux-{OTHER_MACHINE}-glibc-2.36")
    assert "lib/python3.12/site-packages/tool.py" in paths_of(built.digest)
    with pytest.raises(BuildFailed, match="Hash mismatch"):
        ensure(
            lockfiles.Lock("pylock.toml", text.replace(digest, "0" * 64), "3.12"),
            index,
            Work(lambda line: None, 60),
            f"cpython-312-linux-{OTHER_MACHINE}-glibc-2.35",
        )


# Interruptions and neighbours.


@pytest.mark.both_databases
def test_two_at_once_build_it_once(database, index, packages):
    lock = lock_of(("tool==1.0", wheel(packages, "tool")), ("legacy==1.0", source_distribution(packages, "legacy")))
    lines, results = [], []

    def build():
        with db.connection():
            results.append(ensure(lock, index, Work(lines.append, 60)).digest)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3 and len(set(results)) == 1
    assert len([line for line in lines if line.startswith("Building the virtualenv")]) == 1


def test_a_build_that_is_stopped_leaves_nothing(database, index, packages, settings):
    digest = source_distribution(packages, "legacy", before="import time; print('building', flush=True); time.sleep(600)")
    stop = threading.Event()
    work = Work(lambda line: stop.set() if "Building legacy" in line else None, 60, stop=stop)
    with pytest.raises(Interrupted):
        ensure(lock_of(("legacy==1.0", digest)), index, work)
    nothing_is_left(settings)


def test_the_time_limit_holds(database, index, packages, settings):
    digest = source_distribution(packages, "legacy", before="import time; time.sleep(600)")
    with pytest.raises(BuildFailed, match=r"build\.timeout_s"):
        ensure(lock_of(("legacy==1.0", digest)), index, Work(lambda line: None, 1.5))
    nothing_is_left(settings)


def test_a_link_of_a_package_out_of_its_folder_is_refused(database, settings, work, tmp_path):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "link").symlink_to("/etc/passwd")
    with pytest.raises(BuildFailed, match="leads out of the tree"):
        virtualenvs.put_into_store(tmp_path / "evil", work)


def test_commands_are_argument_lists():
    cross = uv.install_command("lock.txt", "/p", "/usr/bin/python3", is_complete=True, cross=("aarch64-manylinux_2_28", "3.12"))
    assert cross == [
        "pip",
        "install",
        "--require-hashes",
        "--no-progress",
        "--preview-features",
        "pylock",
        "--prefix",
        "/p",
        "--python",
        "/usr/bin/python3",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--python-platform",
        "aarch64-manylinux_2_28",
        "--python-version",
        "3.12",
        "--requirements",
        "lock.txt",
    ]
    assert "--no-deps" not in uv.install_command("lock.txt", "/p", "python3", is_complete=False)


def test_uv_gets_no_variable_of_ours_and_no_password_in_one(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("WINDLASS_ADMIN_TOKEN", "x")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://elsewhere.example/simple")
    variables = uv.environment(tmp_path, Index("https://h/simple", "me", "a-password"), {})
    assert "WINDLASS_ADMIN_TOKEN" not in variables and "a-password" not in repr(variables)
    assert variables["UV_DEFAULT_INDEX"] == "https://h/simple"
    assert (tmp_path / "credentials.toml").stat().st_mode & 0o077 == 0
    assert uv.environment(tmp_path, Index(), {})["UV_DEFAULT_INDEX"] == "https://elsewhere.example/simple"
