"""What the decorators promise: a cache that never mixes callers up, JSONP for public data only, in memory and in Redis alike."""

import importlib
import threading

import pytest
import redis

import config
from controllers.actor import Actor
from utils import decorators
from utils.decorators import auth, jsonp, jsonp_body, validate

ADA, BOB = Actor("ada", 1), Actor("bob", 2)
BACK_ENDS = ["utils.decorators", "utils.redis.decorators"]


@pytest.fixture(params=BACK_ENDS)
def cache(request, settings):
    """`request_cache` of one back-end, empty, chosen by import alone."""
    if request.param == "utils.redis.decorators":
        settings.redis.url = request.getfixturevalue("redis_url")
        redis.Redis.from_url(settings.redis.url).flushall()
    return importlib.import_module(request.param).request_cache


@pytest.fixture
def redis_away(settings):
    """The Redis back-end while nothing answers at redis.url."""
    from utils.redis import decorators as shared

    settings.redis.url = "redis://:hunter2@127.0.0.1:1/0"
    shared.shared = shared.Shared()
    return shared


def counting(cache, seconds=60):
    """Return a cached handler that answers with its arguments, and the list of its real calls."""
    calls = []

    @cache(seconds)
    def handler(**arguments):
        calls.append(arguments)
        actor = arguments.pop("actor", None)
        return {"for": actor.name if actor else None, **arguments, "call": len(calls)}

    return handler, calls


def test_an_answer_is_kept(cache):
    handler, calls = counting(cache)
    first = handler(actor=ADA, query={"limit": 5})
    assert handler(actor=ADA, query={"limit": 5}) == first and len(calls) == 1


def test_callers_never_see_each_others_answers(cache):
    handler, _ = counting(cache)
    assert handler(actor=ADA)["for"] == "ada"
    assert handler(actor=BOB)["for"] == "bob"
    assert handler(actor=None)["for"] is None
    assert handler(actor=Actor("ada", 3))["for"] == "ada" and handler(actor=Actor("ada", 1, is_administrator=True))["call"] == 5


def test_paths_and_queries_are_kept_apart(cache):
    handler, calls = counting(cache)
    answers = [
        handler(actor=ADA, name="a", query={"limit": 1}),
        handler(actor=ADA, name="a", query={"limit": 2}),
        handler(actor=ADA, name="b", query={"limit": 1}),
        handler(actor=ADA, name="a", query={"limit": "1"}),
    ]
    assert len(calls) == 4 and len({answer["call"] for answer in answers}) == 4


def test_routes_are_kept_apart(cache):
    @cache(60)
    def first():
        return {"route": 1}

    @cache(60)
    def second():
        return {"route": 2}

    assert (first(), second(), first()) == ({"route": 1}, {"route": 2}, {"route": 1})


def test_an_answer_is_kept_for_its_time_only(cache):
    handler, calls = counting(cache, seconds=0.05)
    handler(actor=ADA)
    waited = threading.Event()
    while len(calls) < 2:
        waited.wait(0.01)
        handler(actor=ADA)
    assert len(calls) == 2


def test_errors_are_not_kept(cache):
    outcomes = iter([ValueError("first"), {"ok": True}])

    @cache(60)
    def handler():
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(ValueError):
        handler()
    assert handler() == {"ok": True}


def test_who_changes_an_answer_changes_only_theirs(cache):
    handler, _ = counting(cache)
    handler(actor=ADA)["items"] = "mine"
    assert "items" not in handler(actor=ADA)


def test_a_very_large_answer_is_given_but_not_kept_in_memory():
    calls = []

    @decorators.request_cache(60)
    def handler():
        calls.append(1)
        return {"text": "x" * decorators.LARGEST_ANSWER}

    assert handler() == handler() and len(calls) == 2


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_a_cache_that_could_not_tell_callers_apart_is_refused_at_import(back_end):
    cache = importlib.import_module(back_end).request_cache
    with pytest.raises(TypeError, match="below @auth"):
        cache(1)(auth()(lambda actor: {}))
    with pytest.raises(TypeError, match="below @auth"):
        cache(1)(validate(query=object)(lambda query: {}))


def test_what_lies_in_redis_is_json_and_never_unpickled(settings, redis_url):
    from utils.redis import decorators as shared

    settings.redis.url = redis_url
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    handler, _ = counting(shared.request_cache)
    answer = handler(actor=ADA)
    (key,) = client.keys("*")
    assert client.get(key) == b'{"call":1,"for":"ada"}' and b"ada" not in key and client.pttl(key) > 0
    client.set(key, b"cos\nsystem\n(S'true'\ntR.")
    assert answer == {"for": "ada", "call": 1} and handler(actor=ADA) == {"for": "ada", "call": 2}


def test_without_redis_every_request_is_worked_out_and_told_of_once(redis_away, caplog):
    handler, calls = counting(redis_away.request_cache)
    for _ in range(5):
        handler(actor=ADA)
    assert len(calls) == 5
    assert len(caplog.records) == 1 and "hunter2" not in caplog.text


def test_redis_is_tried_again_after_a_while(redis_away, redis_url):
    handler, _ = counting(redis_away.request_cache)
    handler(actor=ADA)
    config.settings.redis.url = redis_url
    redis.Redis.from_url(redis_url).flushall()
    assert handler(actor=ADA)["call"] == 2
    redis_away.shared.away_until = 0.0
    assert handler(actor=ADA)["call"] == handler(actor=ADA)["call"] == 3


def test_no_redis_configured_is_no_cache_and_no_noise(settings, caplog):
    from utils.redis import decorators as shared

    handler, calls = counting(shared.request_cache)
    handler(actor=ADA), handler(actor=ADA)
    assert len(calls) == 2 and not caplog.records


def test_jsonp_is_refused_where_credentials_are_read():
    with pytest.raises(TypeError, match="no credentials"):
        jsonp(auth()(lambda actor: {}))


@pytest.mark.parametrize("name", ["cb", "$", "_x1", "jQuery.cb_1", "a.b.c.d"])
def test_a_callback_is_the_name_of_a_function(name):
    assert jsonp_body(name, b'{"a":1}') == f'/**/{name}({{"a":1}});'.encode()


@pytest.mark.parametrize(
    "name", ["", "1a", "a b", "alert(1)//", "a;b", "a[0]", "a..b", "a.b.c.d.e", "x" * 65, "ä", "a\n", "<script>"]
)
def test_a_callback_cannot_be_code(name):
    with pytest.raises(ValueError):
        jsonp_body(name, b"{}")


def test_line_separators_cannot_end_a_script():
    script = jsonp_body("cb", '{"a":"\u2028\u2029"}'.encode())
    assert "\u2028" not in script.decode() and "\u2029" not in script.decode()
