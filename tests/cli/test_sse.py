"""The parser of event streams, on the cases of the HTML standard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass_cli.api.sse import EventParser, Message


def parse(text, size=None):
    parser = EventParser()
    data = text.encode() if isinstance(text, str) else text
    pieces = [data] if size is None else [data[start : start + size] for start in range(0, len(data), size)]
    return [message for piece in pieces for message in parser.feed(piece)]


@pytest.mark.parametrize(
    "text, messages",
    [
        ("id: 7\nevent: host\ndata: {}\n\n", [Message("7", "host", "{}")]),
        ("data: one\ndata: two\n\n", [Message("", "message", "one\ntwo")]),
        ("data:no blank\n\n", [Message("", "message", "no blank")]),
        ("data:  two blanks\n\n", [Message("", "message", " two blanks")]),
        (": comment\n\n", []),
        ("event: host\n\ndata: x\n\n", [Message("", "message", "x")]),
        ("id: 3\ndata: a\n\ndata: b\n\n", [Message("3", "message", "a"), Message("3", "message", "b")]),
        ("id: 3\0\ndata: a\n\n", [Message("", "message", "a")]),
        ("data: unfinished\n", []),
        ("data\n\n", [Message("", "message", "")]),
        ("unknown: x\ndata: a\n\n", [Message("", "message", "a")]),
        ("\ufeffdata: after a byte order mark\n\n", [Message("", "message", "after a byte order mark")]),
    ],
)
def test_the_standards_cases(text, messages):
    assert parse(text) == messages


@given(
    st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1), min_size=1),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 7),
)
def test_bytes_may_be_cut_anywhere_whatever_ends_the_lines(texts, end, size):
    stream = "".join(f"id: {number}{end}data: {text}{end}{end}" for number, text in enumerate(texts)) + f": the end{end}"
    assert parse(stream, size) == [Message(str(number), "message", text) for number, text in enumerate(texts)]


def test_bytes_that_are_no_text_do_not_break_the_stream():
    assert parse(b"data: \xff\xfe\n\ndata: b\n\n")[-1] == Message("", "message", "b")


def test_the_pause_that_the_server_asks_for_is_kept():
    parser = EventParser()
    parser.feed(b"retry: 1500\nretry: soon\n\n")
    assert parser.retry_s == 1.5
