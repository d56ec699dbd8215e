"""What the agent sees of a host, under the Pythons that hosts have, without changing anything."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from remote.local import open_local
from remote.session import AgentError
from tests.lib.remote.driver import OLDEST, Controller


def find_oldest():
    """Return the path of the oldest Python the agent supports, if this machine has one that runs."""
    name = "python{}.{}".format(*OLDEST)
    places = [
        shutil.which(name),
        *Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/3.8*/bin/{name}"),
    ]
    for path in filter(None, places):
        done = subprocess.run([path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
        if done.stdout.split() == [str(part) for part in OLDEST]:
            return str(path)
    return None


@pytest.mark.parametrize("python", [path for path in (find_oldest(),) if path])
def test_a_whole_life_under_the_oldest_python(shared_host, python):
    controller = Controller(shared_host, app="old", python=python)
    controller.deploy("1")
    assert controller.seen["facts"]["python"].startswith("3.8.")
    once = {"name": "release", "command": "echo migrating", "key": "2", "timeout_s": 30}
    assert controller.deploy("2", once=once)["active"] == "b"
    assert controller.output() == "migrating\n"
    assert controller.restore("a")["warm"] is True
    assert controller.get() == (200, "1") and controller.is_sound()
    with pytest.raises(AgentError) as caught:
        controller.deploy("3", variables={"CRASH": "x"})
    assert caught.value.restored
    controller.restore(None)


def test_facts_of_this_machine(controller):
    facts = controller.observe(deep=True)["facts"]
    script = "import os, platform, sys; print(platform.python_version(), os.getuid(), os.cpu_count())"
    run = subprocess.run([controller.python, "-c", script], capture_output=True, text=True)
    python, uid, cpus = run.stdout.split()
    assert (facts["python"], facts["uid"], facts["cpus"]) == (python, int(uid), int(cpus))
    assert (facts["implementation"], facts["system"], facts["machine"]) == ("cpython", "linux", os.uname().machine)
    assert facts["libc"] == os.confstr("CS_GNU_LIBC_VERSION").split()
    assert facts["memory_bytes"] > 1 << 28 and facts["disk_free_bytes"] > 1 << 20 and facts["clock_ms"] > 1_600_000_000_000
    supervisord = {"kind": "supervisord", "reachable": True, "version": "4.3.0", "is_root": os.getuid() == 0}
    assert facts["supervisor"] == supervisord
    assert facts["nginx"]["version"].count(".") == 2
    for version, path in facts["pythons"].items():
        said = subprocess.run([path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True)
        assert said.stdout.strip() == version


def test_observing_changes_nothing_and_needs_no_lock(controller):
    controller.open(1)
    controller.activate(controller.prepare("1"))
    before = snapshot(controller.base)
    seen = controller.observe(deep=True)
    assert snapshot(controller.base) == before
    assert seen["application"]["active"] == "a" and seen["problems"] == []


def test_a_host_that_has_never_seen_the_application(controller):
    application = controller.observe()["application"]
    assert (application["current"], application["active"], application["slots"]) == (None, None, {"a": None, "b": None})
    assert (application["releases"], application["ports"], application["epoch"]) == ([], {}, 0)
    assert not controller.base.exists()
    assert controller.session is None
    with open_local(controller.python) as session:
        seen = session.request("observe", root=str(controller.host.root), app=None, settings=controller.settings)
    assert seen["application"] is None and seen["facts"]


def snapshot(folder):
    """Return {path: (mode, mtime, content or link target)} of a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        if path.name.endswith(".log") or path.is_socket():
            continue
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path)] = (about.st_mode, about.st_mtime_ns, content)
    return found


def test_an_application_as_it_is_seen(controller):
    controller.deploy("2026.1")
    application = controller.deploy("2026.2")["application"]
    assert {name: slot["version"] for name, slot in application["slots"].items()} == {"a": "2026.1", "b": "2026.2"}
    assert application["slots"]["b"]["serving"] and application["slots"]["b"]["phase"] == "ready"
    for what, folder in (("supervisor-a", "supervisor"), ("supervisor-b", "supervisor"), ("nginx", "nginx")):
        key = "programs" if folder == "supervisor" else "sites"
        name = f"windlass-{controller.app}{what.removeprefix('supervisor') if folder == 'supervisor' else ''}.conf"
        text = (Path(controller.settings[folder][key]) / name).read_bytes()
        assert application["files"][what] == hashlib.sha256(text).hexdigest()
    controller.control("stop", "b-web")
    assert controller.observe()["application"]["slots"]["b"]["serving"] is False


def test_a_probe_asks_what_the_release_itself_was_checked_with(controller):
    assert controller.observe(probe=True)["probe"] == {"healthy": False, "said": "nothing runs here"}
    controller.deploy("1")
    assert controller.observe(probe=True)["probe"] == {"healthy": True, "said": "GET / answered with status 200"}
    assert "probe" not in controller.observe()
    controller.control("stop", "a-web")
    probe = controller.observe(probe=True)["probe"]
    assert not probe["healthy"] and probe["said"].startswith("GET /: ")


@pytest.mark.parametrize("root", ["relative", "/", "/a/../b", "/a/", "", None, 5])
def test_a_root_that_is_no_clean_absolute_path_is_refused(controller, root):
    with open_local(controller.python) as session, pytest.raises(AgentError) as caught:
        session.request("observe", root=root, app="shop", settings=controller.settings)
    assert caught.value.code == "bad-request"


@pytest.mark.parametrize("app", ["../shop", "a/b", "", ".", "..", "-x", "a b", "a\nb", 5])
def test_an_application_name_that_leads_elsewhere_is_refused(controller, app):
    with open_local(controller.python) as session, pytest.raises(AgentError) as caught:
        session.request("begin", root=str(controller.host.root), app=app, settings=controller.settings, epoch=1, deploy=1)
    assert caught.value.code == "bad-request"


def test_a_root_so_long_that_sockets_do_not_fit(controller):
    with open_local(controller.python) as session:
        seen = session.request("observe", root="/tmp/" + "x" * 100, app="shop", settings=controller.settings)
    assert [problem["code"] for problem in seen["problems"]] == ["socket-path-too-long"]


def test_a_user_who_may_not_write(controller, tmp_path):
    python = controller.python
    if os.getuid() == 0:
        script = tmp_path / "python"
        script.write_text(f'#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups {python} "$@"\n')
        script.chmod(0o755)
        python = str(script)
    with open_local(python) as session:
        about = {"root": "/usr/nothing-there", "app": "shop", "settings": controller.settings}
        problems = {problem["code"]: problem["message"] for problem in session.request("observe", **about)["problems"]}
        assert "may not write in /usr" in problems["root-not-writable"]
        with pytest.raises(AgentError) as caught:
            session.request("begin", epoch=1, deploy=1, lock_wait_s=0, **about)
    assert (caught.value.code, caught.value.step) == ("permission-denied", "preflight")
    assert "/usr/nothing-there" in caught.value.message


@pytest.mark.parametrize("verb", ["", None, "shutdown", "__init__"])
def test_a_verb_that_does_not_exist(controller, verb):
    with open_local(controller.python) as session, pytest.raises(AgentError) as caught:
        session.request(verb)
    assert caught.value.code == "bad-request"
