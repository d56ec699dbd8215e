"""Idempotency keys: what is stored of an answer, and for how long."""

import pytest

from controllers import idempotency
from controllers.errors import Conflict, Invalid
from models import IdempotencyKey
from models.db import clock

pytestmark = pytest.mark.both_databases

REQUEST = ("POST", "/api/v1/deploys", b"{}")


def claim(actor, key="k", request=REQUEST):
    return idempotency.claim(actor, key, *request)


def test_an_answer_comes_back_whole(administrator):
    row_id, first = claim(administrator)
    assert first is None
    idempotency.remember(row_id, 201, {"id": 7, "text": "\u2713"}, {"Location": "/api/v1/deploys/7"})
    assert claim(administrator) == (
        None,
        {"status": 201, "body": {"id": 7, "text": "\u2713"}, "headers": {"Location": "/api/v1/deploys/7"}},
    )


def test_an_answer_without_a_body_comes_back_too(administrator):
    row_id, _ = claim(administrator)
    idempotency.remember(row_id, 204, None, {})
    assert claim(administrator)[1] == {"status": 204, "body": None, "headers": {}}


@pytest.mark.parametrize(
    "other",
    [
        ("PUT", *REQUEST[1:]),
        ("POST", "/api/v1/hosts", b"{}"),
        ("POST", "/api/v1/deploys", b"{ }"),
        ("POST", "/api/v1/deploys{}", b""),
    ],
)
def test_method_path_and_body_all_belong_to_the_request(administrator, other):
    claim(administrator)
    with pytest.raises(Invalid) as refused:
        claim(administrator, request=other)
    assert refused.value.code == "idempotency-key-reused"


def test_a_key_in_flight_is_held_until_it_is_forgotten(administrator):
    row_id, _ = claim(administrator)
    with pytest.raises(Conflict) as refused:
        claim(administrator)
    assert refused.value.code == "request-in-flight"
    idempotency.forget(row_id)
    assert claim(administrator)[0] is not None


def test_age_frees_keys_in_flight_sooner_than_answers(administrator):
    stuck, _ = claim(administrator, "stuck")
    answered, _ = claim(administrator, "answered")
    idempotency.remember(answered, 201, {}, {})
    IdempotencyKey.update(created_at=clock() - idempotency.IN_FLIGHT_MS - 1000).execute()
    assert claim(administrator, "stuck")[0] not in (None, stuck)
    assert claim(administrator, "answered")[1]["status"] == 201
    IdempotencyKey.update(created_at=clock() - idempotency.RETENTION_MS - 1000).execute()
    assert claim(administrator, "answered")[0] is not None and IdempotencyKey.select().count() == 1


def test_who_finishes_after_their_time_changes_nothing_of_the_second_try(administrator):
    late, _ = claim(administrator)
    IdempotencyKey.update(created_at=clock() - idempotency.IN_FLIGHT_MS - 1000).execute()
    second, _ = claim(administrator)
    idempotency.remember(late, 201, {"by": "late"}, {})
    idempotency.remember(second, 201, {"by": "second"}, {})
    assert claim(administrator)[1]["body"] == {"by": "second"}


def test_what_a_dead_process_had_made_is_found_by_the_repeated_request(administrator):
    row_id, _ = claim(administrator)
    idempotency.note_made("deploy", 7)
    assert claim(administrator) == (None, {"made": ["deploy", 7]})
    idempotency.forget(row_id)
    assert claim(administrator) == (None, {"made": ["deploy", 7]}), "it must not be made a second time"


def test_a_request_without_a_key_notes_nothing(administrator):
    row_id, _ = claim(administrator)
    idempotency.remember(row_id, 201, {}, {})
    idempotency.note_made("deploy", 7)
    assert IdempotencyKey.get_by_id(row_id).made is None
