"""Deploys and rollbacks asked for at the same moment, on both databases: the target's row decides who comes first."""

import threading

import pytest

from controllers.errors import Conflict
from controllers.jobs import queue
from controllers.rollout.deploys import DeployController
from models import Deploy
from models.db import connection
from tests import factories

pytestmark = pytest.mark.both_databases

AT_ONCE = 8


@pytest.fixture
def succeeded(api, monkeypatch):
    """A deploy that succeeded, with another release before it."""
    monkeypatch.setattr(queue, "enqueue", lambda *_, **__: None)
    factories.application("shop")
    factories.environment("production")
    host = factories.host("web-1")
    assert api.put("/applications/shop/targets/production", {"hosts": ["web-1"]}).status_code == 201
    before, release = factories.release(), factories.release()
    return factories.deploy([host], state="succeeded", release=release, previous_release=before)


def at_once(*calls):
    """Make calls at the same moment; returns what each gave, a Conflict where it was refused."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(number, call):
        barrier.wait()
        with connection():
            try:
                results[number] = call()
            except Exception as error:
                results[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    strange = [found for found in results if isinstance(found, Exception) and not isinstance(found, Conflict)]
    assert not strange, strange
    return results


def codes(results):
    return sorted(result.code for result in results if isinstance(result, Conflict))


def test_one_of_many_rollbacks_is_made(succeeded, administrator):
    results = at_once(*[lambda: DeployController(administrator).rollback(succeeded.id)] * AT_ONCE)
    assert codes(results) == ["deploy-running"] * (AT_ONCE - 1)
    assert Deploy.select().where(Deploy.rollback_of == succeeded).count() == 1


def test_deploys_queue_or_one_rollback_wins(succeeded, administrator):
    wish = {"application": "shop", "release": "v2", "environment": "production"}
    results = at_once(
        *[
            lambda: DeployController(administrator).create(wish),
            lambda: DeployController(administrator).rollback(succeeded.id),
        ]
        * AT_ONCE
    )
    made = [result for result in results if isinstance(result, dict)]
    assert {deploy["state"] for deploy in made} == {"queued"}
    is_rollback = {deploy["rollback_of"] is not None for deploy in made}
    assert len(is_rollback) == 1, "never both"
    if is_rollback == {True}:
        assert (len(made), set(codes(results))) == (1, {"rollback-running", "deploy-running"})
    else:
        assert (len(made), set(codes(results))) == (AT_ONCE, {"deploy-running"})


def test_a_deploy_is_refused_while_a_rollback_waits_and_welcome_after_it(succeeded, administrator):
    wish = {"application": "shop", "release": "v2", "environment": "production"}
    rollback = DeployController(administrator).rollback(succeeded.id)
    with pytest.raises(Conflict) as raised:
        DeployController(administrator).create(wish)
    assert raised.value.code == "rollback-running"
    assert f"the rollback {rollback['id']} has not ended" in str(raised.value)
    Deploy.update(state="succeeded").where(Deploy.id == rollback["id"]).execute()
    assert DeployController(administrator).create(wish)["state"] == "queued"
