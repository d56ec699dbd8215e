"""The soak in small: real hosts, a real Windlass, a few kills; and that its verdict can say that something is broken."""

import json
import subprocess
import sys

import pytest

from bench import verdict
from tests.faults import oracle
from tests.stack import ROOT


def test_a_short_soak_loses_nothing(tmp_path):
    figures = tmp_path / "figures.json"
    options = ["--deploys", "6", "--hosts", "2", "--minutes", "0.1", "--every", "1.5", "--lease-s", "3"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "soak"), *options, "--json", str(figures)],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text())
    assert sum(found["deploys"].values()) == 6 and found["broken"] == []
    assert found["kills"] and found["requests"] > 0 and found["failed_requests"] == 0
    assert "nothing lost, nothing run twice, all events in sequence" in done.stdout


def test_marks_are_counted_by_deploy(tmp_path):
    lines = [f"/srv/app/state/once/{key}-release.log\n" for key in ("7-0", "8-0", "7-1")]
    (tmp_path / "marks").write_text("".join(lines))
    assert verdict.marks_in(tmp_path / "marks") == {7: 2, 8: 1}
    assert verdict.marks_in(tmp_path / "none")[7] == 0


@pytest.mark.parametrize("numbers", [[1, 3], [1, 2, 2], [2, 3]])
def test_a_gap_or_a_duplicate_among_events_is_found(numbers):
    events = [{"number": number, "kind": "deploy", "data": {"state": "succeeded"}} for number in numbers]
    with pytest.raises(AssertionError, match="deploy 5 has the events"):
        oracle.check_events(events, {"id": 5, "state": "succeeded"})


def test_an_end_that_the_history_does_not_tell_is_found():
    events = [{"number": 1, "kind": "deploy", "data": {"state": "running"}}]
    with pytest.raises(AssertionError, match="deploy 5 is succeeded, its history says"):
        oracle.check_events(events, {"id": 5, "state": "succeeded"})


def test_percentiles():
    assert verdict.percentile([], 50) == 0
    assert verdict.percentile([3.0], 99) == 3.0
    assert verdict.percentile(list(range(101)), 90) == 90
    assert verdict.percentile([1, 9, 2], 100) == 9
