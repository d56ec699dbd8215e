"""Releases take over, come back and go, on a real host, while clients never stop asking."""

import contextlib
import os
import re
import stat
import threading
from pathlib import Path

import pytest

from remote.session import AgentError
from tests.fleet.hammer import Hammer
from tests.lib.remote.driver import environment_tree, release_tree

WORKER = {"command": "sleep 600", "exec": True}


def with_worker(controller):
    """Return processes: the web process and a worker."""
    return {"web": {"command": f"python web.py {controller.binding}", "exec": True}, "worker": WORKER}


@pytest.mark.parametrize("binding", ["socket", "port"])
def test_a_first_deploy_serves(controllers, binding):
    controller = controllers(binding=binding)
    answer = controller.deploy("1")
    assert controller.get() == (200, "1")
    assert (answer["active"], answer["switched"], answer["warm"]) == ("a", True, False)
    assert os.readlink(controller.base / "current") == f"releases/{answer['current']}"
    assert os.readlink(controller.base / "slots" / "a") == f"../releases/{answer['current']}"
    assert os.readlink(controller.base / "run" / "current.sock") == "a.sock"
    assert controller.is_sound() and controller.leftovers() == []


def test_what_is_shipped_is_read_only_and_what_holds_secrets_is_private(controller):
    answer = controller.deploy("1")
    release = controller.base / "releases" / answer["current"]
    assert stat.S_IMODE(os.stat(release / "web.py").st_mode) == 0o444
    assert stat.S_IMODE(os.stat(release / "package").st_mode) == stat.S_IMODE(os.stat(release).st_mode) == 0o555
    assert stat.S_IMODE(os.stat(controller.base / "run" / "a-web").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(controller.base / "state").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(controller.base / "state" / "slot-a.json").st_mode) == 0o600


def test_nginx_may_connect_to_a_socket_that_its_server_kept_to_itself_also_after_a_crash(controller):
    controller.deploy("1")
    path = controller.base / "run" / "a.sock"
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o006 == 0o006
    pid = controller.observe()["application"]["slots"]["a"]["processes"]["web"]["pid"]
    with Hammer(controller.host.url, controller.server_name) as hammer:
        hammer.await_version("1")
        os.kill(pid, 9)  # It leaves its socket file behind; supervisord starts it again.
        hammer.await_failure()
        served = hammer.versions["1"]
        # supervisord starts it again a moment later; a helper opens the socket then.
        while hammer.versions["1"] <= served:
            hammer.await_requests(5)


@pytest.mark.parametrize("binding", ["socket", "port"])
def test_no_request_fails_while_releases_change(controllers, binding):
    controller = controllers(binding=binding)
    controller.deploy("1")
    with Hammer(controller.host.url, controller.server_name) as hammer:
        hammer.await_version("1")
        assert controller.deploy("2")["active"] == "b"
        hammer.await_version("2")
        assert controller.restore("a")["warm"] is True
        hammer.await_version("1")
        controller.control("stop", "b-web")
        assert controller.restore("b")["warm"] is False
        hammer.await_version("2")
        controller.deploy("3", environment=environment_tree("2"))
        hammer.await_version("3")
    assert hammer.failures == []
    assert controller.is_sound() and controller.leftovers() == []


def test_no_request_fails_while_the_binding_changes(controllers):
    controller = controllers(binding="port")
    controller.deploy("1")
    with Hammer(controller.host.url, controller.server_name) as hammer:
        for version, binding in (("2", "socket"), ("3", "port"), ("4", "socket")):
            controller.binding = binding
            controller.deploy(version)
            hammer.await_version(version)
        assert controller.restore("a")["warm"] is True
        hammer.await_version("3")
    assert hammer.failures == []


