"""The load generator of bench/api counts whole answers, and only those that are 200."""

import pytest

from bench.answering import take_answer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


def test_an_answer_is_taken_when_it_is_whole():
    received = bytearray()
    for byte in ANSWER[:-1]:
        received.append(byte)
        assert not take_answer(received)
    received += ANSWER[-1:] + b"HTTP"
    assert take_answer(received) and received == b"HTTP"


def test_a_refusal_is_no_answer():
    with pytest.raises(RuntimeError, match="401"):
        take_answer(bytearray(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
