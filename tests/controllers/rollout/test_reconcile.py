"""The reconciler decides from rows alone: these tests write the rows that hosts' runs would leave, and run a pass."""

import pytest

from controllers import events
from controllers.jobs import queue, states, transitions
from controllers.rollout import host_run, reconcile
from models import Deploy, HostRun
from models.db import now
from tests import factories

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.both_databases]


@pytest.fixture
def sent_tasks(monkeypatch):
    """What is enqueued: (task, ids, zone)."""
    enqueued = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: enqueued.append((task, ids, zone)) or True)
    return enqueued


@pytest.fixture
def hosts():
    return [factories.host(f"app{number}") for number in range(1, 5)]


def runs_of(deploy):
    return list(HostRun.select().where(HostRun.deploy == deploy).order_by(HostRun.id))


def end(run, state, **changes):
    """Let a host run be carried out with an outcome."""
    run = HostRun.get_by_id(run.id)
    if run.state == "pending":
        HostRun.update(enqueued_at=None).where(HostRun.id == run.id).execute()
        assert transitions.move_host_run(run, "running")
    assert transitions.move_host_run(run, state, **changes)


def reconcile_once(deploy):
    """One pass of the reconciler; returns the deploy as it is then."""
    reconcile.reconcile(deploy.id)
    return Deploy.get_by_id(deploy.id)


def enqueued_hosts(sent_tasks):
    return [ids[0] for task, ids, _ in sent_tasks if task == "windlass.host_run"]


def test_a_queued_deploy_starts_and_enqueues_every_host_in_its_zone(sent_tasks, hosts):
    deploy = factories.deploy(hosts)
    assert reconcile_once(deploy).state == "running"
    assert enqueued_hosts(sent_tasks) == [run.id for run in runs_of(deploy)]
    assert {zone for _, _, zone in sent_tasks} == {"default"}


def test_passes_at_once_enqueue_once(sent_tasks, hosts):
    deploy = factories.deploy(hosts)
    for _ in range(10):
        reconcile_once(deploy)
    assert len(enqueued_hosts(sent_tasks)) == len(hosts)


def test_a_message_that_the_broker_did_not_take_is_sent_by_the_next_pass(sent_tasks, hosts, monkeypatch):
    deploy = factories.deploy(hosts)
    with monkeypatch.context() as away:
        away.setattr(queue, "enqueue", lambda task, *ids, zone=None: False)
        reconcile_once(deploy)
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [run.id for run in runs_of(deploy)]


def test_only_so_many_messages_wait_in_a_zones_queue(sent_tasks, monkeypatch):
    monkeypatch.setattr(reconcile, "MOST_UNANSWERED", 3)
    deploy = factories.deploy([factories.host(f"app{number}") for number in range(1, 8)])
    for _ in range(3):
        reconcile_once(deploy)
    runs = runs_of(deploy)
    assert enqueued_hosts(sent_tasks) == [run.id for run in runs[:3]]
    end(runs[0], "succeeded")
    assert host_run.HostRunAttempt.claim(runs[1].id)
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [run.id for run in runs[:5]], "one has ended, one is being carried out"


def test_a_message_that_nobody_answers_is_sent_again_among_the_first(sent_tasks, monkeypatch):
    monkeypatch.setattr(reconcile, "MOST_UNANSWERED", 2)
    deploy = factories.deploy([factories.host(f"app{number}") for number in range(1, 5)])
    reconcile_once(deploy)
    HostRun.update(enqueued_at=HostRun.enqueued_at - queue.ENQUEUE_AGAIN_MS).where(
        HostRun.deploy == deploy, HostRun.enqueued_at.is_null(False)
    ).execute()
    reconcile_once(deploy)
    first, second, *_ = runs_of(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id, second.id] * 2


def test_a_rolling_deploy_waits_for_a_wave_before_the_next(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"kind": "rolling", "batch": 2, "healthy_first": False})
    reconcile_once(deploy)
    first, second, third, fourth = runs_of(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id, second.id]
    end(first, "succeeded")
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id, second.id], "the third host must wait for the second"
    end(second, "succeeded")
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [first.id, second.id, third.id, fourth.id]


def test_the_pause_between_waves_holds_the_next_one_back(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"kind": "rolling", "batch": 2, "pause_s": 3600, "healthy_first": False})
    reconcile_once(deploy)
    for run in runs_of(deploy)[:2]:
        end(run, "succeeded")
    reconcile_once(deploy)
    assert len(enqueued_hosts(sent_tasks)) == 2
    HostRun.update(ended_at=now() - 3_600_001).where(HostRun.deploy == deploy, HostRun.wave == 0).execute()
    reconcile_once(deploy)
    assert len(enqueued_hosts(sent_tasks)) == 4


