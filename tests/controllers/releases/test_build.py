"""A whole build: from what somebody asked for to a release that is ready or says why it is not."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

import store
from controllers import events
from controllers.actor import Actor
from controllers.jobs import queue
from controllers.releases import build
from controllers.releases.dependencies import platforms
from controllers.releases.releases import ReleaseController
from models import BuiltEnvironment, Release, Target
from models.db import now
from tests import factories
from tests.controllers.servers import basic, package_index, source_distribution, wheel
from tests.stack import Repository

ROOT = Path(__file__).resolve().parents[3]
ACTOR = Actor("tester")


@pytest.fixture(autouse=True)
def sent_tasks(database, monkeypatch):
    """What was enqueued; nobody answers, the tests do the work themselves."""
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda *what, zone=None: enqueued.append(what))
    return enqueued


def application(repository, name="shop"):
    """Register an application with a repository."""
    return factories.application(name, source={"repository": str(repository.folder), "branch": "main"})


def make(application, fields=None, state="ready"):
    """Ask for a release, build it, and return its row, which must be in `state`."""
    asked = ReleaseController(ACTOR).create(application.name, fields or {})
    release = Release.get(Release.application == application, Release.version == asked["version"])
    build.KIND.carry_out(release.id)
    release = Release.get_by_id(release.id)
    assert release.state == state, release.error
    return release


def asked(shop):
    """Return the row of a release that was asked for."""
    version = ReleaseController(ACTOR).create(shop.name, {})["version"]
    return Release.get(Release.application == shop, Release.version == version)


def output_of(release):
    """Return a build's output as one text."""
    return "\n".join(event.get("text") or "" for event in events.read(f"release-{release.id}", limit=10_000))


def states(release):
    """Return the states a build's history tells, in order."""
    return [event["data"]["state"] for event in events.read(f"release-{release.id}", limit=10_000) if event["kind"] == "release"]


# From a repository.


def test_a_commit_becomes_a_release(repository, index, packages):
    digest = wheel(packages, "server")
    commit = repository.commit(
        {
            "Procfile": "web: serve $SOCKET\n",
            "requirements.txt": f"server==1.0 --hash=sha256:{digest}\n",
            "src/app.py": "x = 1\n",
            "windlass.json": '{"health": {"path": "/up"}, "release": "migrate"}',
        }
    )
    release = make(application(repository))
    assert (release.number, release.version, release.ref, release.commit) == (1, "v1", "main", commit)
    assert release.processes == {"web": "serve $SOCKET", "release": "migrate"} and release.settings == {"health": {"path": "/up"}}
    assert (release.lock_kind, release.python_version) == ("requirements.txt", platforms.own_version())
    assert {entry[0] for entry in store.manifest(release.digest)} == {
        "Procfile",
        "requirements.txt",
        "src/app.py",
        "windlass.json",
    }
    assert release.size_bytes == store.size(release.digest) and release.ended_at >= release.created_at
    environment = BuiltEnvironment.get(BuiltEnvironment.lock_digest == release.lock_digest)
    assert environment.platform == platforms.own_platform() and store.has(environment.digest)
    assert states(release) == ["building", "ready"]
    assert release.lease_owner is None
    assert list(Path(store.settings.data, "scratch").glob("*")) == []


def test_the_same_commit_again_is_a_new_release_of_the_same_content(repository, repositories):
    repository.commit({"app.py": "x"})
    shop = application(repository)
    first, second = make(shop), make(shop)
    assert (second.version, second.digest, second.lock_digest) == ("v2", first.digest, first.lock_digest)
    assert BuiltEnvironment.select().count() == 1


def test_a_ref_is_built_as_it_is_asked_for(repository):
    first = repository.commit({"app.py": "1"})
    repository.git("tag", "v1.0")
    repository.commit({"app.py": "2"})
    shop = application(repository)
    release = make(shop, {"ref": "v1.0"})
    assert (release.ref, release.commit) == ("v1.0", first)


def test_code_alone_changes_no_dependency(repository, index, packages):
    wheel(packages, "helper", "1.0")
    repository.commit({"requirements.txt": "helper\n", "app.py": "1"})
    shop = application(repository)
    first = make(shop)
    wheel(packages, "helper", "2.0")
    repository.commit({"app.py": "2"})
    asked = len(index.record.paths)
    second = make(shop)
    assert second.lock_digest == first.lock_digest and second.digest != first.digest
    assert len(index.record.paths) == asked
    third = make(shop, {"upgrade_dependencies": True})
    assert "helper==2.0" in third.lock and third.source["upgrade_dependencies"] is True
    assert make(shop).lock_digest == third.lock_digest