def test_a_request_that_takes_long_is_answered_by_the_slot_it_came_to_before_that_is_replaced(controller):
    controller.deploy("1", variables={"SLOW_S": "2"})
    answers = []
    slow = threading.Thread(target=lambda: answers.append(controller.get("/slow")))
    slow.start()
    address = str(controller.base / "run" / "a.sock")
    while address not in Path("/proc/net/unix").read_text().replace(f" 01 {address}", ""):
        pass  # Until the request has been connected to slot a; its listening socket alone is one line.
    controller.deploy("2")
    controller.deploy("3")  # This one needs the slot in which the request is still being answered.
    slow.join()
    assert answers == [(200, "1")]
    assert controller.get() == (200, "3")


def test_the_same_again_changes_nothing(controller):
    first = controller.deploy("1")
    pids = first["application"]["slots"]["a"]["processes"]["web"]["pid"]
    controller.events.clear()
    again = controller.deploy("1")
    assert (again["switched"], again["warm"], again["active"]) == (False, True, "a")
    assert again["application"]["slots"]["a"]["processes"]["web"]["pid"] == pids
    steps = dict(controller.steps())
    assert [steps[name] for name in ("environment", "configure", "start", "switch", "drain")] == ["skipped"] * 5


def test_a_worker_runs_in_one_slot_only(controller):
    processes = with_worker(controller)
    controller.deploy("1", processes=processes)
    controller.deploy("2", processes=processes)
    assert controller.states() == {"a-web": "RUNNING", "a-worker": "STOPPED", "b-web": "RUNNING", "b-worker": "RUNNING"}
    assert "sleep" not in (controller.base / "run" / "a-worker").read_text()  # Should the machine start anew.
    assert controller.restore("a")["warm"] is True
    states = controller.states()
    assert (states["a-worker"], states["b-worker"], states["b-web"]) == ("RUNNING", "STOPPED", "RUNNING")


def test_without_keeping_warm_the_old_slot_is_stopped(controller):
    controller.deploy("1", keep_warm=False)
    with Hammer(controller.host.url, controller.server_name) as hammer:
        controller.deploy("2", keep_warm=False)
        hammer.await_version("2")
    assert hammer.failures == []
    assert controller.states()["a-web"] == "STOPPED"


def test_an_application_without_a_web_process(controller):
    first = controller.deploy("1", processes={"worker": WORKER}, web=None)
    assert (first["active"], first["application"]["slots"]["a"]["serving"]) == ("a", True)
    second = controller.deploy("2", processes={"worker": WORKER}, web=None)
    assert second["active"] == "b"
    assert controller.states() == {"a-worker": "STOPPED", "b-worker": "RUNNING"}


def test_what_the_variables_hold_reaches_the_processes_unchanged(controller):
    value = 'it\'s "$HOME" `id` \\ \n with a second line and ünïcode'
    controller.deploy("1", variables={"VERSION": value})
    assert controller.get() == (200, value)


@pytest.mark.parametrize("name", ["A B", "1A", "", "A;id", "Ä"])
def test_a_variable_that_no_shell_can_hold_is_refused(controller, name):
    controller.deploy("1")
    with pytest.raises(AgentError) as caught:
        controller.deploy("2", variables={name: "x"})
    assert caught.value.code == "bad-request" and caught.value.restored
    assert controller.get() == (200, "1")


def test_the_processes_environment(controller):
    names = ("PYTHONPATH", "VIRTUAL_ENV", "PATH", "PORT", "SOCKET", "WINDLASS_RELEASE", "WINDLASS_SLOT")
    show = "|".join(f"${name}" for name in names)
    processes = {"web": {"command": f'echo "{show}" && exec python web.py socket', "exec": False}}
    tree = release_tree("1", src__module="VALUE = 1\n")
    answer = controller.deploy("1", tree=tree, processes=processes)
    release, env = f"{controller.base}/releases/{tree.digest}", f"{controller.base}/envs/{environment_tree().digest}"
    line = (controller.base / "shared" / "logs" / "web.log").read_text().splitlines()[0]
    ports = answer["application"]["ports"]
    assert line.split("|") == [
        f"{release}:{release}/src",
        env,
        f"{env}/bin:/usr/local/bin:/usr/bin:/bin",
        str(ports["a"]),
        f"{controller.base}/run/a.sock",
        tree.digest,
        "a",
    ]


