"""Index, health, readiness and figures."""

import pytest

from controllers.jobs import queue
from models import Worker, Zone
from models.db import clock, now
from tests import factories


@pytest.fixture
def worker(database):
    """A worker for all zones that has just given a sign of life."""
    return Worker.create(name="w1", zones=["*"], version="1", seen_at=now())


def component(client, name):
    """Return (status of /ready, what it says of one component)."""
    answer = client.get("/ready")
    return answer.status_code, answer.json["components"][name]


def test_the_index_links_to_what_there_is(api):
    index = api.get("/").json
    assert index["links"]["applications"] == "/api/v1/applications" and index["links"]["openapi"] == "/api/v1/openapi.json"
    assert api.get("").json == index
    for path in index["links"].values():
        if not path.endswith("stream"):
            assert api.wsgi.get(path, headers=api.headers).status_code in (200, 503), path


def test_health_asks_nobody_else(anonymous, monkeypatch):
    from models.db import database

    monkeypatch.setattr(database.obj, "execute_sql", lambda *_: 1 / 0)
    assert anonymous.get("/health").json == {"status": "ok"}


def test_ready_when_a_deploy_would_be_carried_out(anonymous, worker):
    Zone.create(name="default", public_key="ssh-ed25519 AAAA", created_at=now(), updated_at=now())
    answer = anonymous.get("/ready")
    assert (answer.status_code, answer.json["ready"]) == (200, True)
    assert {name for name, state in answer.json["components"].items() if state["ready"]} == {
        "database",
        "workers",
        "zone_keys",
        "broker",
    }


def test_not_ready_without_a_worker(anonymous, database):
    status, workers = component(anonymous, "workers")
    assert status == 503 and not workers["ready"] and "celery" in workers["detail"]


def test_not_ready_when_the_last_sign_of_life_is_old(anonymous, worker):
    Worker.update(seen_at=clock() - 20_000).execute()
    assert component(anonymous, "workers")[0] == 503


def test_not_ready_while_a_served_zone_has_no_key(anonymous, worker):
    factories.zone("dmz")
    status, keys = component(anonymous, "zone_keys")
    assert status == 503 and not keys["ready"] and "dmz" in keys["detail"]


def test_a_zone_that_nobody_serves_holds_nobody_up(anonymous, worker):
    Worker.update(zones=["lan"]).execute()
    factories.zone("dmz")
    assert component(anonymous, "zone_keys")[0] == 200


def test_not_ready_without_the_broker_and_no_password_is_told(anonymous, worker, settings):
    settings.broker.url = "redis://:hunter2@127.0.0.1:1/0"
    queue.celery.cache_clear()
    status, broker = component(anonymous, "broker")
    assert status == 503 and not broker["ready"] and "hunter2" not in str(broker)


def test_not_ready_without_the_database(anonymous, worker, monkeypatch):
    import peewee

    from models.db import database

    def away(*_, **__):
        raise peewee.OperationalError("could not connect to host secret.example.com")

    monkeypatch.setattr(database.obj, "execute_sql", away)
    status, state = component(anonymous, "database")
    assert status == 503 and not state["ready"] and "example.com" not in str(state)


def figures(client):
    """Return /metrics as {line's name with labels: value}."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_requests_are_counted_by_route_and_status(api):
    name = 'windlass_http_requests_total{method="GET",route="/api/v1/tokens/<token_id:int>",status="%s"}'
    before = figures(api)
    api.get("/tokens/1")
    api.get("/tokens/1")
    api.get("/tokens/77")
    after = figures(api)
    assert after[name % 200] - before.get(name % 200, 0) == 2 and after[name % 404] - before.get(name % 404, 0) == 1
    latency = 'windlass_http_request_seconds_count{method="GET",route="/api/v1/tokens/<token_id:int>"}'
    assert after[latency] - before.get(latency, 0) == 3


def test_made_up_paths_and_methods_make_no_new_figures(api):
    api.get("/made-up")
    api.request("MADEUP", "/tokens/1")
    assert not [name for name in figures(api) if "made-up" in name or "MADEUP" in name]


def test_deploys_and_workers_are_counted_in_the_database(anonymous, worker):
    host = factories.host()
    factories.deploy([host], state="succeeded")
    factories.deploy([host], state="succeeded")
    factories.deploy([host], state="running")
    counted = figures(anonymous)
    assert counted['windlass_deploys{state="succeeded"}'] == 2 and counted['windlass_deploys{state="running"}'] == 1
    assert counted["windlass_workers"] == 1


def test_workers_are_told_as_last_seen(api, worker):
    Worker.create(name="w2", zones=["dmz"], version="1", seen_at=clock() - 60_000)
    items = api.get("/workers").json["items"]
    assert [(item["name"], item["zones"], item["alive"]) for item in items] == [
        ("w1", ["*"], True),
        ("w2", ["dmz"], False),
    ]


def test_workers_are_not_told_to_strangers(anonymous, worker):
    assert anonymous.get("/workers").status_code == 401
