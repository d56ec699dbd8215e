"""How the reconciler paces a rollout: canaries, the first host, pauses that people end, hosts under watch."""

import threading

import pytest

from controllers import events
from controllers.actor import Actor
from controllers.errors import Conflict, NotFound
from controllers.jobs import transitions
from controllers.rollout import bake, deploy_views, deploys, host_run, reconcile
from controllers.rollout.deploys import DeployController
from controllers.rollout.pauses import PauseController
from models import Deploy, HostRun, HostWatch, Target
from models.db import clock, connection, now
from tests import factories
from tests.controllers.rollout.test_reconcile import end, enqueued_hosts, hosts, reconcile_once, runs_of, sent_tasks

__all__ = ["hosts", "sent_tasks"]
pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.both_databases]
ANN = Actor("ann")


def enqueued_looks(sent_tasks):
    return [ids[0] for task, ids, _ in sent_tasks if task == "windlass.bake_host"]


def states_of(deploy):
    return [run.state for run in runs_of(deploy)]


def age(deploy, milliseconds):
    """Let time pass for everything that has happened to the hosts."""
    for run in runs_of(deploy):
        for model, is_its, times in (
            (HostRun, HostRun.id == run.id, (HostRun.ended_at, HostRun.enqueued_at)),
            (HostWatch, HostWatch.host_run == run.id, (HostWatch.looked_at, HostWatch.tried_at)),
        ):
            model.update({time: time - milliseconds for time in times}).where(is_its).execute()


def seen_well(run):
    """Let a look find that all is well."""
    HostRun.update(enqueued_at=None).where(HostRun.id == run.id).execute()
    HostWatch.insert(host_run=run, looked_at=now(), tried_at=now()).on_conflict(
        conflict_target=[HostWatch.host_run], preserve=[HostWatch.looked_at, HostWatch.tried_at]
    ).execute()


# Canaries and the first host.


def test_a_canary_goes_before_everybody_else_at_once(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"kind": "canary"})
    reconcile_once(deploy)
    canary, *others = runs_of(deploy)
    assert enqueued_hosts(sent_tasks) == [canary.id]
    end(canary, "succeeded")
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [canary.id, *(run.id for run in others)]


def test_a_failed_canary_is_all_that_was_touched(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"kind": "canary"})
    reconcile_once(deploy)
    end(
        runs_of(deploy)[0],
        "failed",
        message="app1: check: answered 500.",
        before={"active": "a", "current": "1" * 64, "restored": True},
    )
    assert reconcile_once(deploy).state == "rolled_back"
    assert states_of(deploy) == ["failed", "skipped", "skipped", "skipped"]


def test_no_other_host_starts_before_the_first_has_succeeded(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"kind": "rolling", "batch": 3})
    reconcile_once(deploy)
    first, second, third, _ = runs_of(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id]
    transitions.move_host_run(first, "running")
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id]
    end(first, "succeeded")
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id, second.id, third.id]


def test_where_failures_are_tolerated_hosts_go_one_by_one_until_one_succeeds(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"max_failures": 2, "healthy_first": True})
    reconcile_once(deploy)
    first, second, *others = runs_of(deploy)
    end(first, "unreachable", message="gone")
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id, second.id]
    end(second, "succeeded")
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id, second.id, *(run.id for run in others)]


def test_a_failed_release_process_stops_the_rollout_whatever_is_tolerated(sent_tasks, hosts):
    release = factories.release(processes={"web": "serve $SOCKET", "release": "migrate"})
    deploy = factories.deploy(hosts, {"max_failures": 3, "on_failure": "continue"}, lead_host=True, release=release)
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "failed", message="no")
    assert reconcile_once(deploy).state == "failed"
    assert states_of(deploy) == ["failed", "skipped", "skipped", "skipped"]


# Pauses.


@pytest.fixture
def paused(sent_tasks, hosts):
    """A canary that has succeeded, and the rollout waiting to be resumed."""
    deploy = factories.deploy(hosts, {"kind": "canary", "pause_s": "resume"})
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "succeeded")
    return reconcile_once(deploy)


