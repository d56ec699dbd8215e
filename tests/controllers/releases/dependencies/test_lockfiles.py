"""Locks: every file that can name dependencies becomes exact packages with hashes, and the same packages one digest."""

import hashlib

import pytest

from controllers.errors import BuildFailed
from controllers.foreign import ForeignError
from controllers.foreign.artifacts.base import Index
from controllers.releases import project
from controllers.releases.dependencies import lockfiles
from tests.controllers.releases.test_project import tree
from tests.controllers.servers import basic, package_index, source_distribution, wheel


def settle(files, index, work, previous=(), upgrade=False, python="3.11"):
    """Return the lock of a tree with these files."""
    return lockfiles.settle(project.read(tree(files)), python, Index(index.url), work, previous, upgrade)


def test_without_dependencies_the_lock_is_empty(settings, work):
    for files in ({}, {"requirements.txt": "# none\n"}):
        lock = lockfiles.settle(project.read(tree(files)), "3.11", Index(), work)
        assert (lock.kind, lock.text, lock.digest) == ("none", "", hashlib.sha256(b"").hexdigest())


def test_hashes_that_are_there_are_kept_without_asking_anybody(settings, work):
    text = f"b==2 --hash=sha256:{'2' * 64}\na==1 --hash=sha256:{'1' * 64}\n"
    lock = lockfiles.settle(project.read(tree({"requirements.txt": text})), "3.11", Index("https://unreachable.invalid"), work)
    assert lock.kind == "requirements.txt"
    assert lockfiles.packages(lock.text) == {"a": "1", "b": "2"}
    again = "# order and comments do not count\n" + "\n".join(reversed(text.splitlines()))
    assert lockfiles.settle(project.read(tree({"requirements.txt": again})), "3.11", Index(), work).digest == lock.digest


def test_requirements_without_hashes_are_locked_with_all_they_need(index, packages, work):
    app = wheel(packages, "app-base", "1.4", requires=["helper>=1", 'only-elsewhere ; sys_platform == "win32"'])
    wheel(packages, "helper", "1.0")
    newest = wheel(packages, "helper", "2.0")
    wheel(packages, "only-elsewhere", "3.0")
    lock = settle({"requirements.txt": "app_base\n-c limits.txt\n", "limits.txt": "helper<3\n"}, index, work)
    assert lock.kind == "resolved"
    assert lockfiles.packages(lock.text) == {"app-base": "1.4", "helper": "2.0", "only-elsewhere": "3.0"}
    assert f"sha256:{app}" in lock.text and f"sha256:{newest}" in lock.text and "win32" in lock.text


def test_a_change_of_code_alone_changes_no_dependency(index, packages, work):
    wheel(packages, "helper", "1.0")
    first = settle({"requirements.txt": "helper\n"}, index, work)
    wheel(packages, "helper", "2.0")
    asked = len(index.record.paths)
    assert settle({"requirements.txt": "helper\n", "app.py": "new"}, index, work, [first.text]) == first
    assert len(index.record.paths) == asked, "nobody was asked"
    upgraded = settle({"requirements.txt": "helper\n"}, index, work, [first.text], upgrade=True)
    assert lockfiles.packages(upgraded.text) == {"helper": "2.0"}


def test_a_new_requirement_leaves_the_other_versions_alone(index, packages, work):
    wheel(packages, "helper", "1.0")
    first = settle({"requirements.txt": "helper\n"}, index, work)
    wheel(packages, "helper", "2.0")
    wheel(packages, "other", "1.0")
    second = settle({"requirements.txt": "helper\nother\n"}, index, work, [first.text])
    assert lockfiles.packages(second.text) == {"helper": "1.0", "other": "1.0"}
    assert second.digest != first.digest


def test_another_python_is_another_question(index, packages, work):
    wheel(packages, "helper", "1.0")
    wheel(packages, "helper", "2.0", requires_python=">=3.12")
    first = settle({"requirements.txt": "helper\n"}, index, work)
    assert "helper==1.0 ; python_full_version < '3.12'" in first.text
    second = settle({"requirements.txt": "helper\n"}, index, work, [first.text], python="3.12")
    assert lockfiles.packages(second.text) == {"helper": "2.0"}


def test_what_cannot_be_resolved_is_told_in_one_sentence(index, packages, work):
    wheel(packages, "helper", "1.0")
    with pytest.raises(
        BuildFailed, match=r"requirements.txt cannot be resolved: .*no version of helper==9.*unsatisfiable"
    ) as caught:
        settle({"requirements.txt": "helper==9\n"}, index, work)
    assert "\n" not in str(caught.value)
    with pytest.raises(BuildFailed, match="nothing-like-it was not found"):
        settle({"requirements.txt": "nothing-like-it\n"}, index, work)


def test_an_index_that_does_not_answer_is_told(settings, work, packages):
    settings.network.allow = ["127.0.0.0/8"]
    with package_index(packages) as server:
        url = server.url
    with pytest.raises(ForeignError, match=r"127\.0\.0\.1, port \d+, cannot be reached: connection refused") as away:
        lockfiles.settle(project.read(tree({"requirements.txt": "helper\n"})), "3.11", Index(url), work)
    assert away.value.is_away


