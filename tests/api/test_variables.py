"""A target's variables as callers see them, and that nobody ever sees a secret one."""

import logging

import pytest

import secretbox
from controllers.actor import WINDLASS
from controllers.catalog import variables
from controllers.controller import Controller
from controllers.errors import Unavailable
from models import Variable
from tests import factories
from tests.client import assert_problem

PATH = "/applications/shop/targets/production/variables"
SECRET = "geheim-8f3a-wort"


@pytest.fixture(autouse=True)
def target(api):
    """A target without variables."""
    factories.application("shop")
    factories.environment("production")
    factories.host("web-1")
    assert api.put("/applications/shop/targets/production", {"hosts": ["web-1"]}).status_code == 201


def engine_sees():
    """Return the variables as the engine gets them."""
    return variables.environment_of(Controller(WINDLASS).target("shop", "production"))


def test_there_are_none_at_first(api):
    assert api.get(PATH).json == {"variables": {}, "updated_at": None}


def test_plain_ones_are_shown_and_secret_ones_named(api):
    answer = api.put(
        PATH,
        {
            "variables": {
                "LOG_LEVEL": "info",
                "EMPTY": "",
                "PASSWORD": {"value": SECRET, "secret": True},
                "OPEN": {"value": "x", "secret": False},
            }
        },
    )
    assert answer.status_code == 200
    assert answer.json["variables"] == {"EMPTY": "", "LOG_LEVEL": "info", "OPEN": "x", "PASSWORD": {"secret": True}}
    assert api.get(PATH).json == answer.json
    assert engine_sees() == {"EMPTY": "", "LOG_LEVEL": "info", "OPEN": "x", "PASSWORD": SECRET}
    assert variables.secrets_of(Controller(WINDLASS).target("shop", "production")) == {SECRET}


def test_a_secret_is_nowhere_but_with_the_engine(api, caplog):
    caplog.set_level(logging.DEBUG)
    answers = [
        api.put(PATH, {"variables": {"PASSWORD": {"value": SECRET, "secret": True}}}),
        api.get(PATH),
        api.get("/applications/shop/targets/production"),
        api.get("/applications/shop"),
        api.get("/status"),
        api.put(PATH, {"variables": {"PASSWORD": {"value": SECRET, "secret": 1}}}),
        api.put(PATH, {"variables": {"PORT": {"value": SECRET, "secret": True}}}),
        api.put(PATH, {"variables": {"A": SECRET + "\0"}}),
        api.put(PATH, {"variables": {"A": [SECRET]}}),
        api.put(PATH, {"variables": SECRET}),
        api.patch(PATH, {"variables": {"A": {"value": SECRET, "x": SECRET}}}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5 + [422, 422, 400, 422, 422, 422]
    assert not [answer.text for answer in answers if SECRET in answer.text]
    assert SECRET not in caplog.text
    assert SECRET not in Variable.get().value, "it must be encrypted at rest"


def test_put_replaces_all(api):
    api.put(PATH, {"variables": {"A": "1", "B": "2"}})
    assert api.put(PATH, {"variables": {"B": "3", "C": "4"}}).json["variables"] == {"B": "3", "C": "4"}
    assert api.put(PATH, {"variables": {}}).json["variables"] == {}


def test_patch_changes_and_removes_some(api):
    api.put(PATH, {"variables": {"A": "1", "B": "2", "C": "3"}})
    changed = api.patch(PATH, {"variables": {"A": None, "B": "two", "D": {"value": SECRET, "secret": True}, "GONE": None}}).json
    assert changed["variables"] == {"B": "two", "C": "3", "D": {"secret": True}}


def test_the_answer_of_get_can_be_put_back(api):
    api.put(PATH, {"variables": {"A": "1", "PASSWORD": {"value": SECRET, "secret": True}}})
    api.put(PATH, {"variables": {**api.get(PATH).json["variables"], "B": "2"}})
    assert engine_sees() == {"A": "1", "B": "2", "PASSWORD": SECRET}


def test_a_plain_one_becomes_secret_and_back_only_with_its_value(api):
    api.put(PATH, {"variables": {"A": SECRET}})
    assert api.patch(PATH, {"variables": {"A": {"secret": True}}}).json["variables"] == {"A": {"secret": True}}
    assert (engine_sees(), SECRET in Variable.get().value) == ({"A": SECRET}, False)
    assert_problem(api.patch(PATH, {"variables": {"A": {"secret": False}}}), 422, "invalid")
    assert api.patch(PATH, {"variables": {"A": "new"}}).json["variables"] == {"A": "new"}


def test_a_secret_without_a_value_must_be_stored_already(api):
    problem = assert_problem(api.put(PATH, {"variables": {"A": "1", "PASSWORD": {"secret": True}}}), 422, "invalid")
    assert [error["field"] for error in problem["errors"]] == ["variables.PASSWORD"]
    assert api.get(PATH).json["variables"] == {}


def test_what_others_set_is_reserved(api):
    for name in (
        "SOCKET",
        "PORT",
        "PATH",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "PYTHONHOME",
        "WINDLASS_X",
        "IFS",
        "UID",
        "BASH_ENV",
    ):
        for call in (api.put, api.patch):
            problem = assert_problem(call(PATH, {"variables": {"A": "1", name: "x"}}), 422, "invalid")
            assert problem["errors"][0]["field"] == f"variables.{name}"
            assert "choose another name" in problem["errors"][0]["message"]
    assert engine_sees() == {}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"variables": None},
        {"variables": []},
        {"variables": {"": "x"}},
        {"variables": {"1A": "x"}},
        {"variables": {"A-B": "x"}},
        {"variables": {"A": 1}},
        {"variables": {"A": True}},
        {"variables": {"A": {}}},
        {"variables": {"A": {"value": "x", "more": 1}}},
        {"variables": {"A": "x" * 32_769}},
        {"variables": {"A": "1"}, "x": 1},
        {"A": "1"},
    ],
)
def test_bad_bodies_change_nothing(api, body):
    api.put(PATH, {"variables": {"KEPT": "1"}})
    for call in (api.put, api.patch):
        assert_problem(call(PATH, body), 422, "invalid")
    assert engine_sees() == {"KEPT": "1"}