def test_a_pause_until_resumed_lasts_until_somebody_resumes(sent_tasks, paused):
    assert (paused.state, paused.reason) == ("paused", "waits to be resumed before wave 2 of 2")
    age(paused, 10**9)
    assert reconcile_once(paused).state == "paused"
    assert len(enqueued_hosts(sent_tasks)) == 1
    PauseController(ANN).resume(paused.id)
    resumed = reconcile_once(paused)
    assert (resumed.state, resumed.reason) == ("running", None)
    assert len(enqueued_hosts(sent_tasks)) == 4


def test_resuming_lets_one_wave_through_not_all(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"kind": "rolling", "batch": 1, "pause_s": "resume"})
    for position in range(3):
        reconcile_once(deploy)
        end(runs_of(deploy)[position], "succeeded")
        assert reconcile_once(deploy).state == "paused"
        PauseController(ANN).resume(deploy.id)
    reconcile_once(deploy)
    end(runs_of(deploy)[3], "succeeded")
    assert reconcile_once(deploy).state == "succeeded", "after the last wave there is nothing to wait for"


def test_while_paused_hosts_under_way_finish_and_no_other_begins(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2], {"healthy_first": False})
    reconcile_once(deploy)
    first, second = runs_of(deploy)
    transitions.move_host_run(first, "running")
    assert PauseController(ANN).pause(deploy.id)["reason"] == "paused by ann"
    assert host_run.HostRunAttempt.claim(second.id) is None, "its message had been enqueued already"
    HostRun.update(enqueued_at=None).where(HostRun.deploy == deploy).execute()
    sent_tasks.clear()
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id], "a host whose worker died must not stay half done"
    end(first, "succeeded")
    assert reconcile_once(deploy).state == "paused"
    PauseController(ANN).resume(deploy.id)
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks)[-1] == second.id


def test_a_failure_while_paused_is_judged_when_the_deploy_is_resumed(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2])
    reconcile_once(deploy)
    first, second = runs_of(deploy)
    transitions.move_host_run(second, "running")
    end(first, "succeeded")
    PauseController(ANN).pause(deploy.id)
    end(second, "failed", message="app2 broke.")
    assert reconcile_once(deploy).state == "paused"
    PauseController(ANN).resume(deploy.id)
    going_back = reconcile_once(deploy)
    assert (going_back.state, going_back.reason) == ("rolling_back", "app2 broke.")


def test_a_paused_deploy_is_cancelled_where_it_stands(sent_tasks, paused):
    Deploy.update(cancel_requested_by="ann").where(Deploy.id == paused.id).execute()
    ended = reconcile_once(paused)
    assert (ended.state, ended.reason) == ("cancelled", "cancelled by ann; the new release stays on app1")
    assert states_of(paused) == ["succeeded", "skipped", "skipped", "skipped"]


@pytest.mark.parametrize("state", ["queued", "paused", "rolling_back", "succeeded", "cancelled"])
def test_only_a_running_deploy_is_paused(sent_tasks, hosts, state):
    deploy = factories.deploy(hosts, state=state)
    with pytest.raises(Conflict) as refused:
        PauseController(ANN).pause(deploy.id)
    assert (refused.value.code, Deploy.get_by_id(deploy.id).state) == ("not-pausable", state)


@pytest.mark.parametrize("state", ["queued", "running", "failed"])
def test_only_a_paused_deploy_is_resumed(sent_tasks, hosts, state):
    deploy = factories.deploy(hosts, state=state)
    with pytest.raises(Conflict) as refused:
        PauseController(ANN).resume(deploy.id)
    assert (refused.value.code, Deploy.get_by_id(deploy.id).state) == ("not-resumable", state)


# One host of a paused deploy.


@pytest.fixture
def one_failed(sent_tasks, hosts):
    """A paused deploy of which one host has succeeded, one failed, and two have not begun."""
    deploy = factories.deploy(hosts, {"kind": "rolling", "batch": 2})
    reconcile_once(deploy)
    first, second, *_ = runs_of(deploy)
    end(first, "succeeded")
    reconcile_once(deploy)
    PauseController(ANN).pause(deploy.id)
    end(second, "failed", message="app2 broke.", code="check-failed")
    return deploy


