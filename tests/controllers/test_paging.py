"""Lists page by page: everything once, in order, whatever happens in between."""

import base64

import pytest

from controllers import paging
from controllers.errors import Invalid
from models import Environment, User

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.both_databases]


def users(**options):
    return paging.page(User.select(), User.name, lambda user: user.name, **options)


def walk(page, **options):
    """Return the pages of a list, from the first to the last."""
    pages, after = [], None
    while True:
        found = page(after=after, **options)
        pages.append(found["items"])
        after = found["next"]
        if after is None:
            return pages


def make_users(*names):
    for name in names:
        User.create(name=name, created_at=0)


def test_every_item_comes_once_in_order():
    make_users("d", "a", "c", "e", "b")
    assert walk(users, limit=2) == [["a", "b"], ["c", "d"], ["e"]]
    assert walk(users, limit=2, newest_first=True) == [["e", "d"], ["c", "b"], ["a"]]
    assert walk(users, limit=5) == [["a", "b", "c", "d", "e"]] and walk(users, limit=50) == [["a", "b", "c", "d", "e"]]


def test_an_empty_list_is_one_empty_page():
    assert users() == {"items": [], "next": None}


def test_what_comes_and_goes_moves_nobody_else():
    make_users("b", "d", "f", "h")
    first = users(limit=2)
    User.delete().where(User.name == "d").execute()
    make_users("a", "e")
    assert first["items"] == ["b", "d"] and users(limit=9, after=first["next"])["items"] == ["e", "f", "h"]


def test_an_order_of_two_columns():
    for name, position in (("b", 1), ("a", 1), ("c", 0), ("d", 2)):
        Environment.create(name=name, position=position, created_at=0, updated_at=0)

    def environments(**options):
        return paging.page(Environment.select(), (Environment.position, Environment.name), lambda row: row.name, **options)

    assert walk(environments, limit=1) == [["c"], ["a"], ["b"], ["d"]]


def cursor(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "after",
    [
        "",
        "*",
        "\u2713",
        "a",
        cursor("[]"),
        cursor("[1]"),
        cursor('["a","b"]'),
        cursor('["a\\u0000"]'),
        cursor('"a"'),
        cursor("[null]"),
        cursor('[{"a":1}]'),
        cursor("{"),
        "A" * 1001,
    ],
)
def test_a_cursor_from_elsewhere_is_refused(after):
    make_users("a")
    with pytest.raises(Invalid) as refused:
        users(after=after)
    assert [error["field"] for error in refused.value.errors] == ["after"]


def test_an_umlaut_in_a_key_is_no_obstacle():
    make_users("\u00e4", "\u2713", "z")
    assert [name for page in walk(users, limit=1) for name in page] == ["z", "\u00e4", "\u2713"]