def test_an_index_behind_the_fence_is_refused(index, work, settings, packages):
    wheel(packages, "helper", "1.0")
    settings.network.allow = []
    with pytest.raises(BuildFailed, match=r"127\.0\.0\.1 is this machine itself"):
        settle({"requirements.txt": "helper\n"}, index, work)
    assert index.record.paths == []


def test_an_index_that_a_repository_names_is_behind_the_fence_too(settings, work, packages, tmp_path):
    wheel(packages, "helper", "1.0")
    settings.network.allow = ["127.0.0.1/32"]
    with package_index(packages) as server:
        other = server.url.replace("127.0.0.1", "127.0.0.2")
        with pytest.raises(BuildFailed, match=r"127\.0\.0\.2 is this machine itself"):
            settle({"requirements.txt": f"--extra-index-url {other}\nhelper\n"}, server, work)


@pytest.mark.parametrize(
    "login, index_login",
    [
        (basic("me", "p\"a'ss\\wörd"), {"username": "me", "password": "p\"a'ss\\wörd"}),
        ("Bearer a-long-token", {"token": "a-long-token"}),
    ],
)
def test_a_login_is_used_and_leaves_no_trace(settings, packages, work, login, index_login):
    settings.network.allow = ["127.0.0.0/8"]
    wheel(packages, "helper", "1.0")
    with package_index(packages, login=login) as server:
        index = Index(server.url, **index_login)
        lock = lockfiles.settle(project.read(tree({"requirements.txt": "helper\n"})), "3.11", index, work)
    assert login in server.record.logins
    secret = index_login.get("password") or index_login["token"]
    assert secret not in lock.text + "\n".join(work.lines) + repr(index)


def test_a_refused_login_is_told(settings, packages, work):
    settings.network.allow = ["127.0.0.0/8"]
    wheel(packages, "helper", "1.0")
    asked = project.read(tree({"requirements.txt": "helper\n"}))
    with (
        package_index(packages, login=basic("me", "right-password")) as server,
        pytest.raises(BuildFailed, match=r"401 Unauthorized|authentication") as caught,
    ):
        lockfiles.settle(asked, "3.11", Index(server.url, "me", "wrong-password"), work)
    assert "wrong-password" not in str(caught.value) + "\n".join([*work.lines, *caught.value.tail])


def test_dependencies_in_pyproject_are_locked(index, packages, work):
    wheel(packages, "helper", "1.0")
    wheel(packages, "server", "1.0")
    text = (
        '[project]\nname = "shop"\ndynamic = ["version"]\nreadme = "missing.md"\ndependencies = ["helper"]\n'
        '[project.optional-dependencies]\nprod = ["server"]\n'
    )
    lock = settle({"pyproject.toml": text, "windlass.json": '{"extras": ["prod"]}'}, index, work)
    assert lockfiles.packages(lock.text) == {"helper": "1.0", "server": "1.0"}


# uv.lock


PROJECT = (
    '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.8"\ndependencies = ["helper"]\n'
    '[project.optional-dependencies]\nprod = ["server"]\n'
    '[dependency-groups]\ndev = ["tool"]\nextra = ["tool"]\n'
)


def uv_lock(url, helper):
    """Return the text of a uv.lock as uv writes it."""

    def package(name, digest="0" * 64):
        return (
            f'[[package]]\nname = "{name}"\nversion = "1.0"\nsource = {{ registry = "{url}" }}\n'
            f'wheels = [{{ url = "{url}{name}-1.0-py3-none-any.whl", hash = "sha256:{digest}" }}]\n\n'
        )

    return (
        'version = 1\nrevision = 3\nrequires-python = ">=3.8"\n\n'
        + package("helper", helper)
        + package("server")
        + package("tool")
        + '[[package]]\nname = "shop"\nversion = "1"\nsource = { virtual = "." }\ndependencies = [{ name = "helper" }]\n\n'
        '[package.optional-dependencies]\nprod = [{ name = "server" }]\n\n'
        '[package.dev-dependencies]\ndev = [{ name = "tool" }]\nextra = [{ name = "tool" }]\n'
    )


def test_a_uv_lock_is_exported_without_asking_anybody(settings, work):
    files = {"pyproject.toml": PROJECT, "uv.lock": uv_lock("https://pypi.org/simple", "1" * 64)}
    lock = lockfiles.settle(project.read(tree(files)), "3.11", Index("https://unreachable.invalid"), work)
    assert lock.kind == "uv.lock"
    assert lockfiles.packages(lock.text) == {"helper": "1.0"}
    assert f"sha256:{'1' * 64}" in lock.text
    chosen = {**files, "windlass.json": '{"extras": ["prod"], "groups": ["extra"]}'}
    assert set(lockfiles.packages(lockfiles.settle(project.read(tree(chosen)), "3.11", Index(), work).text)) == {
        "helper",
        "server",
        "tool",
    }


