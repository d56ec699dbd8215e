"""What works on workers is tried out by a worker of each zone, and the answer says who looked."""

import pytest

from controllers.actor import Actor
from controllers.catalog import integration_tests
from controllers.catalog.integrations import IntegrationController
from controllers.errors import NotFound
from controllers.jobs import queue, workers
from models import WorkerRequest
from tests import factories
from tests.controllers.conftest import integration

__all__ = ["integration"]
ANN = Actor("ann")


@pytest.fixture
def manifests(integration, tmp_path):
    """The folder of the integration `puppet`; only a worker that is told so may read it."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "site.pp").write_text("")
    integration("puppet", "puppet", settings={"folder": str(folder)})
    return folder


@pytest.fixture
def enqueued(monkeypatch, settings, manifests):
    """The zones that were enqueued in. Their workers answer at once: dmz's may read the folder, default's not, lab has none."""
    enqueued = []

    def answer(task, trial_id, zone):
        enqueued.append((task, zone))
        settings.puppet.manifests = [str(manifests)] if zone == "dmz" else []
        monkeypatch.setattr(workers, "NAME", f"machine-in-{zone}:1")
        if zone != "lab":
            integration_tests.carry_out(trial_id)
            integration_tests.carry_out(trial_id)

    monkeypatch.setattr(queue, "enqueue", answer)
    return enqueued


def checks(proof):
    return {check["name"]: (check["ok"], check["message"]) for check in proof["checks"]}


def test_a_worker_of_each_zone_with_hosts_looks_and_is_named(enqueued, manifests):
    factories.zone("empty")
    for zone in ("default", "dmz"):
        factories.host(zone=factories.zone(zone))
    proof = IntegrationController(ANN).prove("puppet")
    assert sorted(enqueued) == [("windlass.try_integration", "default"), ("windlass.try_integration", "dmz")]
    found = checks(proof)
    assert found["folder in zone dmz"] == (
        True,
        f"{manifests} has 1 files. Puppet runs on the hosts: install puppet-agent there. (seen by worker machine-in-dmz:1)",
    )
    assert found["folder in zone default"][0] is False and "puppet.manifests" in found["folder in zone default"][1]
    assert "machine-in-default:1" in found["folder in zone default"][1]
    assert proof["ok"] is False and WorkerRequest.select().count() == 0


def test_every_zone_is_asked_while_there_is_no_host(enqueued, manifests):
    factories.zone("dmz")
    assert IntegrationController(ANN).prove("puppet")["ok"]
    assert enqueued == [("windlass.try_integration", "dmz")]


def test_a_zone_without_a_worker_is_told(enqueued, manifests, monkeypatch):
    monkeypatch.setattr(integration_tests, "PATIENCE_S", 0)
    factories.host(zone=factories.zone("lab"))
    ok, message = checks(IntegrationController(ANN).prove("puppet"))["worker of zone lab"]
    assert not ok and "No worker of zone lab had time for it" in message and "start one" in message
    assert WorkerRequest.select().count() == 0


def test_a_late_message_does_nothing_and_others_are_tried_here(enqueued, manifests, integration):
    integration_tests.carry_out(12345)
    integration("code", "git")
    IntegrationController(ANN).prove("code")
    assert enqueued == []
    with pytest.raises(NotFound):
        IntegrationController(ANN).prove("nothing")
