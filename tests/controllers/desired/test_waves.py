"""Waves are plain arithmetic, but a wrong one touches too many hosts at once."""

import pytest

from controllers.desired import waves

HOSTS = [f"h{number}" for number in range(10)]


def sizes(strategy, **options):
    return [len(wave) for wave in waves.batches(HOSTS, waves.complete(strategy), **options)]


def test_all_at_once_is_one_wave_of_everybody():
    assert waves.batches(HOSTS, waves.complete({})) == [HOSTS]


@pytest.mark.parametrize(
    "batch, expected",
    [
        (1, [1] * 10),
        (3, [3, 3, 3, 1]),
        (50, [10]),
        ("25%", [2, 2, 2, 2, 2]),
        ("50%", [5, 5]),
        ("100%", [10]),
        ("1%", [1] * 10),
    ],
)
def test_rolling_goes_in_batches_of_hosts_or_percent(batch, expected):
    assert sizes({"kind": "rolling", "batch": batch}) == expected


@pytest.mark.parametrize("batch, expected", [(1, [1, 9]), (3, [3, 7]), ("20%", [2, 8]), ("1%", [1, 9]), (10, [10])])
def test_a_canary_goes_before_everybody_else(batch, expected):
    assert sizes({"kind": "canary", "batch": batch}) == expected


@pytest.mark.parametrize("batch, expected", [(1, [1, 9]), (3, [1, 2, 7]), (10, [1, 9])])
def test_the_host_that_runs_the_release_process_is_one_of_the_canaries(batch, expected):
    assert sizes({"kind": "canary", "batch": batch}, lead_host=True) == expected


def test_the_first_host_must_be_healthy_where_hosts_go_in_waves():
    assert [waves.complete({"kind": kind})["healthy_first"] for kind in ("all-at-once", "rolling", "canary")] == [
        False,
        True,
        True,
    ]
    assert waves.complete({"kind": "rolling", "healthy_first": False})["healthy_first"] is False


def test_every_host_is_in_exactly_one_wave_in_order():
    made = waves.batches(HOSTS, waves.complete({"kind": "rolling", "batch": 3}), lead_host=True)
    assert [host for wave in made for host in wave] == HOSTS


def test_the_host_that_runs_the_release_process_goes_first_and_alone():
    assert sizes({}, lead_host=True) == [1, 9]
    assert waves.batches(["only"], waves.complete({}), lead_host=True) == [["only"]]


def test_no_hosts_make_no_waves():
    assert waves.batches([], waves.complete({}), lead_host=True) == []


@pytest.mark.parametrize("most, expected", [(0, 0), (2, 2), ("10%", 1), ("5%", 0)])
def test_tolerated_failures_are_rounded_down(most, expected):
    assert waves.tolerated(waves.complete({"max_failures": most}), len(HOSTS)) == expected