def test_a_uv_lock_without_its_project_is_told(settings, work):
    with pytest.raises(BuildFailed, match=r"uv.lock needs the pyproject.toml"):
        lockfiles.settle(project.read(tree({"uv.lock": "version = 1\n"})), "3.11", Index(), work)


def test_a_broken_uv_lock_is_told(settings, work):
    with pytest.raises(BuildFailed, match=r"uv.lock cannot be read"):
        lockfiles.settle(project.read(tree({"uv.lock": "nonsense", "pyproject.toml": PROJECT})), "3.11", Index(), work)


# pylock.toml


def pylock(package):
    """Return a pylock.toml with one package, given as the lines of its table."""
    return f'lock-version = "1.0"\ncreated-by = "test"\nrequires-python = ">=3.8"\n\n[[packages]]\nname = "helper"\n{package}\n'


WHEEL = 'version = "1.0"\nwheels = [{ url = "https://h/helper-1.0-py3-none-any.whl", hashes = { sha256 = "' + "1" * 64 + '" } }]'


def test_a_pylock_is_taken_as_it_is(settings, work):
    lock = lockfiles.settle(project.read(tree({"pylock.toml": "# made by a tool\r\n" + pylock(WHEEL)})), "3.11", Index(), work)
    assert lock.kind == "pylock.toml" and lockfiles.packages(lock.text) == {"helper": "1.0"}
    assert lock.digest == lockfiles.settle(project.read(tree({"pylock.toml": pylock(WHEEL)})), "3.12", Index(), work).digest


@pytest.mark.parametrize(
    "package, says",
    [
        ('vcs = { type = "git", url = "https://h/x", commit-id = "abc" }', "cannot be checked by a hash"),
        ('directory = { path = "." }', "cannot be checked by a hash"),
        ('archive = { path = "lib/x.zip", hashes = { sha256 = "1" } }', "a file of the repository cannot be installed"),
        ('wheels = [{ url = "https://h/x.whl" }]', "has no hash"),
        ('wheels = [{ url = "https://h/x.whl", hashes = {} }]', "has no hash"),
        ('wheels = [{ url = "https://me:pw@h/x.whl", hashes = { sha256 = "1" } }]', "credentials have no place"),
        ('wheels = [{ url = "file:///etc/passwd", hashes = { sha256 = "1" } }]', "https:// or http://"),
    ],
)
def test_what_a_pylock_may_not_hold_is_refused(settings, work, package, says):
    with pytest.raises(BuildFailed, match=says):
        lockfiles.settle(project.read(tree({"pylock.toml": pylock(package)})), "3.11", Index(), work)


@pytest.mark.parametrize("text", ["nonsense =", 'packages = "x"', "[[packages]]\nname = 'x'\n"])
def test_what_is_no_pylock_is_refused(settings, work, text):
    with pytest.raises(BuildFailed, match=r"pylock.toml is n"):
        lockfiles.settle(project.read(tree({"pylock.toml": text})), "3.11", Index(), work)


# Packages of an index.


def test_a_package_is_locked_with_what_else_is_asked_for(index, packages, work):
    wheel(packages, "shop", "1.0", requires=["helper"])
    wheel(packages, "shop", "2.0", requires=["helper", 'server ; extra == "web"'])
    for name in ("helper", "server", "runner"):
        wheel(packages, name, "1.0")
    lock, version = lockfiles.settle_package("shop[web]", None, ["runner"], "3.11", Index(index.url), work)
    assert version == "2.0"
    assert lockfiles.packages(lock.text) == {"shop": "2.0", "helper": "1.0", "server": "1.0", "runner": "1.0"}
    lock, version = lockfiles.settle_package("shop", "1.0", [], "3.11", Index(index.url), work)
    assert (version, lockfiles.packages(lock.text)) == ("1.0", {"shop": "1.0", "helper": "1.0"})


@pytest.mark.parametrize(
    "package, version, more",
    [
        ("shop @ file:///srv/shop", None, []),
        ("shop", "1.0", ["-e ."]),
        ("shop", "1.0", ["--index-url https://me:pw@h"]),
        ("-r /etc/passwd", None, []),
        ("shop", "9.9", []),
        ("shop", "1.0\n--pre", []),
    ],
)
def test_what_is_no_package_of_the_index_is_refused(index, packages, work, package, version, more):
    wheel(packages, "shop", "1.0")
    with pytest.raises(BuildFailed):
        lockfiles.settle_package(package, version, more, "3.11", Index(index.url), work)


def test_a_source_distribution_is_locked_without_being_installed(index, packages, work):
    digest = source_distribution(packages, "legacy")
    lock = settle({"requirements.txt": "legacy\n"}, index, work)
    assert f"sha256:{digest}" in lock.text


def test_packages_locked_twice_show_both_versions():
    text = (
        'a==1 ; python_version < "3.9" \\\n    --hash=sha256:1\na==2 ; python_version >= "3.9" \\\n    --hash=sha256:2\n'
        "B_c[x]==3\nd @ https://h/d.whl\n"
    )
    assert lockfiles.packages(text) == {"a": "1, 2", "b-c": "3", "d": "https://h/d.whl"}
    assert lockfiles.packages("") == lockfiles.packages(None) == {}
