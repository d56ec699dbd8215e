"""freezes, and deploys that are scheduled, override a freeze, or are warned of: what is sent and told."""

import pytest

from tests import shapes
from tests.cli import resources
from tests.cli.resources import ROUTES, only

ONCE = ("--from", "2026-12-20T00:00:00Z", "--until", "2027-01-02T00:00:00Z")
WEEKLY = {"begins": "fri 16:00", "ends": "mon 08:00", "timezone": "Europe/Berlin"}


@pytest.fixture(autouse=True)
def freezes(monkeypatch):
    """The stand-in's freezes, by name."""
    made = {}

    def create(api, request):
        body = only(request.body, "name", "reason", "starts_at", "ends_at", "weekly", "applications", "environments")
        made[body["name"]] = shapes.freeze(**body)
        return 201, made[body["name"]]

    def delete(api, request, name):
        del made[name]
        return 204, None

    monkeypatch.setitem(ROUTES, "GET /freezes", lambda api, request: resources.page(list(made.values()), request))
    monkeypatch.setitem(ROUTES, "POST /freezes", create)
    monkeypatch.setitem(ROUTES, "DELETE /freezes/([^/]+)", delete)
    return made


def test_a_freeze_comes_once_or_every_week(windlass, freezes):
    assert windlass("freezes", "create", "xmas", "--reason", "holidays", *ONCE, "--application", "shop").code == 0
    made = windlass("freezes", "create", "weekend", "--reason", "x", "--weekly", *WEEKLY.values(), "--environment", "production")
    assert made.out == "Freeze weekend: every week fri 16:00 to mon 08:00 Europe/Berlin, of everything in production.\n"
    assert (freezes["xmas"]["ends_at"], freezes["xmas"]["applications"], freezes["weekend"]["weekly"]) == (
        ONCE[3],
        ["shop"],
        WEEKLY,
    )
    listed = windlass("freezes", "list").out
    assert "xmas" in listed and "holidays" in listed and "mon 08:00" in listed
    assert windlass("freezes", "delete", "xmas").code == 0
    assert list(freezes) == ["weekend"]


@pytest.mark.parametrize("options", [(), ONCE[:2], ONCE[2:], (*ONCE, "--weekly", *WEEKLY.values())])
def test_a_freeze_without_one_clear_time_is_wrong_usage(windlass, api, options):
    assert windlass("freezes", "create", "xmas", "--reason", "x", *options).code == 2
    assert api.requests == []


def test_a_deploy_is_scheduled_and_overrides_a_freeze(windlass, api, monkeypatch):
    bodies = []
    monkeypatch.setitem(
        ROUTES,
        "POST /deploys",
        lambda api, request: (201, bodies.append(request.body) or api.a_deploy("v2", "production")),
    )
    options = ("--at", "2026-12-01T06:00:00Z", "--override-freeze", "leak", "--comment", "why")
    assert windlass("deploy", "shop", "v2", "--to", "production", *options).code == 0
    assert bodies == [
        {
            "application": "shop",
            "release": "v2",
            "environment": "production",
            "start_at": "2026-12-01T06:00:00Z",
            "override": "leak",
            "comment": "why",
        }
    ]


def test_what_the_server_warns_of_is_told_on_stderr(windlass, api, monkeypatch):
    answer = {**api.a_deploy("v2", "production"), "warnings": ["v2 failed in production last time"]}
    monkeypatch.setitem(ROUTES, "POST /deploys", lambda api, request: (201, answer))
    told = windlass("deploy", "shop", "v2", "--to", "production")
    assert told.code == 0
    assert "warning: v2 failed in production last time" in told.err and "warning" not in told.out
