"""Query strings and paths."""

import pytest

from utils.urlkit import fill_path, query_pairs, with_parameter


def test_query_stenqueues_are_read_strictly():
    assert query_pairs("a=1&b=&c=%C3%A9+x") == [("a", "1"), ("b", ""), ("c", "é x")]
    with pytest.raises(ValueError):
        query_pairs("a=%ff")
    with pytest.raises(ValueError):
        query_pairs("&".join(["a=1"] * 101))


def test_values_cannot_leave_their_place_in_a_path():
    assert fill_path("/hosts/{name}", {"name": "../a b?x#y/ü", "id": 1}) == "/hosts/..%2Fa%20b%3Fx%23y%2F%C3%BC"


def test_a_parameter_is_replaced_and_the_others_stay():
    assert with_parameter("/tokens", "after=old&limit=2&q=a%26b", "after", "n=w") == "/tokens?limit=2&q=a%26b&after=n%3Dw"
