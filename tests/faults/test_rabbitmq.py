"""RabbitMQ as the broker is killed, restarted and away when a deploy is asked for; forged messages are refused."""

import contextlib
import signal
import urllib.parse

import amqp
import pytest

from tests.faults import cases, oracle
from tests.faults.stack import running_fault_stack
from tests.fleet.fixtures import skipped_if_unavailable
from tests.fleet.services import rabbitmq_service

HOSTS = 2
ONE_BY_ONE = {"kind": "rolling", "batch": 1}
WAITING = 50  # More than a worker takes at once.


@pytest.fixture(scope="module")
def server():
    """The RabbitMQ of this module."""
    with contextlib.ExitStack() as services:
        with skipped_if_unavailable():
            service = services.enter_context(rabbitmq_service())
        yield service


@pytest.fixture(scope="module")
def stack(tmp_path_factory, database_url, server):
    """A Windlass on PostgreSQL whose broker is that RabbitMQ."""
    urls = {"WINDLASS_DATABASE_URL": database_url, "WINDLASS_BROKER_URL": server.url}
    with running_fault_stack(tmp_path_factory.mktemp("stack"), urls) as running:
        yield running


@pytest.fixture(autouse=True)
def up_again(server):
    """Whatever a test did to it, RabbitMQ runs afterwards."""
    yield
    if not server.process.is_running:
        server.start()


@contextlib.contextmanager
def channel(server):
    """Open a channel of our own."""
    parts = urllib.parse.urlsplit(server.url)
    with amqp.Connection(f"127.0.0.1:{parts.port}", userid=parts.username, password=parts.password) as connection:
        yield connection.channel()


@pytest.mark.fault(
    "rabbitmq",
    "SIGKILL, away while a host ends and a deploy is asked for",
    "that host ends; 201; the rest follows when it is back",
)
def test_rabbitmq_is_killed(stack, hosts, name, second, first, server):
    workers = stack.workers()
    stack.points.arm("host_run.check.before", "wait")
    deploy_id = stack.ask(name, second, strategy=ONE_BY_ONE)
    stack.points.await_reached("host_run.check.before")
    server.stop(signal.SIGKILL)
    stack.points.let_go("host_run.check.before")
    stack.wait(f"/deploys/{deploy_id}", lambda deploy: deploy["progress"]["done"] == 1)
    following = stack.ask(name, second)
    server.start()
    oracle.await_rest(stack, following, ("succeeded",))
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.workers() == workers, "a broker that is away is no reason for a worker to die"


@pytest.mark.fault("rabbitmq", "restarted in the middle", "the rollout goes on")
def test_rabbitmq_is_restarted(stack, hosts, name, second, first, server):
    stack.points.arm("host_run.ship.before", "wait")
    deploy_id = stack.ask(name, second, strategy=ONE_BY_ONE)
    stack.points.await_reached("host_run.ship.before")
    server.stop(signal.SIGTERM)
    server.start()
    stack.points.let_go("host_run.ship.before")
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


def times_lost(stack):
    """Return how often workers have lost the connection to RabbitMQ so far, by their log."""
    return (stack.data / "log" / "worker.log").read_text().count("Connection to broker lost")


@pytest.mark.fault("rabbitmq", "SIGKILL while a task runs on, then many messages", "the worker takes them all and goes on")
def test_a_task_runs_on_while_rabbitmq_is_killed(stack, hosts, name, second, first, server):
    stack.points.arm("host_run.ship.before", "wait")
    deploy_id = stack.ask(name, second, strategy=ONE_BY_ONE)
    stack.points.await_reached("host_run.ship.before")
    lost_before = times_lost(stack)
    server.stop(signal.SIGKILL)
    server.start()
    stack.enqueue("windlass.reconcile", [deploy_id] * WAITING)
    stack.points.let_go("host_run.ship.before")
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert times_lost(stack) == lost_before + 1, "two threads spoke over the one connection"


@pytest.mark.fault("rabbitmq", "messages wait when a worker starts", "it takes them and goes on")
def test_messages_wait_for_a_worker_that_starts(stack, hosts, name, second, first, server):
    stack.signal(signal.SIGSTOP, "celery", "worker")
    deploy_id = stack.ask(name, second)
    stack.enqueue("windlass.reconcile", [deploy_id] * WAITING)
    stack.kill_workers()
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("rabbitmq", "a forged message", "refused and gone from the queue; the rollout behind it goes on")
def test_a_forged_message(stack, hosts, name, second, first, server):
    headers = {"task": "windlass.reconcile", "id": "1"}
    content = {"content_type": "application/x-windlass-signed-json", "content_encoding": "utf-8"}
    with channel(server) as ours:
        for body in ("0123.[[1],{},{}]", "no signature at all"):
            ours.basic_publish(amqp.Message(body, application_headers=headers, **content), routing_key="windlass")
        deploy_id = stack.ask(name, second)
        oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
        waiting = ours.queue_declare("windlass", passive=True).message_count
    assert waiting == 0
    assert "not signed with this Windlass's key" in (stack.data / "log" / "worker.log").read_text()


# What every combination must stand, on this one.


@pytest.mark.fault("reconciler", "Two reconcilers at once on PostgreSQL and RabbitMQ", "every host run is claimed once")
def test_two_reconcilers_at_once(stack, hosts, name, second, other):
    other()
    cases.two_reconcilers_at_once(stack, hosts, name, second)


@pytest.mark.fault(
    "worker",
    "SIGKILL before step switch on PostgreSQL and RabbitMQ",
    "another attempt goes on from what the host is like",
)
def test_the_worker_dies_at_the_switch(stack, hosts, name, second):
    cases.worker_dies(stack, hosts, name, second, "host_run.switch.before")