def test_a_failed_host_is_tried_again_once_resumed(sent_tasks, one_failed):
    failed = runs_of(one_failed)[1]
    assert deploy_views.describe_run(failed, [])["code"] == "check-failed"
    data = [event["data"] for event in events.read(f"deploy-{one_failed.id}") if event.get("host") == "app2"]
    assert data[-1]["code"] == "check-failed" and "code" not in data[0]
    retried = PauseController(ANN).retry_host(one_failed.id, "app2")
    assert (retried["state"], retried["code"]) == ("pending", None)
    assert reconcile_once(one_failed).state == "paused"
    PauseController(ANN).resume(one_failed.id)
    assert reconcile_once(one_failed).state == "running"
    assert enqueued_hosts(sent_tasks)[-1] == runs_of(one_failed)[1].id
    for position in (1, 2, 3):
        end(runs_of(one_failed)[position], "succeeded")
    assert reconcile_once(one_failed).state == "succeeded"


def test_a_failed_host_that_is_left_out_no_longer_counts(sent_tasks, one_failed):
    assert PauseController(ANN).skip_host(one_failed.id, "app2")["message"] == "left out by ann"
    assert PauseController(ANN).skip_host(one_failed.id, "app4")["state"] == "skipped"
    PauseController(ANN).resume(one_failed.id)
    reconcile_once(one_failed)
    end(runs_of(one_failed)[2], "succeeded")
    ended = reconcile_once(one_failed)
    assert (ended.state, ended.reason) == ("succeeded", "left out: app2, app4")


def test_a_deploy_whose_only_host_was_left_out_is_no_success_and_can_be_tried_again(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1])
    reconcile_once(deploy)
    PauseController(ANN).pause(deploy.id)
    PauseController(ANN).skip_host(deploy.id, "app1")
    PauseController(ANN).resume(deploy.id)
    ended = reconcile_once(deploy)
    assert (ended.state, ended.reason) == ("failed", "no host runs the release: left out: app1")
    assert deploys.previous_release(deploy, deploy.release) is None
    assert DeployController(ANN).retry(deploy.id)["state"] == "running"
    assert states_of(deploy) == ["pending"]


@pytest.mark.parametrize(
    "change, host, code",
    [
        (PauseController.retry_host, "app1", "not-retryable"),
        (PauseController.retry_host, "app3", "not-retryable"),
        (PauseController.skip_host, "app1", "not-skippable"),
    ],
)
def test_what_cannot_be_changed_of_a_host_is_refused(one_failed, change, host, code):
    before = states_of(one_failed)
    with pytest.raises(Conflict) as refused:
        change(PauseController(ANN), one_failed.id, host)
    assert (refused.value.code, states_of(one_failed)) == (code, before)


def test_hosts_of_a_deploy_that_is_not_paused_are_left_alone(sent_tasks, hosts, one_failed):
    PauseController(ANN).resume(one_failed.id)
    with pytest.raises(Conflict, match="pause it first"):
        PauseController(ANN).skip_host(one_failed.id, "app3")
    with pytest.raises(NotFound):
        PauseController(ANN).skip_host(one_failed.id, "nowhere")


def test_the_host_with_the_release_process_is_not_left_out(sent_tasks, hosts):
    release = factories.release(processes={"release": "migrate"})
    deploy = factories.deploy(hosts, lead_host=True, release=release, state="paused")
    with pytest.raises(Conflict) as refused:
        PauseController(ANN).skip_host(deploy.id, "app1")
    assert refused.value.code == "runs-release-process"


# Under watch.


@pytest.fixture
def baking(sent_tasks, hosts):
    """A rollout whose first wave has just switched and is watched for a minute."""
    deploy = factories.deploy(hosts, {"kind": "rolling", "batch": 2, "bake_s": 60})
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "succeeded", before={"active": "a", "current": "1" * 64})
    reconcile_once(deploy)
    end(runs_of(deploy)[1], "succeeded", before={"active": "a", "current": "1" * 64})
    sent_tasks.clear()
    return deploy


