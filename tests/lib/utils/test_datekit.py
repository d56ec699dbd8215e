"""Times in and out."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from utils.datekit import rfc3339, to_milliseconds


def test_a_time_is_written_in_utc_with_milliseconds():
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_795_230_000_042) == "2026-11-21T03:00:00.042Z"
    assert rfc3339(None) is None
    assert rfc3339(-53_000_000_000_000) == "0290-07-01T01:46:40.000Z", "a year has four digits"


@given(integers(min_value=0, max_value=253_402_300_799_999))
def test_nothing_is_lost_on_the_way_there_and_back(milliseconds):
    assert to_milliseconds(datetime.fromisoformat(rfc3339(milliseconds))) == milliseconds


def test_offsets_count():
    moment = datetime(2026, 11, 21, 5, 0, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(to_milliseconds(moment)) == "2026-11-21T03:00:00.000Z"
    assert to_milliseconds(None) is None


def test_a_time_without_offset_is_refused():
    with pytest.raises(ValueError):
        to_milliseconds(datetime(2026, 11, 21))