def assert_restored(controller, caught, code, step):
    """The old release serves, the error says so, and nothing of the new one is left."""
    assert (caught.value.code, caught.value.step, caught.value.restored) == (code, step, True)
    assert caught.value.remedy
    assert controller.get() == (200, "1")
    application = controller.observe()["application"]
    assert (application["active"], application["slots"]["b"], application["files"]["supervisor-b"]) == ("a", None, None)
    assert controller.leftovers() == [] and controller.is_sound()
    assert set(controller.states()) == {"a-web"}


@pytest.mark.parametrize("binding", ["socket", "port"])
def test_a_release_that_answers_with_an_error_does_not_take_over(controllers, binding):
    controller = controllers(binding=binding)
    controller.deploy("1")
    health = {"path": "/", "timeout_s": 1, "expect_status": 200, "host": controller.server_name}
    with Hammer(controller.host.url, controller.server_name) as hammer, pytest.raises(AgentError) as caught:
        controller.deploy("2", variables={"STATUS": "500"}, health=health)
    assert hammer.failures == [] and set(hammer.versions) == {"1"}
    assert_restored(controller, caught, "unhealthy", "check")
    assert "status 500" in caught.value.message and "web starts with version 2" in caught.value.message
    assert controller.deploy("3")["active"] == "b"


def test_a_release_that_binds_nothing_does_not_take_over(controller):
    controller.deploy("1")
    health = {"path": "/", "timeout_s": 1, "expect_status": None, "host": None}
    with pytest.raises(AgentError) as caught:
        processes = {"web": {"command": "echo I forgot to listen; exec sleep 60", "exec": False}}
        controller.deploy("2", processes=processes, health=health)
    assert_restored(controller, caught, "unhealthy", "check")
    assert "nothing listens on" in caught.value.message and "I forgot to listen" in caught.value.message


def test_a_process_that_crashes_is_told_of_at_once_with_the_end_of_its_log(controller):
    controller.deploy("1")
    with pytest.raises(AgentError) as caught:
        controller.deploy("2", variables={"CRASH": "no such database: shop"})
    assert_restored(controller, caught, "process-failed", "check")
    assert "no such database: shop" in caught.value.message
    assert "version 1" not in caught.value.message  # The log is shared by both slots; only the new part is shown.


def test_a_worker_that_crashes_keeps_the_release_from_taking_over(controller):
    controller.deploy("1")
    processes = {**with_worker(controller), "worker": {"command": "echo broken queue; exit 1", "exec": False}}
    with pytest.raises(AgentError) as caught:
        controller.deploy("2", processes=processes)
    assert_restored(controller, caught, "process-failed", "check")
    assert "'worker'" in caught.value.message and "broken queue" in caught.value.message


def test_a_failing_first_deploy_leaves_nothing_behind(controller):
    with pytest.raises(AgentError) as caught:
        controller.deploy("1", variables={"CRASH": "x"})
    assert caught.value.restored
    application = controller.observe()["application"]
    assert (application["active"], application["current"], application["slots"]) == (None, None, {"a": None, "b": None})
    assert not (Path(controller.settings["nginx"]["sites"]) / f"windlass-{controller.app}.conf").exists()
    assert controller.deploy("2")["active"] == "a"


def test_a_site_that_nginx_refuses_changes_nothing(controller):
    controller.deploy("1")
    controller.open(2)
    spec = controller.prepare("2", deploy=2)
    site = Path(controller.settings["nginx"]["sites"]) / spec["nginx"]["path"]
    before = site.read_text()
    spec["nginx"]["text"] = {slot: text + "\nno_such_directive on;\n" for slot, text in spec["nginx"]["text"].items()}
    with pytest.raises(AgentError) as caught:
        controller.activate(spec)
    controller.close()
    assert_restored(controller, caught, "nginx-refused", "configure")
    assert "no_such_directive" in caught.value.message
    assert site.read_text() == before


