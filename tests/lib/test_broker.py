"""Messages: ids only, signed; anything else is refused before a task sees it; folders are safe between processes."""

import errno
import json
import multiprocessing
import queue
from pathlib import Path

import pytest
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

import broker
from tests.fleet.keeper import free_port


@pytest.fixture
def connection(settings):
    """The embedded broker of this test."""
    url, options = broker.transport()
    with Connection(url, transport_options=options) as connection:
        yield connection


def test_what_is_signed_comes_back(settings):
    assert broker.loads(broker.dumps([[1, 2], {}, None])) == [[1, 2], {}, None]


@pytest.mark.parametrize(
    "forge",
    [
        lambda text: text.partition(".")[2],
        lambda text: "0" * 64 + "." + text.partition(".")[2],
        lambda text: text.replace("1", "2"),
        lambda text: "." + text.partition(".")[2],
        lambda text: "",
    ],
    ids=["unsigned", "another key", "changed", "empty signature", "nothing"],
)
def test_a_message_that_windlass_did_not_write_is_refused(settings, forge):
    text = broker.dumps([[1], {}, None])
    forged = forge(text)
    if forged == text:
        pytest.skip("nothing to change in this signature")
    with pytest.raises(broker.BadSignature):
        broker.loads(forged)


def test_another_installations_messages_are_refused(settings, tmp_path):
    import secretbox

    text = broker.dumps([[1], {}, None])
    settings.secret.key_file = str(tmp_path / "other.key")
    secretbox.box_of.cache_clear()
    with pytest.raises(broker.BadSignature):
        broker.loads(text)


def test_only_signed_messages_are_accepted_by_the_worker(settings):
    assert broker.make_celery().conf.accept_content == [broker.SERIALIZER]


def test_messages_keep_their_order_and_leave_no_file(connection, settings):
    inbox = connection.SimpleQueue("windlass")
    for number in range(20):
        inbox.put({"number": number})
    assert [inbox.get(timeout=60).payload["number"] for _ in range(20)] == list(range(20))
    with pytest.raises(queue.Empty):
        inbox.get_nowait()
    assert not list(broker.data_path("broker", "x").parent.iterdir())


def test_queues_are_apart(connection):
    connection.SimpleQueue("zone.a").put({"for": "a"})
    with pytest.raises(queue.Empty):
        connection.SimpleQueue("zone.b").get_nowait()
    assert connection.SimpleQueue("zone.a").get(timeout=60).payload == {"for": "a"}


def test_a_message_that_has_no_room_leaves_nothing_behind(connection, settings, monkeypatch):
    inbox = connection.SimpleQueue("windlass")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("filesystem_broker.dumps", full)
    with pytest.raises(OSError, match="No space left"):
        inbox.channel._put("windlass", {})
    assert list(Path(settings.data, "broker").iterdir()) == []


def test_rabbitmq_confirms_and_whoever_enqueues_does_not_wait_for_one_that_is_away(settings):
    settings.broker.url = f"amqp://windlass:secret@127.0.0.1:{free_port()}//"
    url, options = broker.transport()
    with pytest.raises(OperationalError), Connection(url, transport_options=options) as connection:
        connection.default_channel.close()
    assert options["confirm_publish"] is True


def write_many(url, options, first):
    """In a process of its own: put 100 messages."""
    with Connection(url, transport_options=options) as connection:
        outbox = connection.SimpleQueue("windlass")
        for number in range(first, first + 100):
            outbox.put({"number": number, "padding": "x" * 5000})


def test_a_reader_never_sees_half_a_message_of_writers_in_other_processes(connection, settings):
    broker.make_celery()
    url, options = broker.transport()
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(url, options, first)) for first in (0, 100, 200)]
    for writer in writers:
        writer.start()
    inbox = connection.SimpleQueue(Queue("windlass", routing_key="windlass"))
    numbers = {inbox.get(timeout=30).payload["number"] for _ in range(300)}
    for writer in writers:
        writer.join()
    assert numbers == set(range(300))


def test_a_signed_body_is_plain_json_behind_its_signature(settings):
    assert json.loads(broker.dumps([[7], {}, None]).partition(".")[2]) == [[7], {}, None]
