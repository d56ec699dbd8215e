"""JSON and tags."""

import pytest

from secretbox import Secret
from utils.core import from_json, tag_of, to_json


def test_equal_values_give_equal_bytes_and_tags():
    assert to_json({"b": 1, "a": [True, None, "é"]}) == '{"a":[true,null,"é"],"b":1}'.encode()
    assert tag_of(to_json({"a": 1, "b": 2})) == tag_of(to_json({"b": 2, "a": 1})) != tag_of(to_json({"a": 1, "b": 3}))


def test_a_tag_is_a_strong_one_in_quotes():
    tag = tag_of(b"")
    assert tag[0] == tag[-1] == '"' and len(tag) == 34


@pytest.mark.parametrize("value", [Secret("hunter2"), {"a": Secret("hunter2")}, {1, 2}, object(), "\ud800"])
def test_what_json_cannot_hold_is_refused_without_showing_it(value):
    with pytest.raises(TypeError) as refused:
        to_json(value)
    assert "hunter2" not in str(refused.value)


def test_a_text_that_pretends_to_be_more_is_not_written():
    class Token(str):
        """A str that somebody thought would hide itself."""

    with pytest.raises(TypeError):
        to_json([Token("hunter2")])


def test_only_json_is_read():
    assert from_json(b'{"a": 1}') == {"a": 1}
    for text in (b"", b"NaN", b"{'a': 1}", b"\xff"):
        with pytest.raises(ValueError):
            from_json(text)