def test_hosts_are_looked_at_again_and_again_and_the_next_wave_waits(sent_tasks, baking):
    first, second, *_ = runs_of(baking)
    age(baking, 5_001)
    for _ in range(3):
        reconcile_once(baking)
    assert enqueued_looks(sent_tasks) == [first.id, second.id]
    for run in (first, second):
        seen_well(run)
    age(baking, 5_001)
    reconcile_once(baking)
    assert enqueued_looks(sent_tasks) == [first.id, second.id] * 2
    assert enqueued_hosts(sent_tasks) == []


def test_the_next_wave_needs_a_good_look_after_the_end_of_the_watch(sent_tasks, baking):
    age(baking, 60_001)
    reconcile_once(baking)
    assert enqueued_hosts(sent_tasks) == [] and len(enqueued_looks(sent_tasks)) == 2
    for run in runs_of(baking)[:2]:
        seen_well(run)
    reconcile_once(baking)
    assert enqueued_hosts(sent_tasks) == [run.id for run in runs_of(baking)[2:]]


def test_the_last_wave_is_watched_before_the_deploy_has_succeeded(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1], {"bake_s": 60})
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "succeeded")
    age(deploy, 60_001)
    assert reconcile_once(deploy).state == "running"
    seen_well(runs_of(deploy)[0])
    assert reconcile_once(deploy).state == "succeeded"


def test_hosts_that_were_unchanged_are_not_watched(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1], {"bake_s": 60})
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "unchanged")
    assert reconcile_once(deploy).state == "succeeded"


def test_a_host_that_turns_unhealthy_goes_back_with_the_others_that_switched(sent_tasks, baking):
    first, second, *_ = runs_of(baking)
    transitions.move_host_run(first, "failed", message="app1: bake: the health check fails.", was_switched=True)
    going_back = reconcile_once(baking)
    assert (going_back.state, going_back.reason) == ("rolling_back", "app1: bake: the health check fails.")
    assert [(run.state, run.goal) for run in runs_of(baking)] == [("pending", "restore")] * 2 + [("skipped", "deploy")] * 2
    reconcile_once(baking)
    assert enqueued_hosts(sent_tasks) == [first.id, second.id]
    for run in (first, second):
        end(run, "rolled_back")
    assert reconcile_once(baking).state == "rolled_back"


def test_on_failure_stop_leaves_an_unhealthy_host_as_it_is(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2], {"bake_s": 60, "on_failure": "stop"})
    reconcile_once(deploy)
    for run in runs_of(deploy):
        end(run, "succeeded")
    transitions.move_host_run(runs_of(deploy)[0], "failed", message="no", was_switched=True)
    assert reconcile_once(deploy).state == "failed"
    assert states_of(deploy) == ["failed", "succeeded"]


def test_a_look_under_way_is_not_enqueued_again(sent_tasks, baking):
    HostRun.update(lease_owner="elsewhere", lease_expires_at=now() + 60_000).where(HostRun.deploy == baking).execute()
    age(baking, 10_000)
    reconcile_once(baking)
    assert enqueued_looks(sent_tasks) == []


# Deploys that begin at the same time.


def test_a_scheduled_and_a_queued_deploy_that_begin_at_once_never_run_side_by_side(sent_tasks, hosts):
    Target.create(
        application=factories.application(),
        environment=factories.environment(),
        hosts=["app1"],
        strategy={},
        health={},
        created_at=now(),
        updated_at=now(),
    )
    for _ in range(5):
        scheduled = factories.deploy(hosts[:1], state="scheduled", start_at=clock() - 1)
        queued = factories.deploy(hosts[:1])
        together = threading.Barrier(2)

        failures = []

        def begin(deploy, together=together, failures=failures):
            try:
                with connection():
                    together.wait()
                    reconcile.reconcile(deploy.id)
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=begin, args=(deploy,)) for deploy in (scheduled, queued)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        begun = [deploy for deploy in (scheduled, queued) if Deploy.get_by_id(deploy.id).state == "running"]
        assert len(begun) == 1
        Deploy.update(state="succeeded").execute()


# What a look finds.

PIDS = {"web": 11, "worker": 12}


