"""PostgreSQL and Redis for tests work, are private and end with the test."""

import urllib.parse
from pathlib import Path

import psycopg
import pytest
import redis

from . import FleetError, postgresql, redis_server
from .fixtures import skipped_if_unavailable


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
