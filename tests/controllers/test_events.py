"""Histories have no gaps, whoever writes at the same time, and followers miss nothing."""

import threading

import pytest

from controllers import events
from models.db import connection

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.both_databases]


def texts(found):
    return [event["text"] for event in found]


def test_numbers_start_at_one_and_go_up_by_one_in_each_topic():
    assert events.append("deploy-1", [{"kind": "output", "text": "a"}, {"kind": "output", "text": "b"}]) == 2
    assert events.append("deploy-1", [{"kind": "output", "text": "c"}]) == 3
    assert events.append("deploy-2", [{"kind": "output", "text": "d"}]) == 1
    assert [event["number"] for event in events.read("deploy-1")] == [1, 2, 3]


def test_writers_at_once_leave_no_gap_and_no_number_twice():
    def write():
        for _ in range(10):
            with connection():
                events.append("busy", [{"kind": "output", "text": "x"}] * 3)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event["number"] for event in events.read("busy")] == list(range(1, 181))


def test_an_append_that_is_undone_takes_no_number(database):
    with pytest.raises(RuntimeError), database.atomic():
        events.append("undone", [{"kind": "output", "text": "lost"}])
        raise RuntimeError
    assert events.append("undone", [{"kind": "output", "text": "kept"}]) == 1
    assert texts(events.read("undone")) == ["kept"]


def test_a_page_begins_after_a_number_and_ends_at_its_limit():
    events.append("long", [{"kind": "output", "text": str(number)} for number in range(10)])
    assert texts(events.read("long", after=3, limit=2)) == ["3", "4"]


def test_followers_get_what_is_there_then_what_comes_and_stop_at_the_end():
    events.append("live", [{"kind": "output", "text": "before"}])
    received, started = [], threading.Event()

    def follow():
        for event in events.follow("live", 0, lambda event: event["text"] == "end"):
            if event is not None:
                received.append(event["text"])
                started.set()

    follower = threading.Thread(target=follow)
    follower.start()
    assert started.wait(60)
    for text in ("one", "two", "end", "after the end"):
        with connection():
            events.append("live", [{"kind": "output", "text": text}])
    follower.join(60)
    assert received == ["before", "one", "two", "end"]


def test_a_follower_that_resumes_gets_exactly_the_rest():
    events.append("again", [{"kind": "output", "text": text} for text in "abcd"])
    assert texts(list(events.follow("again", 2, lambda event: event["text"] == "d"))) == ["c", "d"]


def test_a_quiet_topic_gives_heartbeats(monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    assert next(events.follow("silence", 0, lambda event: False)) is None


def test_followers_that_leave_are_forgotten():
    stream = events.follow("gone", 0, lambda event: False)
    events.append("gone", [{"kind": "output", "text": "x"}])
    next(stream)
    assert "gone" in events._watchers.places
    stream.close()
    assert "gone" not in events._watchers.places
