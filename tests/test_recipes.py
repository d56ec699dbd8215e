"""The recipes of docs/development.md work as they stand there: a driver and a kind of work are added by following them."""

import re
import sys
import types
from pathlib import Path

import pytest
from peewee import CharField, ForeignKeyField, TextField

import models
from controllers import foreign, sweep
from controllers.foreign import notify
from controllers.foreign.notify.base import Message
from controllers.jobs import kinds, queue, states
from models.db import database as models_database
from models.inventory import Host
from models.leased import LeasedModel
from tests import factories
from tests.foreign.conftest import foreign_settings
from tests.foreign.standins.frame import Reply, StandIn, route

__all__ = ["foreign_settings"]
DOCUMENT = (Path(__file__).resolve().parent.parent / "docs" / "development.md").read_text(encoding="utf-8")
RECIPES = {kind: (path, code) for kind, path, code in re.findall(r"^```python (\w+) (\S+)\n(.*?)^```$", DOCUMENT, re.M | re.S)}


class Pager(StandIn):
    """The system that the recipe's driver speaks to."""

    def __init__(self):
        super().__init__()
        self.events = []

    @route("GET", "/me")
    def me(self, request):
        """Who the token belongs to."""
        return Reply({"name": "windlass"})

    @route("POST", "/events")
    def take(self, request):
        """Take an event."""
        self.events.append(request.json)
        return Reply({"status": "success"})


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """The recipe's driver, put into the package of its role."""
    path, code = RECIPES["driver"]
    (tmp_path / Path(path).name).write_text(code, encoding="utf-8")
    monkeypatch.setattr(notify, "__path__", [*notify.__path__, str(tmp_path)])
    foreign.drivers.cache_clear()
    yield foreign.drivers()[Path(path).stem]
    foreign.drivers.cache_clear()
    sys.modules.pop(f"controllers.foreign.notify.{Path(path).stem}")


def test_a_driver_is_registered_by_being_there_and_speaks(driver):
    assert driver.name in [described["name"] for described in foreign.describe_drivers()]
    assert foreign.mistakes_in(driver.name, "https://pager.example.net", {}, {}) != [], "it needs credentials"
    with Pager() as pager:
        made = driver(foreign.Access("pager", pager.url, {}, {"token": "t0ken"}, driver.name))
        made.send(Message("windlass-7", "deploy.failed", "shop v3 has failed"))
        assert pager.events == [{"dedup_key": "windlass-7", "summary": "shop v3 has failed", "details": None}]
        assert made.prove().describe()["checks"] == [{"name": "login", "ok": True, "message": "You are windlass."}]
        pager.fault("status", status=503)
        assert not made.prove().describe()["ok"]


class Reboot(LeasedModel):
    """The model that the recipe of a kind of work takes for granted."""

    host = ForeignKeyField(Host)
    state = CharField(default="waiting")
    message = TextField(null=True)


@pytest.fixture
def job(database, monkeypatch):
    """The recipe's kind of work, declared."""
    monkeypatch.setattr(models, "Reboot", Reboot, raising=False)
    monkeypatch.setitem(states.TABLES, Reboot, {"waiting": {"done", "failed"}, "done": set(), "failed": set()})
    monkeypatch.setattr(kinds, "ALL", {})
    models_database.create_tables([Reboot])
    module = types.ModuleType("reboot_run")
    exec(compile(RECIPES["job"][1], RECIPES["job"][0], "exec"), vars(module))
    yield module.KIND
    models_database.drop_tables([Reboot])


def test_a_kind_of_work_is_swept_into_the_zone_of_its_host_claimed_and_ended(job, monkeypatch):
    sent = []
    monkeypatch.setattr(queue, "enqueue", lambda task, *ids, zone=None: sent.append((task, *ids, zone)))
    row = Reboot.create(host=factories.host("web-1"))
    sweep.sweep()
    assert sent == [("windlass.reboot_host", row.id, "default")]
    job.carry_out(row.id)
    ended = Reboot.get_by_id(row.id)
    assert (ended.state, ended.message, ended.attempt, ended.lease_owner) == ("done", "rebooted", 1, None)
