"""Idempotency-Key: the same POST twice does its work once."""

import threading

import pytest

from controllers import idempotency
from controllers.access import sessions
from controllers.access.tokens import TokenController
from models import IdempotencyKey, Token, User
from models.db import clock, release
from tests.client import ApiClient, assert_problem

pytestmark = pytest.mark.both_databases

KEY = "a-key-of-the-client"


def post(client, body=None, path="/tokens", key=KEY):
    return client.post(path, body or {"name": "ci"}, headers={"Idempotency-Key": key})


def test_the_first_answer_is_given_again(api):
    first, second = post(api), post(api)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json == first.json and second.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers and second.headers["Idempotency-Replayed"] == "true"
    assert Token.select().where(Token.name == "ci").count() == 1


def test_a_secret_in_a_remembered_answer_is_not_readable_in_the_database(api):
    secret = post(api).json["secret"]
    assert secret not in repr(list(IdempotencyKey.select().dicts()))


def test_without_a_key_the_work_is_done_each_time(api):
    assert api.post("/tokens", {"name": "ci"}).json["id"] != api.post("/tokens", {"name": "ci"}).json["id"]


@pytest.mark.parametrize(
    "path, body",
    [
        ("/tokens", {"name": "other"}),
        ("/tokens", {"name": "ci", "expires_at": None}),
        ("/environments", {"name": "ci"}),
    ],
)
def test_a_key_cannot_be_used_for_another_request(api, path, body):
    post(api)
    assert_problem(post(api, body, path), 422, "idempotency-key-reused")
    assert Token.select().where(Token.name == "ci").count() == 1


def test_a_refusal_is_remembered_too_under_its_own_request_id(api):
    first, second = post(api, {"name": ""}), post(api, {"name": ""})
    assert_problem(first, 422, "invalid")
    problem = assert_problem(second, 422, "invalid")
    assert second.headers["Idempotency-Replayed"] == "true"
    assert problem["request_id"] == second.headers["X-Request-Id"] != first.json["request_id"]


def test_a_failure_of_the_server_is_not_remembered(api, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(TokenController, "create", lambda *_: 1 / 0)
        assert_problem(post(api), 500, "internal-error")
    again = post(api)
    assert again.status_code == 201 and "Idempotency-Replayed" not in again.headers


def test_while_the_first_is_being_worked_on_the_second_is_refused(api, application, monkeypatch):
    begun, may_end, answers = threading.Event(), threading.Event(), []
    create = TokenController.create

    def slow_create(*arguments):
        begun.set()
        assert may_end.wait(20)
        return create(*arguments)

    monkeypatch.setattr(TokenController, "create", slow_create)
    first = threading.Thread(target=lambda: answers.append(post(ApiClient(application, api.token))))
    first.start()
    assert begun.wait(20)
    refused = post(api)
    assert_problem(refused, 409, "request-in-flight")
    assert int(refused.headers["Retry-After"]) > 0
    may_end.set()
    first.join(20)
    assert answers[0].status_code == 201 and post(api).json == answers[0].json


def test_a_crash_in_flight_frees_the_key_after_a_while(api, administrator):
    idempotency.claim(administrator, KEY, "POST", "/api/v1/tokens", b'{"name": "ci"}')
    assert_problem(post(api), 409, "request-in-flight")
    IdempotencyKey.update(created_at=clock() - idempotency.IN_FLIGHT_MS - 1000).execute()
    assert post(api).status_code == 201


def test_keys_are_forgotten_after_a_day(api):
    first = post(api)
    IdempotencyKey.update(created_at=clock() - idempotency.RETENTION_MS - 1000).execute()
    assert post(api).json["id"] != first.json["id"]


def test_keys_belong_to_their_user(api, application):
    user = User.create(name="colleague", created_at=clock())
    Token.create(user=user, name="laptop", secret_hash=sessions.digest("colleagues-token"), created_at=clock())
    assert post(api).json["user"] == "admin"
    assert post(ApiClient(application, "colleagues-token")).json["user"] == "colleague"


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9", "a\tb"])
def test_a_key_that_is_none_is_refused(api, key):
    assert_problem(post(api, key=key), 400, "idempotency-key-malformed")
    assert Token.select().where(Token.name == "ci").count() == 0


def test_a_key_of_somebody_unknown_is_refused_like_any_request(api, anonymous):
    assert_problem(post(anonymous), 401, "unauthenticated")
    assert IdempotencyKey.select().count() == 0


def test_an_answer_sealed_with_a_lost_key_is_not_made_up(api, settings, tmp_path):
    post(api)
    settings.secret.key_file = str(tmp_path / "another.key")
    assert_problem(post(api), 409, "idempotency-answer-lost")
    assert Token.select().where(Token.name == "ci").count() == 1


def test_two_at_the_same_moment_do_the_work_once(api, application):
    barrier, statuses = threading.Barrier(4), []

    def race():
        client = ApiClient(application, api.token)
        barrier.wait(20)
        statuses.append(post(client).status_code)
        release()

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(20)
    assert sorted(set(statuses)) in ([201], [201, 409])
    assert Token.select().where(Token.name == "ci").count() == 1
