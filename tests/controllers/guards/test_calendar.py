"""Windows of time: what is inside, when it ends, and what clocks that change do to it."""

from datetime import UTC, datetime

import pytest

from controllers.guards import calendar
from utils.datekit import rfc3339, to_milliseconds

WEEKEND = {"begins": "fri 16:00", "ends": "mon 08:00", "timezone": "Europe/Berlin"}
LUNCH = {"begins": "wed 12:00", "ends": "wed 13:00", "timezone": "UTC"}


def at(text):
    return to_milliseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize("moment, inside", [(0, False), (1000, True), (1999, True), (2000, False)])
def test_a_window_that_comes_once_ends_before_its_end(moment, inside):
    assert calendar.once_end(1000, 2000, moment) == (2000 if inside else None)


@pytest.mark.parametrize(
    "window, moment, end",
    [
        (LUNCH, "2026-11-18T11:59", None),
        (LUNCH, "2026-11-18T12:00", "2026-11-18T13:00"),
        (LUNCH, "2026-11-18T13:00", None),
        (LUNCH, "2026-11-19T12:30", None),
        (WEEKEND, "2026-11-20T14:59", None),
        (WEEKEND, "2026-11-20T15:00", "2026-11-23T07:00"),
        (WEEKEND, "2026-11-22T23:59", "2026-11-23T07:00"),
        (WEEKEND, "2026-11-23T06:59", "2026-11-23T07:00"),
        (WEEKEND, "2026-11-23T07:00", None),
    ],
)
def test_a_weekly_window_goes_by_the_zones_wall_clock(window, moment, end):
    found = calendar.weekly_end(window, at(moment))
    assert rfc3339(found) == (f"{end}:00.000Z" if end else None)


@pytest.mark.parametrize(
    "moment, end",
    [
        ("2026-03-27T15:00", "2026-03-30T06:00"),  # Clocks go forward on Sunday: 08:00 in Berlin is 06:00 UTC then.
        ("2026-10-23T14:00", "2026-10-26T07:00"),  # They go back.
    ],
)
def test_clocks_that_change_inside_a_window_move_its_end(moment, end):
    assert rfc3339(calendar.weekly_end(WEEKEND, at(moment))) == f"{end}:00.000Z"


@pytest.mark.parametrize(
    "moment, inside",
    [("2026-10-24T23:59", False), ("2026-10-25T00:15", True), ("2026-10-25T01:15", True), ("2026-10-25T01:31", False)],
)
def test_an_hour_that_comes_twice_is_inside_both_times(moment, inside):
    window = {"begins": "sun 02:00", "ends": "sun 02:30", "timezone": "Europe/Berlin"}
    assert (calendar.weekly_end(window, at(moment)) is not None) is inside


def test_a_window_over_the_end_of_the_year_and_of_the_week():
    window = {"begins": "thu 00:00", "ends": "wed 00:00", "timezone": "Pacific/Kiritimati"}
    assert calendar.weekly_end(window, at("2026-12-31T12:00")) == at("2027-01-05T10:00")
    assert calendar.weekly_end(window, at("2027-01-05T10:00")) is None
