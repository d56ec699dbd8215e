"""A lease belongs to one worker at a time, by the database's clock, and its epoch tells an old holder from a new one."""

import threading

import pytest

from controllers.jobs import leases, workers
from models import HostRun
from models.db import connection, now
from tests import factories

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.both_databases]


@pytest.fixture
def run():
    deploy = factories.deploy([factories.host()])
    return HostRun.get(HostRun.deploy == deploy)


def test_a_free_row_is_claimed_once(run, monkeypatch):
    first = leases.claim(HostRun, run.id)
    assert first.epoch == run.epoch + 1
    monkeypatch.setattr(leases, "OWNER", "another worker")
    assert leases.claim(HostRun, run.id) is None


def test_a_lease_that_is_over_goes_to_the_next_and_the_old_holder_has_lost_it(run, monkeypatch):
    old = leases.claim(HostRun, run.id)
    HostRun.update(lease_expires_at=now() - 1).where(HostRun.id == run.id).execute()
    monkeypatch.setattr(leases, "OWNER", "another worker")
    new = leases.claim(HostRun, run.id)
    assert new.epoch == old.epoch + 1
    monkeypatch.undo()
    assert not leases.extend(old)
    assert HostRun.update(message="late").where(leases.is_held(old)).execute() == 0


def test_the_same_worker_that_lost_and_claimed_again_does_not_mistake_the_old_claim_for_the_new(run):
    old = leases.claim(HostRun, run.id)
    HostRun.update(lease_expires_at=now() - 1).where(HostRun.id == run.id).execute()
    new = leases.claim(HostRun, run.id)
    assert leases.extend(new)
    assert not leases.extend(old)


def test_a_released_lease_is_free_at_once(run):
    leases.release(leases.claim(HostRun, run.id))
    assert leases.claim(HostRun, run.id) is not None


def test_of_many_claims_at_once_exactly_one_wins(run):
    won, start = [], threading.Barrier(8)

    def claim():
        with connection():
            start.wait()
            if leases.claim(HostRun, run.id):
                won.append(1)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(won) == 1


def test_conditions_that_do_not_hold_leave_the_row_alone(run):
    assert leases.claim(HostRun, run.id, HostRun.state == "running") is None
    assert HostRun.get_by_id(run.id).lease_owner is None


def test_the_heartbeat_notices_that_somebody_took_over(run, settings):
    settings.worker.lease_s = 1
    held = leases.claim(HostRun, run.id)
    lost = threading.Event()
    with leases.heartbeats(held, lost=lost.set):
        HostRun.update(epoch=HostRun.epoch + 1, lease_owner="another worker").where(HostRun.id == run.id).execute()
        assert lost.wait(60)


def test_the_heartbeat_keeps_a_lease_alive(run, settings):
    settings.worker.lease_s = 1
    held = leases.claim(HostRun, run.id)
    first = held.lease_expires_at
    beaten = threading.Event()
    with leases.heartbeats(
        held, lost=lambda: None, look=lambda: HostRun.get_by_id(run.id).lease_expires_at > first and beaten.set()
    ):
        assert beaten.wait(60)


def test_a_worker_that_is_told_to_leave_looks_at_once(run, settings, monkeypatch):
    settings.worker.lease_s = 3600
    monkeypatch.setattr(workers, "leaving", threading.Event())
    seen = threading.Event()
    with leases.heartbeats(
        leases.claim(HostRun, run.id), lost=lambda: None, look=lambda: workers.leaving.is_set() and seen.set()
    ):
        workers.hand_over()
        assert seen.wait(60)
    assert not leases.beating
