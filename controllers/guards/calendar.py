"""Windows of time: one that comes once, and one that comes every week on the wall clock of a time zone; pure functions."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from utils.datekit import EPOCH, MILLISECOND, to_milliseconds

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEK = timedelta(weeks=1)


def into_week(text):
    """Return how far into the week, from Monday 00:00, a text such as "fri 16:00" is; a timedelta."""
    day, _, clock = text.partition(" ")
    hours, _, minutes = clock.partition(":")
    return timedelta(days=DAYS.index(day), hours=int(hours), minutes=int(minutes))


def once_end(starts_at, ends_at, at):
    """Return when a window that covers `at` ends, else None; all in milliseconds, the end not being part of it."""
    return ends_at if starts_at <= at < ends_at else None


def weekly_end(weekly, at):
    """Return when the weekly window that covers `at` ends, in milliseconds, else None.

    Both ends are times on the wall clock of the zone, so a window is an hour shorter or longer when clocks change in it.
    """
    zone = ZoneInfo(weekly["timezone"])
    begins, ends = into_week(weekly["begins"]), into_week(weekly["ends"])
    length = ends - begins if ends > begins else ends - begins + WEEK
    moment = (EPOCH + at * MILLISECOND).astimezone(UTC)
    local = moment.astimezone(zone)
    monday = datetime(local.year, local.month, local.day) - timedelta(days=local.weekday())
    for first in (monday, monday - WEEK):
        start = (first + begins).replace(tzinfo=zone).astimezone(UTC)
        # An hour that comes twice belongs to the window as a whole.
        end = (first + begins + length).replace(tzinfo=zone, fold=1).astimezone(UTC)
        if start <= moment < end:
            return to_milliseconds(end)
    return None
