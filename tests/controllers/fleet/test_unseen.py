"""What somebody may not see counts, but is never named: users of a thing, hosts of another environment, names in fields."""

import pytest
from peewee import SQL

from controllers.actor import Actor
from controllers.catalog.applications import ApplicationController
from controllers.catalog.environments import EnvironmentController
from controllers.catalog.integrations import IntegrationController
from controllers.catalog.zones import ZoneController
from controllers.controller import Controller
from controllers.errors import Conflict, Invalid
from controllers.fleet.hosts import HostController
from controllers.fleet.targets import TargetController
from controllers.guards.freezes import FreezeController
from models import Application, Environment, Host, Integration, Target, Zone
from models.db import now
from tests import factories

ANN = Actor("ann", is_administrator=True)
WEEKLY = {"begins": "fri 16:00", "ends": "mon 08:00", "timezone": "UTC"}


@pytest.fixture
def hide(monkeypatch):
    """Let nobody see the rows of these models."""

    def hide(*models):
        def visible(self, model, *columns):
            query = model.select(*columns)
            return query.where(SQL("1 = 0")) if model in models else query

        monkeypatch.setattr(Controller, "visible", visible)

    return hide


@pytest.fixture
def target(database):
    """shop in production on web-1, whose integration is code."""
    Integration.create(name="code", driver="git", settings={}, created_at=now(), updated_at=now())
    source = {"integration": "code", "repository": "https://git.example.com/shop.git", "branch": "main"}
    factories.application("shop", source=source)
    factories.environment("production")
    factories.host("web-1")
    put("production")
    return Target.get()


def put(environment):
    return TargetController(ANN).put("shop", environment, {"hosts": ["web-1"]})


@pytest.mark.parametrize(
    "controller, name, user, named",
    [
        (ApplicationController, "shop", Target, "its target in production"),
        (EnvironmentController, "production", Target, "the target of shop"),
        (HostController, "web-1", Target, "the target of shop in production"),
        (ZoneController, "default", Host, "host web-1"),
        (IntegrationController, "code", Application, "the source of application shop"),
    ],
)
def test_what_is_used_is_kept_and_its_user_named_to_who_may_see_it(target, hide, controller, name, user, named):
    with pytest.raises(Conflict) as refused:
        controller(ANN).delete(name)
    assert (refused.value.code, refused.value.extra["used_by"]) == ("in-use", [named])
    hide(user)
    with pytest.raises(Conflict) as refused:
        controller(ANN).delete(name)
    assert (refused.value.code, refused.value.extra["used_by"]) == ("in-use", [])
    assert "is still used by something that you may not see" in refused.value.detail


def test_a_host_is_taken_by_an_environment_that_is_not_named(target, hide):
    factories.environment("staging")
    with pytest.raises(Conflict) as refused:
        put("staging")
    assert (refused.value.extra["environment"], refused.value.extra["hosts"]) == ("production", ["web-1"])
    hide(Target)
    with pytest.raises(Conflict) as refused:
        put("staging")
    assert (refused.value.code, refused.value.extra["environment"]) == ("host-taken", None)
    assert "production" not in refused.value.detail and "web-1" in refused.value.detail


@pytest.mark.parametrize(
    "model, act",
    [
        (Host, lambda: put("production")),
        (Zone, lambda: HostController(ANN).update("web-1", {"zone": "default"})),
        (Integration, lambda: ApplicationController(ANN).update("shop", {"source": Application.get().source})),
        (Environment, lambda: EnvironmentController(ANN).create({"name": "qa", "promote_from": "production"})),
        (
            Application,
            lambda: FreezeController(ANN).create({"name": "x", "reason": "x", "weekly": WEEKLY, "applications": ["shop"]}),
        ),
    ],
)
def test_a_name_of_what_is_not_seen_is_no_name(target, hide, model, act):
    hide(model)
    with pytest.raises(Invalid) as refused:
        act()
    assert "There is no" in refused.value.detail
