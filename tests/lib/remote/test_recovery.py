"""Killed, cut off, overtaken: what is half-done is finished or taken back, and the old release serves all the while."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from remote.local import open_local
from remote.session import AgentError, ConnectionLost
from tests.fleet.hammer import Hammer
from tests.lib.remote.driver import Controller, deadly_opener, environment_tree, in_background, release_tree

NEVER_HEALTHY = {"path": "/", "timeout_s": 60, "expect_status": 200, "host": "x"}
KEEP_NOTHING = {"releases": [], "environments": []}


def deploy_again_and_again(controller, first, stride):
    """Deploy version after version, each time with an agent that is killed a little later, and go on until one gets through.

    After each kill the same deploy must go through without any cleaning up. Returns how many were killed.
    """
    kills, version = 0, 1
    for count in range(first, 500, stride):
        version += 1
        wanted = {
            "deploy": version,
            "keep": KEEP_NOTHING,
            "tree": release_tree(str(version)),
            "environment": environment_tree(str(version % 3)),
        }
        try:
            controller.deploy(str(version), opener=deadly_opener(count), **wanted)
            return kills
        except ConnectionLost:
            kills += 1
        assert controller.is_whole(), count
        controller.deploy(str(version), **wanted)
        assert controller.get() == (200, str(version))
        assert controller.leftovers() == [], count
    raise AssertionError("no deploy got through")


IS_THOROUGH = "WINDLASS_TESTS_THOROUGH" in os.environ  # Then agents are killed at every single point; it takes minutes.


@pytest.mark.parametrize(
    "binding, first, stride",
    [("socket", 1, 1) if IS_THOROUGH else ("socket", 3, 17), ("port", 1, 1) if IS_THOROUGH else ("port", 5, 23)],
)
def test_an_agent_killed_at_any_point_harms_nobody(controllers, binding, first, stride):
    controller = controllers(binding=binding)
    controller.deploy("1")
    with Hammer(controller.host.url, controller.server_name) as hammer:
        hammer.await_version("1")
        assert deploy_again_and_again(controller, first, stride) >= 4
    assert hammer.failures == []
    application = controller.observe()["application"]
    assert len(application["releases"]) == 2  # The one that runs and the one to go back to.


@pytest.mark.parametrize("counts", [range(1, 60) if IS_THOROUGH else range(2, 60, 18)])
def test_an_agent_killed_while_it_goes_back_harms_nobody(controller, counts):
    """The slot to go back to was stopped, so that it has to be started again; it must not be forgotten by any kill."""
    controller.deploy("1")
    controller.deploy("2")
    with Hammer(controller.host.url, controller.server_name) as hammer:
        for count in counts:
            wanted = "a" if controller.observe()["application"]["active"] == "b" else "b"
            controller.control("stop", wanted + "-web")
            try:
                controller.restore(wanted, opener=deadly_opener(count))
            except ConnectionLost:
                assert controller.is_whole(), count
                controller.restore(wanted)
            assert controller.is_sound() and controller.leftovers() == [], count
            assert set(controller.states()) == {"a-web", "b-web"}, count
    assert hammer.failures == []


def begin(controller, epoch, deploy=1, lock_wait_s=0.2):
    """Open a session with an epoch of our choice."""
    return controller.open(deploy, epoch=epoch, lock_wait_s=lock_wait_s)


def twin(controller):
    """Return a second controller of the same application."""
    return Controller(controller.host, app=controller.app)


def test_a_lower_epoch_is_refused(controller):
    begin(controller, 7)
    controller.close()
    for epoch, deploy in ((6, 1), (7, 2)):
        with pytest.raises(AgentError) as caught:
            begin(controller, epoch, deploy)
        assert (caught.value.code, caught.value.step) == ("fenced", "preflight")
        controller.close()
    begin(controller, 7, 1)  # The same run may connect again.
    assert controller.seen["application"]["epoch"] == 7


def test_nothing_changes_before_begin(controller):
    with open_local(controller.python) as session:
        for verb in ("ship", "files", "activate", "restore", "withdraw"):
            with pytest.raises(AgentError) as caught:
                session.request(verb, kind="release", name="0" * 64, digest="0" * 64, spec={}, slot=None, **controller.about())
            assert caught.value.code == "not-begun"
    assert not controller.base.exists()


def hanging(controller, deploy=2):
    """Begin a deploy that stays in its check, in a thread; return (thread, results) once the new slot runs."""
    controller.open(deploy)
    spec = controller.prepare("2", deploy=deploy, variables={"STATUS": "500"}, health=NEVER_HEALTHY)
    checking = threading.Event()

    def heard(event):
        if event.get("step") == "check":
            checking.set()

    thread, results = in_background(lambda: controller.session.request("activate", spec=spec, on_event=heard, timeout_s=60))
    assert checking.wait(30)
    return thread, results


def test_a_newer_run_takes_over_and_the_older_stops(controller):
    controller.deploy("1")
    thread, results = hanging(controller)
    newer = twin(controller)
    newer.open(3, epoch=controller.epoch + 1, lock_wait_s=20)
    thread.join()
    assert results[0].code == "fenced" and results[0].restored is False
    assert newer.activate(newer.prepare("3", deploy=3))["active"] == "b"
    newer.close()
    controller.close()
    assert controller.get() == (200, "3")


def test_a_frozen_holder_is_removed(controller):
    controller.deploy("1")
    thread, results = hanging(controller)
    frozen = controller.session.process
    os.kill(frozen.pid, signal.SIGSTOP)
    newer = twin(controller)
    newer.open(3, epoch=controller.epoch + 1, lock_wait_s=0.3)
    thread.join()
    assert isinstance(results[0], ConnectionLost)
    assert frozen.wait(60) == -signal.SIGKILL
    newer.activate(newer.prepare("3", deploy=3))
    newer.close()
    assert controller.get() == (200, "3")


def test_a_holder_of_the_same_epoch_is_named_and_left_alone(controller):
    begin(controller, 4)
    other = twin(controller)
    with pytest.raises(AgentError) as caught:
        begin(other, 4)
    other.close()
    assert caught.value.code == "locked" and str(controller.session.process.pid) in caught.value.message
    assert controller.ask("observe", **controller.about())["application"]["epoch"] == 4


def test_a_lost_controller_has_its_unfinished_work_put_back(controller):
    controller.deploy("1")
    thread, results = hanging(controller)
    controller.close()
    thread.join()
    assert isinstance(results[0], ConnectionLost)
    application = controller.observe()["application"]
    assert (application["active"], application["slots"]["b"]) == ("a", None)
    assert set(controller.states()) == {"a-web"} and controller.get() == (200, "1")


def test_a_cancelled_activation_is_put_back_and_said_so(controller):
    controller.deploy("1")
    thread, results = hanging(controller)
    controller.session.abort()
    thread.join()
    assert (results[0].code, results[0].restored) == ("aborted", True)
    controller.close()
    assert set(controller.states()) == {"a-web"}


def test_what_is_handed_over_is_found_as_it_was(controller):
    controller.deploy("1")
    thread, results = hanging(controller)
    controller.session.abort("handed-over")
    thread.join()
    assert results[0].code == "handed-over"
    pid = controller.session.process
    pid.wait(30)
    controller.session.close()
    slot = controller.observe()["application"]["slots"]["b"]
    assert slot["phase"] == "starting" and slot["processes"]["web"]["state"] in ("STARTING", "RUNNING")
    assert controller.deploy("3", deploy=3)["active"] == "b"


def test_a_killed_agents_unfinished_slot_is_cleared_by_the_next_session(controller):
    controller.deploy("1")
    thread, _ = hanging(controller)
    controller.session.process.kill()
    thread.join()
    assert "b-web" in controller.states()
    controller.open(3)
    controller.close()
    assert set(controller.states()) == {"a-web"}


def test_leftovers_of_a_killed_agent_are_swept(controller):
    controller.deploy("1")
    half = controller.base / "releases" / ("0" * 64 + ".partial-1")
    (half / "deep" / "er").mkdir(parents=True)
    (half / "deep").chmod(0o555)
    (controller.base / "run" / ".windlass-new-current.sock").symlink_to("nowhere")
    (controller.base / ".windlass-new-current").symlink_to("nowhere")
    os.unlink(controller.base / "current")
    os.symlink("releases/of-old", controller.base / "current")  # As when killed between the two renames of a switch.
    controller.open(2)
    assert controller.leftovers() == []
    assert controller.is_sound()


def test_a_switch_that_was_cut_in_two_is_finished(controllers):
    controller = controllers(binding="port")
    controller.deploy("1")
    controller.deploy("2")
    site = Path(controller.settings["nginx"]["sites"]) / f"windlass-{controller.app}.conf"
    undo = site.with_name(f".windlass-undo-{site.name}")
    old, new = controller.site_text("a"), controller.site_text("b")
    trial = {"switch": f"{controller.base}/run/current.sock", "reload": True}
    # On trial for the slot that answers: it stays.
    undo.write_text(json.dumps({**trial, "text": old, "wanted": "b.sock"}))
    controller.open(3)
    assert site.read_text() == new and not undo.exists()
    controller.close()
    site.write_text(old)
    # On trial for a slot that does not: it goes.
    undo.write_text(json.dumps({**trial, "text": new, "wanted": "a.sock"}))
    controller.open(4)
    assert site.read_text() == new and not undo.exists()