@pytest.mark.parametrize("binding", ["socket", "port"])
def test_a_changed_site_is_served_without_a_failed_request(controllers, binding):
    controller = controllers(binding=binding)
    controller.deploy("1")
    with Hammer(controller.host.url, controller.server_name) as hammer:
        controller.open(2)
        spec = controller.prepare("1", deploy=2)
        spec["nginx"]["text"] = {slot: controller.site_text(slot, "  location = /page { return 418; }") for slot in "ab"}
        assert controller.activate(spec)["switched"] is False
        controller.close()
        assert controller.get("/page")[0] == 418
        hammer.await_requests(10)
    assert hammer.failures == []


def test_a_release_that_nginx_cannot_reach_is_taken_back(controller):
    controller.deploy("1")
    controller.open(2)
    spec = controller.prepare("2", deploy=2)
    text = spec["nginx"]["text"]["b"].replace("/current.sock", "/elsewhere.sock").replace(" return 200 ", " return 200 new")
    spec["nginx"]["text"] = dict.fromkeys("ab", re.sub(r"^(# windlass-proof \S+) ", r"\1 new", text))
    with pytest.raises(AgentError) as caught:
        controller.activate(spec)
    controller.close()
    assert_restored(controller, caught, "not-served", "switch")


def test_restoring_an_empty_slot_is_refused(controller):
    controller.deploy("1")
    with pytest.raises(AgentError) as caught:
        controller.restore("b")
    assert caught.value.code == "nothing-to-restore"
    assert controller.get() == (200, "1")


def test_a_failed_cold_restore_can_be_tried_again(controller):
    controller.deploy("1")
    controller.deploy("2")
    controller.control("stop", "a-web")
    broken = controller.base / "envs" / environment_tree().digest / "bin" / "python"
    with hidden(broken), pytest.raises(AgentError) as caught:
        controller.restore("a")
    assert caught.value.code == "environment-broken" and caught.value.restored
    assert controller.get() == (200, "2")
    assert controller.restore("a")["active"] == "a"
    assert controller.get() == (200, "1")


@contextlib.contextmanager
def hidden(path):
    """Rename a file away for the time of the block."""
    path.parent.chmod(0o755)
    path.rename(path.with_name("hidden"))
    try:
        yield
    finally:
        path.with_name("hidden").rename(path)


def test_withdrawing_takes_everything_away_but_what_can_be_used_again(controller):
    controller.deploy("1")
    (controller.base / "shared" / "upload").write_text("precious")
    controller.deploy("2")
    answer = controller.restore(None)
    assert (answer["active"], answer["current"]) == (None, None)
    assert controller.states() == {}
    assert list(Path(controller.settings["supervisor"]["programs"]).glob(f"*{controller.app}-*")) == []
    assert not (Path(controller.settings["nginx"]["sites"]) / f"windlass-{controller.app}.conf").exists()
    assert (controller.base / "shared" / "upload").read_text() == "precious"
    assert len(answer["application"]["releases"]) == 2
    assert controller.deploy("1")["active"] == "a"


def test_cleaning_keeps_what_is_named_and_what_is_in_use(controller):
    trees = [release_tree(str(number)) for number in range(1, 5)]
    for number, tree in enumerate(trees, 1):
        keep = {"releases": [trees[0].digest], "environments": []} if number == 4 else None
        answer = controller.deploy(str(number), tree=tree, environment=environment_tree(str(number)), keep=keep)
    application = answer["application"]
    assert set(application["releases"]) == {trees[0].digest, trees[2].digest, trees[3].digest}
    assert set(application["environments"]) == {environment_tree("3").digest, environment_tree("4").digest}
    assert controller.restore("a")["warm"] is True


def test_an_edited_program_file_is_put_right_by_the_next_deploy_of_the_same(controller):
    controller.deploy("1")
    path = Path(controller.settings["supervisor"]["programs"]) / f"windlass-{controller.app}-a.conf"
    before = path.read_text()
    path.write_text(before.replace("stopwaitsecs=5", "stopwaitsecs=6"))
    with Hammer(controller.host.url, controller.server_name) as hammer:
        answer = controller.deploy("1")
        hammer.await_requests(5)
    assert hammer.failures == []
    assert answer["active"] == "b" and path.read_text() == before