def observed(name, *pythons, machine="aarch64", **columns):
    """Return a host with these versions of Python, as its agent told."""
    facts = {
        "implementation": "cpython",
        "python": f"{pythons[0]}.1",
        "pythons": {version: f"/usr/bin/python{version}" for version in pythons},
        "system": "linux",
        "machine": machine,
        "libc": ["glibc", "2.31"],
    }
    return factories.host(name, facts=facts, **columns)


def target(of, hosts):
    """Give an application a target."""
    return Target.create(
        application=of,
        environment=factories.environment(),
        hosts=hosts,
        strategy={},
        health={},
        created_at=now(),
        updated_at=now(),
    )


def test_virtualenvs_are_built_for_the_platforms_of_the_hosts(repository, index, packages):
    wheel(packages, "helper")
    repository.commit({"requirements.txt": "helper\n"})
    shop = application(repository)
    observed("one", "3.9", "3.12")
    observed("two", "3.12", machine="x86_64")
    observed("elsewhere", "3.8")
    target(shop, ["one", "two"])
    release = make(shop)
    assert release.python_version == "3.12"
    built = {row.platform for row in BuiltEnvironment.select()}
    assert built == {"cpython-312-linux-aarch64-glibc-2.31", "cpython-312-linux-x86_64-glibc-2.31"}


def test_hosts_are_found_by_tag_and_those_without_the_version_are_named(repository, repositories):
    repository.commit({".python-version": "3.12\n"})
    shop = application(repository)
    observed("old", "3.8", tags=["web"])
    observed("new", "3.12", tags=["web"])
    target(shop, {"tags": ["web"]})
    release = make(shop)
    assert "no Python 3.12 on old" in output_of(release)
    assert [row.platform for row in BuiltEnvironment.select()] == ["cpython-312-linux-aarch64-glibc-2.31"]


# From a package index.


def package(name="httpbin", **source):
    """Register an application that is a package."""
    return factories.application(
        name, source={"integration": None, "package": name, **source}, processes={"web": "serve $SOCKET"}
    )


def test_a_package_becomes_a_release(index, packages):
    wheel(packages, "httpbin", "0.9")
    wheel(packages, "httpbin", "0.10", requires=["helper", 'extra ; extra == "mainapp"'])
    for name in ("helper", "extra", "gunicorn"):
        wheel(packages, name)
    shop = package(extras=["mainapp"], requirements=["gunicorn"])
    release = make(shop)
    assert (release.package_version, release.commit, release.lock_kind) == ("0.10", None, "resolved")
    assert [entry[0] for entry in store.manifest(release.digest)] == ["windlass-package.json"]
    content = json.loads(store.read(store.manifest(release.digest)[0][3]))
    assert content == {"package": "httpbin[mainapp]", "version": "0.10", "lock": release.lock_digest}
    assert set(ReleaseController(ACTOR).get("httpbin", "v1")["dependencies"]) == {
        "httpbin",
        "helper",
        "extra",
        "gunicorn",
    }
    older = make(shop, {"package_version": "0.9"})
    assert (older.package_version, older.version) == ("0.9", "v2")
    assert older.digest != release.digest, "two versions must not have the same name on a host"


def test_a_package_of_an_integration_is_fetched_with_its_login(settings, packages, integration):
    settings.network.allow = ["127.0.0.0/8"]
    wheel(packages, "httpbin")
    with package_index(packages, login=basic("me", "a-password")) as server:
        integration("packages", "package-index", server.url, {"username": "me", "password": "a-password"})
        release = make(package(integration="packages"))
    assert release.package_version == "1.0"
    assert "a-password" not in output_of(release) + release.lock


# Failures.


