"""Following a deploy over broken connections: nothing is lost or shown twice, and only the deploy's end ends it."""

import json
from types import SimpleNamespace

import pytest

from tests.cli import scenarios, standin
from windlass_cli.api import feed as feed_module
from windlass_cli.api.client import Client
from windlass_cli.api.feed import Ended, Event, Feed, Note
from windlass_cli.deadlines import Deadline
from windlass_cli.errors import NotAllowed, NotFound, Unreachable, WaitTimedOut


@pytest.fixture
def deploy(api):
    """A deploy of two hosts that has not begun."""
    return api.a_deploy("v2")["id"]


def feed(api, number, **details):
    details = {"pauses_s": (0.01,), **details}
    return Feed(Client(api.url, standin.TOKEN, pauses_s=()), number, **details).items(Deadline(30))


def numbers(items):
    return [item.event["number"] for item in items if isinstance(item, Event)]


def test_all_events_come_once_and_in_order_and_the_end_last(api, deploy):
    scenarios.succeed(api, deploy)
    items = list(feed(api, deploy))
    assert numbers(items) == list(range(1, len(api.events[deploy]) + 1))
    assert items[-1] == Ended(api.deploys[deploy])


def test_a_stream_cut_in_the_middle_is_resumed_after_the_last_event_seen(api, deploy):
    scenarios.begin(api, deploy)
    api.cuts = [4, 12]
    seen = []
    for item in feed(api, deploy):
        seen.append(item)
        if numbers([item]) == [9]:
            for text in ("10", "11", "12"):
                api.add_event(deploy, "output", host="web2", step="ship", text=text)
        elif numbers([item]) == [12]:
            api.add_event(deploy, "deploy", data={"state": "succeeded"})
    assert numbers(seen) == list(range(1, 14))
    resumed = [request.headers["Last-Event-ID"] for request in api.sent("GET", f"/deploys/{deploy}/stream")]
    assert resumed == ["0", "9", "12"]


def test_a_server_that_ignores_the_last_event_id_shows_nothing_twice(api, deploy, monkeypatch):
    scenarios.succeed(api, deploy)
    api.cuts = [6]
    stream = api._stream
    monkeypatch.setattr(api, "_stream", lambda http, number, after: stream(http, number, 0))
    assert numbers(feed(api, deploy)) == list(range(1, len(api.events[deploy]) + 1))


def test_a_gap_in_the_stream_is_filled_from_the_list_of_events(api, deploy, monkeypatch):
    scenarios.succeed(api, deploy)
    stream = api._stream
    monkeypatch.setattr(api, "_stream", lambda http, number, after: stream(http, number, max(after, 5)))
    assert numbers(feed(api, deploy)) == list(range(1, len(api.events[deploy]) + 1))


def test_a_reset_connection_a_restarting_server_and_a_proxy_in_between_are_outlived(api, deploy):
    scenarios.succeed(api, deploy)
    for path in (f"/deploys/{deploy}/stream", f"/deploys/{deploy}"):
        api.fail("GET", path, cut=True)
        api.fail("GET", path, status=502, body=b"<html>Bad gateway</html>")
        api.fail(
            "GET",
            path,
            status=500,
            kind="application/problem+json",
            body=b'{"detail": "database is away", "status": 500}',
        )
    items = list(feed(api, deploy))
    assert numbers(items) == list(range(1, len(api.events[deploy]) + 1))
    notes = [item.text for item in items if isinstance(item, Note)]
    assert len(notes) == 1
    assert "Connection reset by peer" in notes[0] and "Trying to reach the server again" in notes[0]


def test_behind_a_proxy_that_holds_streams_back_the_deploy_itself_is_asked(api, deploy, monkeypatch):
    def hold_back(http, number, after):
        http.send_response(200)
        http.send_header("Content-Type", "text/event-stream")
        http.end_headers()
        with api.changed:
            api.changed.wait_for(lambda: api.over)

    monkeypatch.setattr(api, "_stream", hold_back)
    scenarios.succeed(api, deploy)
    items = list(feed(api, deploy, silence_s=0.1))
    assert numbers(items) == list(range(1, len(api.events[deploy]) + 1))
    assert items[-1].resource["state"] == "succeeded"


