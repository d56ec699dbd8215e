"""Small texts for people: times, sizes, versions, and what is taken out of foreign text."""

import datetime

import pytest

from windlass_cli.deadlines import Deadline
from windlass_cli.display.formats import ago, clean, duration, size
from windlass_cli.display.progress import Rollout
from windlass_cli.errors import WaitTimedOut
from windlass_cli.versions import is_newer

NOW = datetime.datetime(2026, 1, 2, 12, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "then, told",
    [
        ("2026-01-02T11:59:30.000Z", "30 s ago"),
        ("2026-01-02T11:50:00Z", "10 min ago"),
        ("2026-01-02T09:00:00+00:00", "3 h ago"),
        ("2025-12-30T12:00:00.000Z", "3 d ago"),
        ("2026-01-02T12:00:05Z", "0 s ago"),
        ("yesterday", "yesterday"),
        (None, ""),
        (7, "7"),
        ("2026-01-02T11:00:00", "2026-01-02T11:00:00"),
    ],
)
def test_times_are_told_from_now(then, told):
    assert ago(then, NOW) == told


@pytest.mark.parametrize(
    "seconds, told", [(0, "0.0s"), (0.84, "0.8s"), (59.9, "59s"), (60, "1:00"), (3725, "62:05"), (-3, "0.0s")]
)
def test_durations(seconds, told):
    assert duration(seconds) == told


@pytest.mark.parametrize(
    "count, told", [(0, "0 B"), (999, "999 B"), (1_400_000, "1.4 MB"), (2.5e9, "2.5 GB"), (None, ""), ("many", "")]
)
def test_sizes(count, told):
    assert size(count) == told


@pytest.mark.parametrize(
    "text, safe",
    [
        ("plain ✓ é\ttab\nline", "plain ✓ é\ttab\nline"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://a\x1b\\link", "link"),
        ("\x9b31mx", "31mx"),
        ("a\rb\x08c\x00", "abc"),
        ("\x1b", ""),
        (None, ""),
        (7, "7"),
    ],
)
def test_foreign_text_loses_its_control_characters(text, safe):
    assert clean(text) == safe


@pytest.mark.parametrize(
    "one, other, newer",
    [
        ("0.2.0", "0.1.9", True),
        ("0.10.0", "0.9.0", True),
        ("1.0", "1.0.0", False),
        ("1.0.0", "1.0.1", False),
        ("1.0.1", "1.0", True),
        ("nightly", "0.1.0", False),
        ("9999999999", "0.1.0", False),
        ("1.0rc1", "0.1.0", False),
        ("٣", "0.1.0", False),
        ("", "0.1.0", False),
    ],
)
def test_versions_are_compared_by_their_numbers(one, other, newer):
    assert is_newer(one, other) is newer


def test_a_deadline_is_shared_by_all_that_waits_for_it():
    moments = iter([0, 1, 4, 6])
    deadline = Deadline(5, clock=lambda: next(moments))
    assert deadline.left(10) == 4
    assert deadline.left(0.5) == 0.5
    with pytest.raises(WaitTimedOut, match="within 5 s"):
        deadline.left(10)
    assert Deadline().left(60) == 60


def at(second):
    return f"2026-01-01T10:00:{second:02d}.000Z"


def test_a_rollout_is_what_its_events_say():
    rollout = Rollout({"state": "queued"}, [{"host": "web1", "state": "pending", "wave": 0}], clock=lambda: 100)
    rollout.apply({"kind": "deploy", "data": {"state": "running"}})
    rollout.apply({"kind": "host", "host": "web1", "at": at(1), "data": {"state": "running", "wave": 0}})
    rollout.apply({"kind": "step", "host": "web1", "step": "ship", "data": {"state": "running"}})
    run = rollout.apply({"kind": "progress", "host": "web1", "step": "ship", "data": {"sent": 30, "total": 40}})
    assert (rollout.state, run.state, run.step, run.fraction) == ("running", "running", "ship", 0.75)
    rollout.apply({"kind": "output", "host": "web1", "text": "of ship"})
    rollout.apply({"kind": "step", "host": "web1", "step": "check", "data": {"state": "running"}})
    rollout.apply({"kind": "output", "host": "web1", "text": "one\ntwo"})
    rollout.apply({"kind": "host", "host": "web1", "at": at(9), "data": {"state": "failed"}, "text": "no answer"})
    assert list(run.tail) == ["one", "two"] and run.is_bad
    assert (rollout.run_s(run), rollout.counts()) == (8, (1, 1, 1))


def test_a_host_that_is_tried_again_is_running_again():
    rollout = Rollout({}, clock=lambda: 100)
    for state in ("running", "failed", "running"):
        run = rollout.apply({"kind": "host", "host": "web1", "data": {"state": state}})
    assert (run.is_over, rollout.counts(), rollout.run_s(run)) == (False, (1, 0, 0), 0)