@pytest.mark.parametrize(
    "files, sentence",
    [
        ({"Procfile": "oops"}, "Procfile, line 1: write a process as 'name: command'"),
        ({"windlass.json": '{"helth": {}}'}, "did you mean 'health'?"),
        ({"requirements.txt": "-e .\n"}, "requirements.txt, line 1: '-e' has no place in a release."),
        ({"requirements.txt": "nothing-like-this\n"}, "nothing-like-this was not found"),
        ({"poetry.lock": ""}, "Windlass does not read poetry.lock"),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(repository, index, settings, files, sentence):
    repository.commit({"a": "b", **files})
    release = make(application(repository), state="failed")
    assert sentence in release.error.splitlines()[0]
    assert release.digest is None and release.ended_at and release.commit
    assert states(release) == ["building", "failed"]
    assert BuiltEnvironment.select().count() == 0
    assert list(Path(settings.data, "scratch").glob("*")) == []


def test_a_failed_build_shows_the_last_lines(repository, index, packages):
    digest = source_distribution(packages, "legacy", before="print('checking for cc'); raise SystemExit('no compiler found')")
    repository.commit({"requirements.txt": f"legacy==1.0 --hash=sha256:{digest}\n"})
    release = make(application(repository), state="failed")
    first, *rest = release.error.splitlines()
    assert "Failed to build `legacy==1.0`" in first
    assert any("no compiler found" in line for line in rest) and len(rest) <= build.TAIL_LINES


def test_a_failed_release_does_not_stop_the_next(repository, repositories):
    repository.commit({"Procfile": "oops"})
    shop = application(repository)
    make(shop, state="failed")
    repository.commit({"Procfile": "web: x"})
    assert make(shop).version == "v2"


def test_an_integration_that_is_gone_is_told(repository):
    shop = factories.application(source={"integration": "gone", "repository": "shop.git", "branch": "main"})
    assert "There is no integration 'gone' any more" in make(shop, state="failed").error


def test_secrets_are_masked_wherever_they_show_up(repository, integration, index, packages, settings):
    secret = "s3cr3t-value-of-a-token"
    digest = source_distribution(
        packages, "leaky", before=f"raise RuntimeError('the token is {secret} and https://me:other-pass@h/')"
    )
    integration("main", url=str(repository.folder.parent), credentials={"token": secret})
    repository.commit({"requirements.txt": f"leaky==1.0 --hash=sha256:{digest}\n"})
    shop = factories.application(source={"integration": "main", "repository": str(repository.folder), "branch": "main"})
    release = make(shop, state="failed")
    text = release.error + output_of(release)
    assert secret not in text and "other-pass" not in text
    assert "the token is ••••••" in text


def test_a_build_has_a_time_limit(repository, index, packages, settings):
    settings.build.timeout_s = 2
    digest = source_distribution(packages, "slow", before="import time; time.sleep(600)")
    repository.commit({"requirements.txt": f"slow==1.0 --hash=sha256:{digest}\n"})
    release = make(application(repository), state="failed")
    assert "took longer than 2 s" in release.error


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """Mount a small file system; skips where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], capture_output=True).returncode
    ):
        pytest.skip("needs: root, to mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_told_and_leaves_nothing_half_made(repository, settings):
    (repository.folder / "large.bin").write_bytes(os.urandom(3_000_000))
    repository.commit({"a": "b"})
    shop = application(repository)
    with small_disk(Path(settings.data, "store"), 1024):
        release = make(shop, state="failed")
        assert "disk is full" in release.error and settings.data in release.error
        assert list(store.base().rglob("manifests/*")) == [] and list((store.base() / "incoming").iterdir()) == []
    assert make(shop).state == "ready"


def test_a_full_disk_while_fetching_is_told(repository, settings):
    (repository.folder / "large.bin").write_bytes(os.urandom(3_000_000))
    repository.commit({"a": "b"})
    shop = application(repository)
    with small_disk(Path(settings.data, "git"), 1024):
        assert "disk is full" in make(shop, state="failed").error
    assert make(shop).state == "ready"


def test_a_mistake_inside_windlass_is_no_endless_build(repository, monkeypatch):
    repository.commit({"a": "b"})
    monkeypatch.setattr(build.BuildAttempt, "from_repository", lambda *_: 1 / 0)
    release = make(application(repository), state="failed")
    assert release.error.startswith("Windlass itself failed: ZeroDivisionError")


# With the real package index, where there is one.


def test_the_sample_application_is_built_with_the_real_index(repositories, settings):
    settings.network.allow = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    hello = Repository(repositories / "hello")
    files = {path.name: path.read_text() for path in (ROOT / "examples" / "hello").iterdir() if path.is_file()}
    hello.commit(files)
    asked_for = asked(application(hello, "hello"))
    build.KIND.carry_out(asked_for.id)
    release = Release.get_by_id(asked_for.id)
    if release.state == "failed" and ("cannot be reached" in release.error or "cannot be resolved (" in release.error):
        pytest.skip("needs: package index")
    assert release.state == "ready", release.error
    paths = {entry[0] for entry in store.manifest(BuiltEnvironment.get().digest)}
    assert {"bin/gunicorn", f"lib/python{platforms.own_version()}/site-packages/gunicorn/__init__.py"} <= paths
