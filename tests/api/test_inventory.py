"""GET /inventory/ansible: hosts in groups, where they are, and nothing secret."""

import pytest

from models import Target, Variable
from models.db import now
from tests import factories
from tests.client import assert_problem

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKq6X0X3V6H3l1f8o9fQ0yJv8v8Vb4bA8b8K1e7mJm0p"


def target(application, environment, hosts):
    """Return a new target."""
    return Target.create(
        application=factories.application(application),
        environment=factories.environment(environment),
        hosts=hosts,
        strategy={"kind": "all-at-once"},
        health={"path": "/"},
        created_at=now(),
        updated_at=now(),
    )


@pytest.fixture
def hosts(database):
    """Two hosts in two zones, one of them this machine."""
    web = factories.host("web-1", tags=["web", "disk:ssd"], host_key=KEY, port=2222, zone=factories.zone("dmz"))
    return web, factories.host("here", transport="local", maintenance_reason="new disk")


def test_hosts_are_grouped_by_zone_tag_and_target(api, hosts):
    target("shop", "production", ["web-1"])
    target("shop", "staging", {"tags": ["nothing-has-this"]})
    answer = api.get("/inventory/ansible").json
    groups = {name: value["hosts"] for name, value in answer.items() if name not in ("_meta", "all")}
    assert groups == {
        "shop_production": ["web-1"],
        "shop_staging": [],
        "tag_disk_ssd": ["web-1"],
        "tag_web": ["web-1"],
        "zone_default": ["here"],
        "zone_dmz": ["web-1"],
    }
    assert answer["all"]["children"] == sorted([*groups, "ungrouped"])


def test_a_host_tells_where_it_is_and_which_key_it_must_show(api, hosts):
    variables = api.get("/inventory/ansible").json["_meta"]["hostvars"]
    assert variables["web-1"] == {
        "ansible_host": "192.0.2.1",
        "ansible_port": 2222,
        "ansible_user": "deploy",
        "windlass_host_key": KEY,
        "windlass_root": "/srv/windlass",
        "windlass_state": "new",
        "windlass_tags": ["web", "disk:ssd"],
        "windlass_zone": "dmz",
    }
    assert variables["here"]["ansible_connection"] == "local" and "ansible_host" not in variables["here"]
    assert variables["here"]["windlass_state"] == "maintenance"
    assert api.get("/inventory/ansible?host=web-1").json == variables["web-1"]


def test_groups_that_would_have_one_name_stay_apart(api, hosts):
    target("shop", "eu-production", ["web-1"])
    target("shop-eu", "production", ["here"])
    answer = api.get("/inventory/ansible").json
    apart = {name: value["hosts"] for name, value in answer.items() if name.startswith("shop_eu_production")}
    assert "shop_eu_production" not in apart
    assert sorted(apart.values()) == [["here"], ["web-1"]]


def test_nothing_secret_is_told(api, hosts):
    row = target("shop", "production", ["web-1"])
    Variable.create(target=row, name="PASSWORD", value="hush-hush", is_secret=True, updated_at=now())
    assert "hush" not in api.get("/inventory/ansible").get_data(as_text=True)


def test_what_is_asked_wrongly_is_refused(api, anonymous, hosts):
    unknown = api.get("/inventory/ansible?host=web-9")
    assert (unknown.status_code, unknown.json["errors"][0]["field"]) == (422, "host")
    assert_problem(anonymous.get("/inventory/ansible"), 401, "unauthenticated")
    assert api.get("/inventory/ansible?list=1").status_code == 422