def answer(release, pids=None, current=None, state="RUNNING", healthy=True):
    processes = {name: {"state": state, "pid": pid} for name, pid in (pids or PIDS).items()}
    return {
        "application": {"current": current or release.digest, "active": "a", "slots": {"a": {"processes": processes}}},
        "probe": {"healthy": healthy, "said": "GET / answered with status 500"},
    }


class Host:
    """A session that answers as told, one answer a request; the last one again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def request(self, verb, **fields):
        assert verb == "observe"
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    def close(self):
        pass


@pytest.fixture
def look(monkeypatch, baking):
    """Look at the first host, which answers as given; returns its run afterwards. `reconciled` are deploys reconciled then."""
    monkeypatch.setattr(bake, "CONFIRM_AFTER_S", 0)

    def at(*answers):
        at.reconciled = []
        monkeypatch.setattr(reconcile, "reconcile", at.reconciled.append)
        run = runs_of(baking)[0]
        session = Host(*answers)
        monkeypatch.setattr(bake.transports, "open_host", lambda host: session)
        bake.look(run.id)
        return HostRun.get_by_id(run.id)

    return at


def test_a_good_look_is_written_down_and_the_deploy_reconciled(baking, look):
    before = clock()
    run = look(answer(baking.release))
    assert (run.state, run.lease_owner) == ("succeeded", None)
    watch = HostWatch.get(HostWatch.host_run == run)
    assert watch.looked_at >= before and watch.pids == PIDS
    assert look.reconciled == [baking.id]


def test_two_bad_answers_in_a_row_are_a_failure_one_is_not(baking, look):
    assert look(answer(baking.release, healthy=False), answer(baking.release)).state == "succeeded"
    failed = look(answer(baking.release, healthy=False))
    assert (failed.state, failed.was_switched) == ("failed", True)
    assert "app1: bake: the health check fails: GET / answered with status 500." in failed.message


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"state": "FATAL"}, "web is FATAL"),
        ({"current": "0" * 64}, "no longer runs the release"),
        ({"pids": {"web": 11, "worker": 99}}, "restarted by itself: worker"),
    ],
)
def test_everything_that_is_wrong_is_seen(baking, look, wrong, expected):
    look(answer(baking.release))
    failed = look(answer(baking.release, **wrong))
    assert failed.state == "failed" and expected in failed.message


def test_a_host_that_is_not_reached_once_or_twice_is_looked_at_again(baking, look):
    gone = bake.ConnectionLost("the connection broke")
    assert [look(gone).state, look(gone).state, look(answer(baking.release)).state] == ["succeeded"] * 3
    assert [look(gone).state, look(gone).state, look(gone).state] == ["succeeded", "succeeded", "failed"]


def test_a_host_that_was_not_reached_is_tried_again_some_time_later(sent_tasks, baking, look):
    age(baking, 5_001)
    original = reconcile.reconcile
    look(bake.ConnectionLost("the connection broke"))
    sent_tasks.clear()
    original(baking.id)
    first, second, *_ = runs_of(baking)
    assert enqueued_looks(sent_tasks) == [second.id]
    age(baking, 5_001)
    original(baking.id)
    assert enqueued_looks(sent_tasks)[1:] == [first.id]


def test_looks_that_come_late_or_at_once_change_nothing(sent_tasks, baking, look):
    HostRun.update(lease_owner="elsewhere", lease_expires_at=now() + 60_000).where(HostRun.deploy == baking).execute()
    look(answer(baking.release, healthy=False))
    assert not HostWatch.select().exists()
    HostRun.update(lease_owner=None, lease_expires_at=None).where(HostRun.deploy == baking).execute()
    Deploy.update(state="cancelled").where(Deploy.id == baking.id).execute()
    assert look(answer(baking.release, healthy=False)).state == "succeeded"


def test_a_look_that_breaks_inside_windlass_is_not_repeated_at_once(baking, monkeypatch):
    def break_down(host):
        raise KeyError("a mistake")

    reconciled = []
    monkeypatch.setattr(reconcile, "reconcile", reconciled.append)
    monkeypatch.setattr(bake.transports, "open_host", break_down)
    run = runs_of(baking)[0]
    bake.look(run.id)
    after = HostRun.get_by_id(run.id)
    assert (after.state, after.lease_owner) == ("succeeded", None) and reconciled == []
