"""The same deploy on PostgreSQL with Redis or RabbitMQ as on the embedded SQLite and folders."""

import contextlib

import pytest

from tests.deploying import applications
from tests.deploying.conftest import hammer
from tests.fleet.fixtures import skipped_if_unavailable
from tests.fleet.services import postgresql, rabbitmq, redis_server
from tests.stack import running_stack


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def stack(tmp_path_factory, request):
    """A Windlass on PostgreSQL and a broker, both its own; Redis is the cache and alarm clock of the streams, too."""
    with contextlib.ExitStack() as services:
        with skipped_if_unavailable():
            database = services.enter_context(postgresql())
            broker = services.enter_context(redis_server() if request.param == "redis" else rabbitmq())
        urls = {"WINDLASS_DATABASE_URL": database, "WINDLASS_BROKER_URL": broker}
        if request.param == "redis":
            urls["WINDLASS_REDIS_URL"] = broker
        yield services.enter_context(running_stack(tmp_path_factory.mktemp("stack"), urls))


def test_deploy_and_rollback_on_postgresql_and_a_broker(stack, hosts, repository, name):
    stack.set_target(hosts, name, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    with hammer(hosts[0], name) as asking:
        asking.await_version("one")
        repository.commit(applications.plain("two"))
        second = stack.deploy(stack.release(name)["version"], name)
        asking.await_version("two")
        stack.rollback(second)
        asking.await_version("one")
    assert asking.failures == []
    numbers = [event["number"] for event in stack.call("GET", f"/deploys/{second['id']}/events")["items"]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_zone_made_later_is_served(stack, fleet_factory, repository, name):
    """The worker listens to a new zone's queue by itself, and makes the zone's key."""
    stack.call("POST", "/zones", {"name": "dmz"})
    zone = stack.wait("/zones/dmz", lambda zone: zone["public_key"])
    (host,) = fleet_factory(1)
    host.authorize(zone["public_key"])
    stack.call("POST", "/hosts", host.api_payload(zone="dmz"))
    stack.call("POST", f"/hosts/{host.name}/trust", {"fingerprint": host.fingerprint})
    stack.set_target([host], name, server_names=[f"{name}.example.com"])
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    assert host.get(server_name=f"{name}.example.com") == (200, "one")
