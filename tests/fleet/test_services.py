"""PostgreSQL, Redis and RabbitMQ for tests work, are private and end with the test."""

import signal
import urllib.parse
from pathlib import Path

import amqp
import psycopg
import pytest
import redis

from . import FleetError, postgresql, redis_server
from .fixtures import skipped_if_unavailable
from .reaper import processes
from .services import rabbitmq_service


def test_postgresql_is_an_empty_database_on_a_socket_of_its_own(postgresql_url):
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        connection.execute("CREATE TABLE kept (id integer)")
        connection.rollback()


def test_postgresql_ends_with_its_context_and_ends_open_sessions():
    with skipped_if_unavailable(), postgresql() as url:
        connection = psycopg.connect(url)
        folder = Path(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))["host"])
        assert (folder / "data").is_dir()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    assert not folder.exists()


def test_a_cluster_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "pg" / "data").mkdir(parents=True)
    with skipped_if_unavailable(), pytest.raises(FileExistsError), postgresql(tmp_path / "pg"):
        pass
    blocked = tmp_path / "file"
    blocked.touch()
    with skipped_if_unavailable(), pytest.raises((FleetError, OSError)), postgresql(blocked / "pg"):
        pass


def test_redis_keeps_and_forgets_with_its_context():
    with skipped_if_unavailable(), redis_server() as url:
        client = redis.from_url(url)
        client.set("key", "value")
        assert client.get("key") == b"value"
    with pytest.raises(redis.ConnectionError):
        client.get("key")


def test_redis_lets_nobody_in_without_its_password(redis_url):
    parts = urllib.parse.urlsplit(redis_url)
    with pytest.raises(redis.AuthenticationError):
        redis.from_url(f"redis://127.0.0.1:{parts.port}/0").ping()
    assert redis.from_url(redis_url).ping()


def amqp_connection(url, password=None):
    """Return an AMQP connection to the URL's server."""
    parts = urllib.parse.urlsplit(url)
    return amqp.Connection(f"127.0.0.1:{parts.port}", userid="windlass", password=password or parts.password)


def test_rabbitmq_is_private_keeps_its_queues_when_killed_and_leaves_no_process_behind():
    with skipped_if_unavailable(), rabbitmq_service() as service:
        with pytest.raises(amqp.AccessRefused), amqp_connection(service.url, "guess"):
            pass
        with amqp_connection(service.url) as connection:
            connection.channel().queue_declare("kept", durable=True, auto_delete=False)
        service.stop(signal.SIGKILL)
        service.start()
        with amqp_connection(service.url) as connection:
            assert connection.channel().queue_declare("kept", passive=True).message_count == 0
        words = f"windlass{urllib.parse.urlsplit(service.url).port}", service.options["env"]["ERL_EPMD_PORT"]
        assert running_with(*words)
    assert running_with(*words) == []


def running_with(*words):
    """Return the processes whose command line has one of the words."""
    lines = [(pid, Path(f"/proc/{pid}/cmdline")) for pid in processes()]
    return [pid for pid, path in lines if path.exists() and any(word.encode() in path.read_bytes() for word in words)]
