"""What holds the fake APIs of the browser's and the client's tests to the real one finds every way of drifting from it."""

import json

import pytest

from tests import contract, shapes
from tests.browser.standin import StandIn as BrowsersStandIn
from tests.cli.standin import StandIn as ClientsStandIn


def complaints(value, method="GET", path="/deploys/41", status=200, kind=contract.JSON):
    return contract.complaints(method, path, status, kind, json.dumps(value).encode())


def test_an_answer_that_the_api_gives_is_right():
    assert complaints(shapes.deploy()) == []
    assert complaints(shapes.release_in_full(shapes.release()), path="/applications/shop/releases/latest") == []
    assert contract.complaints("DELETE", "/hosts/web1", 204, None, b"") == []


@pytest.mark.parametrize(
    "value, part",
    [
        (
            {name: value for name, value in shapes.deploy().items() if name != "reason"},
            '"reason" is a required property',
        ),
        (shapes.deploy(colour="red"), "'colour' was unexpected"),
        (shapes.deploy(progress={**shapes.progress(1), "colour": "red"}), "progress: Additional properties"),
        (shapes.deploy(id="41"), 'id: "41" is not of type "integer"'),
        (shapes.deploy(created_at="yesterday"), 'created_at: "yesterday" is not a "date-time"'),
    ],
)
def test_fields_that_are_missing_unknown_or_of_another_kind_are_found(value, part):
    (found,) = complaints(value)
    assert part in found


@pytest.mark.parametrize(
    "asked, part",
    [
        ({"path": "/deploys/41/moon"}, "no such route"),
        ({"method": "PUT"}, "no such route"),
        ({"status": 202}, "never answers 202"),
        ({"status": 404}, "not with application/json"),
        ({"kind": "text/html"}, "not with text/html"),
        ({"method": "DELETE", "path": "/hosts/web1", "status": 204}, "without content"),
    ],
)
def test_routes_statuses_and_kinds_of_content_are_those_of_the_api(asked, part):
    (found,) = complaints(shapes.deploy(), **asked)
    assert part in found


def test_problems_have_their_members_and_may_have_more():
    problem = {"type": "about:blank", "title": "No", "status": 404, "detail": "No.", "code": "x", "request_id": "r1"}
    right = {"status": 404, "kind": contract.PROBLEM}
    assert complaints({**problem, "used_by": []}, **right) == []
    assert complaints({"status": 404}, **right)
    assert complaints({"status": 502}, status=502, kind=contract.PROBLEM)


def test_events_of_streams_are_held_to_their_shape():
    event = {"number": 1, "at": shapes.at(), "kind": "deploy", "data": {"state": "running"}}
    assert contract.event_complaints("/deploys/41/stream", event) == []
    assert contract.event_complaints("/deploys/41/stream", {**event, "colour": "red"})
    assert contract.event_complaints("/deploys/41", event)


def test_a_fake_that_has_drifted_fails_its_test():
    fake = ClientsStandIn()
    fake.complaints.append("GET /hosts: …")
    with pytest.raises(AssertionError, match="GET /hosts"):
        fake.close()
    fake = BrowsersStandIn()
    fake.complaints.append("GET /hosts: …")
    with pytest.raises(AssertionError, match="GET /hosts"):
        fake.stop()