@pytest.mark.parametrize("outcome", ["succeeded", "unchanged"])
def test_it_succeeds_when_every_host_did(sent_tasks, hosts, outcome):
    deploy = factories.deploy(hosts)
    reconcile_once(deploy)
    for run in runs_of(deploy):
        end(run, outcome)
    ended = reconcile_once(deploy)
    assert (ended.state, ended.reason) == ("succeeded", None)
    assert ended.ended_at


def test_a_failure_leaves_later_waves_out_and_takes_switched_hosts_back(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"kind": "rolling", "batch": 1})
    reconcile_once(deploy)
    first, second, _third, _fourth = runs_of(deploy)
    end(first, "succeeded", before={"active": "a", "current": "0" * 64})
    reconcile_once(deploy)
    end(second, "failed", message="app2: check: answered 500.")
    going_back = reconcile_once(deploy)
    assert going_back.state == "rolling_back"
    assert [run.state for run in runs_of(deploy)] == ["pending", "failed", "skipped", "skipped"]
    assert HostRun.get_by_id(first.id).goal == "restore"
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks)[-1] == first.id
    end(first, "rolled_back")
    ended = reconcile_once(deploy)
    assert ended.state == "rolled_back"
    assert "answered 500" in ended.reason


def test_hosts_under_way_are_waited_for_before_going_back(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2])
    reconcile_once(deploy)
    first, second = runs_of(deploy)
    transitions.move_host_run(first, "running")
    end(second, "failed", message="no")
    assert reconcile_once(deploy).state == "running"
    end(first, "succeeded")
    assert reconcile_once(deploy).state == "rolling_back"


def test_a_host_that_cannot_go_back_is_named_and_nothing_claims_success(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2])
    reconcile_once(deploy)
    first, second = runs_of(deploy)
    end(first, "succeeded")
    end(second, "failed", message="app2 broke.")
    reconcile_once(deploy)
    end(first, "unreachable", message="gone")
    ended = reconcile_once(deploy)
    assert ended.state == "failed"
    assert "app1" in ended.reason and "app2 broke." in ended.reason


def test_a_first_deploy_that_fails_everywhere_is_failed_not_rolled_back(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1])
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "failed", message="no", before={"active": None, "current": None})
    assert reconcile_once(deploy).state == "failed"


def test_a_failed_check_on_the_only_host_ends_as_rolled_back_because_the_old_release_serves(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1])
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "failed", message="no", before={"active": "a", "current": "1" * 64, "restored": True})
    assert reconcile_once(deploy).state == "rolled_back"


def test_a_failure_that_touched_nothing_is_just_failed(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1])
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "failed", message="disk full", before={"active": "a", "current": "1" * 64})
    assert reconcile_once(deploy).state == "failed"


def test_on_failure_stop_leaves_switched_hosts_as_they_are(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2], {"on_failure": "stop"})
    reconcile_once(deploy)
    first, second = runs_of(deploy)
    end(first, "succeeded")
    end(second, "failed", message="no")
    assert reconcile_once(deploy).state == "failed"
    assert HostRun.get_by_id(first.id).state == "succeeded"


def test_on_failure_continue_tries_every_host_and_still_tells_the_truth(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"kind": "rolling", "batch": 1, "on_failure": "continue"})
    for position in range(4):
        reconcile_once(deploy)
        end(
            runs_of(deploy)[position],
            "failed" if position == 0 else "succeeded",
            message="no" if position == 0 else None,
        )
    assert reconcile_once(deploy).state == "failed"


def test_tolerated_failures_do_not_stop_the_rollout_but_are_told(sent_tasks, hosts):
    deploy = factories.deploy(hosts, {"max_failures": 1})
    reconcile_once(deploy)
    for position, run in enumerate(runs_of(deploy)):
        end(run, "failed" if position == 2 else "succeeded", message="no" if position == 2 else None)
    ended = reconcile_once(deploy)
    assert ended.state == "succeeded"
    assert "app3" in ended.reason


# No host runs it: never a success, whatever the strategy tolerates.


def test_a_tolerated_failure_on_the_only_host_is_no_success(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1], {"max_failures": 1})
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "failed", message="app1: connect: gone.")
    ended = reconcile_once(deploy)
    assert (ended.state, ended.reason) == ("failed", "no host runs the release: app1: connect: gone.")


def test_where_every_host_was_put_back_it_is_rolled_back_though_all_failures_are_tolerated(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2], {"max_failures": "100%"})
    reconcile_once(deploy)
    for run in runs_of(deploy):
        end(run, "failed", message="no", before={"active": "a", "current": "1" * 64, "restored": True})
    ended = reconcile_once(deploy)
    assert (ended.state, ended.reason) == ("rolled_back", "no host runs the release: no (2 of 2 hosts failed.)")


def test_where_every_host_turned_unhealthy_under_watch_they_go_back_though_all_failures_are_tolerated(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1], {"max_failures": 1, "bake_s": 60})
    reconcile_once(deploy)
    end(runs_of(deploy)[0], "succeeded")
    transitions.move_host_run(runs_of(deploy)[0], "failed", message="the health check fails.", was_switched=True)
    going_back = reconcile_once(deploy)
    assert (going_back.state, going_back.reason) == (
        "rolling_back",
        "no host runs the release well: the health check fails.",
    )
    end(runs_of(deploy)[0], "rolled_back")
    assert reconcile_once(deploy).state == "rolled_back"


