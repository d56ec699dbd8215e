"""How a history becomes a stream of server-sent events."""

import json

import pytest

from api import sse


def lines(events):
    """Return the lines of a stream of these events."""
    return b"".join(sse.as_stream(events)).decode().split("\n")


def test_an_event_is_one_message():
    event = {"number": 18, "kind": "output", "host": "web-1", "text": "two\nlines: ü\r\u2028\0"}
    written = lines([event])
    assert written[:2] == ["retry: 2000", ""]
    assert written[2:4] == ["id: 18", "event: output"]
    assert written[4].startswith("data: ")
    assert json.loads(written[4].removeprefix("data: ")) == event, "a line break in a text must not break the message"
    assert written[5:] == ["", ""]


def test_a_heartbeat_is_a_comment():
    assert lines([None])[2:] == [":", "", ""]


def test_the_source_is_closed_when_the_client_goes_away():
    closed = []

    def source():
        try:
            while True:
                yield None
        finally:
            closed.append(True)

    stream = sse.as_stream(source())
    next(stream), next(stream)
    stream.close()
    assert closed == [True]


@pytest.mark.parametrize(
    "header, asked, after",
    [
        (None, None, None),
        ("17", None, 17),
        ("17", 3, 17),
        (None, 3, 3),
        ("0", None, 0),
        ("", 3, 3),
        ("-1", 3, 3),
        ("x", None, None),
        ("1e3", None, None),
        ("٣", None, None),
        ("9" * 30, None, None),
    ],
)
def test_a_stream_goes_on_after_the_last_event_seen(header, asked, after):
    assert sse.place(header, {"last_event_id": asked}) == after