def test_a_stream_that_the_server_ended_is_completed_from_the_list(api, deploy):
    scenarios.succeed(api, deploy)
    api.fail("GET", f"/deploys/{deploy}/stream", status=204, times=99)
    assert numbers(feed(api, deploy)) == list(range(1, len(api.events[deploy]) + 1))


def test_an_end_in_the_history_that_a_retry_has_overcome_does_not_end_the_following(api, deploy):
    api.add_event(deploy, "deploy", data={"state": "failed"})
    scenarios.begin(api, deploy)
    items = feed(api, deploy)
    seen = []
    for item in items:
        seen.append(item)
        if numbers([item]) == [len(api.events[deploy])] and api.deploys[deploy]["state"] == "running":
            api.add_event(deploy, "deploy", data={"state": "succeeded"})
    assert seen[-1].resource["state"] == "succeeded"
    assert numbers(seen) == list(range(1, len(api.events[deploy]) + 1))


def test_unknown_kinds_fields_and_broken_data_do_no_harm(api, deploy, windlass):
    api.is_held_to_the_api = False
    api.add_event(deploy, "moon", data={"phase": 3}, colour="red")
    api.add_event(deploy, "host", host="web1", data="not an object")
    api.add_event(deploy, "progress", host="web1", data={"sent": "much", "total": 0})
    api.add_event(deploy, "step", host=None, step=None, text=None, data=None)
    api.add_event(deploy, ["no", "kind"], host="web1")
    api.add_event(deploy, "host", host={"no": "name"}, data={"state": ["no", "state"], "wave": "first"})
    api.add_event(deploy, "step", host="web1", step=["no", "step"], text={"no": "text"}, data={"state": {}})
    api.add_event(deploy, "deploy", data={"state": "succeeded"})
    assert windlass("deploys", "show", deploy, "--follow").code == 0
    assert windlass("logs", deploy, "--follow").code == 0


def test_what_will_not_pass_is_raised_at_once(api, deploy):
    with pytest.raises(NotFound):
        list(feed(api, 99))
    api.fail(
        "GET",
        f"/deploys/{deploy}/stream",
        status=403,
        kind="application/problem+json",
        body=b'{"status": 403, "detail": "Not yours."}',
    )
    with pytest.raises(NotAllowed, match="Not yours"):
        list(feed(api, deploy))


def test_a_server_that_stays_away_is_given_up_after_a_while(api, deploy):
    for path in (f"/deploys/{deploy}/stream", f"/deploys/{deploy}"):
        api.fail("GET", path, cut=True, times=10_000)
    with pytest.raises(Unreachable, match="Lost the server"):
        list(feed(api, deploy, patience_s=0.2))


def test_patience_begins_when_the_server_was_last_heard(api, deploy, monkeypatch):
    """A heartbeat counts: a rollout of hours outlives a short outage after them."""
    hours = [0]
    stream = api._stream

    def after_hours(*arguments):
        hours[0] += 1
        stream(*arguments)

    monkeypatch.setattr(feed_module, "time", SimpleNamespace(monotonic=lambda: hours[0] * 3600))
    monkeypatch.setattr(api, "_stream", after_hours)
    scenarios.begin(api, deploy)
    api.cuts = [4]
    api.fail("GET", f"/deploys/{deploy}", cut=True, times=3)
    for item in feed(api, deploy):
        if isinstance(item, Note):
            api.add_event(deploy, "deploy", data={"state": "succeeded"})
    assert item.resource["state"] == "succeeded"


def test_the_deadline_takes_effect_while_nothing_comes(api, deploy):
    items = Feed(Client(api.url, standin.TOKEN), deploy).items(Deadline(0.2))
    with pytest.raises(WaitTimedOut):
        list(items)


def test_logs_follow_writes_to_stdout_and_resumes(windlass, api, deploy):
    scenarios.fail_health(api, deploy)
    api.cuts = [5]
    answer = windlass("logs", deploy, "--follow")
    assert answer.code == 3
    assert answer.out == windlass("logs", deploy).out
    assert "[web2 check] KeyError: 'PRICE'\n" in answer.out


def test_logs_follow_in_json_is_one_event_a_line(windlass, api, deploy):
    scenarios.succeed(api, deploy)
    answer = windlass("logs", deploy, "--follow", "--json")
    assert answer.code == 0
    assert [json.loads(line) for line in answer.out.splitlines()] == api.events[deploy]