@pytest.mark.parametrize("outcome, reason", [("failed", "no"), ("skipped", "left out: app1, app2")])
def test_a_deploy_that_left_hosts_out_and_switched_none_is_no_success(sent_tasks, hosts, outcome, reason):
    deploy = factories.deploy(hosts[:2], {"max_failures": 1})
    reconcile_once(deploy)
    for run, state in zip(runs_of(deploy), ("skipped", outcome), strict=True):
        end(run, state, message="no")
    ended = reconcile_once(deploy)
    assert (ended.state, ended.reason) == ("failed", f"no host runs the release: {reason}")
    assert ended.ended_at


def test_after_a_deploy_that_no_host_runs_the_next_one_begins(sent_tasks, hosts):
    first, second = factories.deploy(hosts[:1]), factories.deploy(hosts[:1])
    reconcile_once(first)
    end(runs_of(first)[0], "skipped")
    assert reconcile_once(first).state == "failed"
    assert ("windlass.reconcile", (second.id,), None) in sent_tasks


def test_a_second_deploy_of_the_same_target_waits_for_the_first(sent_tasks, hosts):
    first, second = factories.deploy(hosts[:1]), factories.deploy(hosts[:1])
    reconcile_once(first)
    assert reconcile_once(second).state == "queued"
    end(runs_of(first)[0], "succeeded")
    reconcile_once(first)
    assert ("windlass.reconcile", (second.id,), None) in sent_tasks
    assert reconcile_once(second).state == "running"


def test_deploys_of_other_targets_do_not_wait(sent_tasks, hosts):
    reconcile_once(factories.deploy(hosts[:1]))
    other = factories.deploy(hosts[1:2], release=factories.release(factories.application("blog")))
    assert reconcile_once(other).state == "running"


def test_a_queued_deploy_is_cancelled_without_touching_a_host(sent_tasks, hosts):
    deploy = factories.deploy(hosts, cancel_requested_by="ann")
    ended = reconcile_once(deploy)
    assert ended.state == "cancelled" and "ann" in ended.reason
    assert enqueued_hosts(sent_tasks) == []


def test_cancelling_waits_for_hosts_under_way_and_names_switched_ones(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:3], {"kind": "rolling", "batch": 2})
    reconcile_once(deploy)
    first, second, _ = runs_of(deploy)
    end(first, "succeeded")
    transitions.move_host_run(second, "running")
    Deploy.update(cancel_requested_by="ann").where(Deploy.id == deploy.id).execute()
    assert reconcile_once(deploy).state == "running"
    end(second, "rolled_back")
    ended = reconcile_once(deploy)
    assert ended.state == "cancelled"
    assert "app1" in ended.reason and "app2" not in ended.reason


def test_a_run_whose_worker_died_is_enqueued_again_when_its_lease_is_over(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1])
    reconcile_once(deploy)
    run = host_run.HostRunAttempt.claim(runs_of(deploy)[0].id)
    sent_tasks.clear()
    reconcile_once(deploy)
    assert sent_tasks == []
    HostRun.update(lease_expires_at=now() - 1).where(HostRun.id == run.id).execute()
    for _ in range(3):
        reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == [run.id]


def test_a_run_that_is_to_be_tried_later_is_left_alone_until_then(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1])
    HostRun.update(due_at=now() + 60_000).where(HostRun.deploy == deploy).execute()
    reconcile_once(deploy)
    assert enqueued_hosts(sent_tasks) == []
    HostRun.update(due_at=now() - 1).where(HostRun.deploy == deploy).execute()
    reconcile_once(deploy)
    assert len(enqueued_hosts(sent_tasks)) == 1


def test_events_have_no_gaps_and_every_change_of_state_is_among_them(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:2])
    reconcile_once(deploy)
    for run in runs_of(deploy):
        end(run, "succeeded")
    reconcile_once(deploy)
    history = events.read(f"deploy-{deploy.id}")
    assert [event["number"] for event in history] == list(range(1, len(history) + 1))
    assert [event["data"]["state"] for event in history if event["kind"] == "deploy"] == ["running", "succeeded"]
    assert [event["data"]["state"] for event in history if event["kind"] == "host"] == ["running", "succeeded"] * 2


def test_an_ended_deploy_and_one_that_never_was_are_left_alone(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1], state="succeeded")
    reconcile_once(deploy)
    reconcile.reconcile(10**9)
    assert sent_tasks == []


def test_the_tables_refuse_changes_they_do_not_know(sent_tasks, hosts):
    deploy = factories.deploy(hosts[:1], state="succeeded")
    with pytest.raises(states.IllegalTransition):
        transitions.move_deploy(deploy, "running")