def test_null_is_no_value_in_a_put(api):
    assert_problem(api.put(PATH, {"variables": {"A": None}}), 422, "invalid")


def test_values_survive_as_they_are(api):
    odd = {
        "A": "two\nlines",
        "B": " spaces ",
        "C": "$HOME `id` \"'\\",
        "D": "ünïcode ☂",
        "E": "x" * 32_768,
        "F": "%(x)s",
        "G": "a\tb\x1b",
    }
    assert api.put(PATH, {"variables": odd}).json["variables"] == odd
    assert engine_sees() == odd


def test_if_match_sees_a_new_secret_too(api):
    api.put(PATH, {"variables": {"PASSWORD": {"value": SECRET, "secret": True}}})
    tag = api.get(PATH).headers["ETag"]
    assert (
        api.patch(
            PATH, {"variables": {"PASSWORD": {"value": "another-secret", "secret": True}}}, headers={"If-Match": tag}
        ).status_code
        == 200
    )
    for call in (api.put, api.patch):
        assert_problem(
            call(PATH, {"variables": {"PASSWORD": {"value": "a-third-one", "secret": True}}}, headers={"If-Match": tag}),
            412,
            "precondition-failed",
        )
    assert engine_sees() == {"PASSWORD": "another-secret"}


def test_a_lost_key_is_said_and_a_new_value_heals_it(api, settings, tmp_path):
    api.put(PATH, {"variables": {"PASSWORD": {"value": SECRET, "secret": True}}})
    settings.secret.key_file = str(tmp_path / "another.key")
    secretbox.box_of.cache_clear()
    assert api.get(PATH).json["variables"] == {"PASSWORD": {"secret": True}}
    with pytest.raises(Unavailable, match="PASSWORD"):
        engine_sees()
    assert api.patch(PATH, {"variables": {"PASSWORD": {"value": SECRET, "secret": True}}}).status_code == 200
    assert engine_sees() == {"PASSWORD": SECRET}


def test_without_a_target_there_are_none(api):
    factories.environment("staging", 1)
    for call in (
        api.get,
        lambda path: api.put(path, {"variables": {}}),
        lambda path: api.patch(path, {"variables": {}}),
    ):
        assert_problem(call("/applications/shop/targets/staging/variables"), 404, "not-found")
