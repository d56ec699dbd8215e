"""The end of a soak: was anything lost, done twice or told wrongly, and what are the figures?"""

import collections
import re
import statistics
from datetime import datetime

from bench.lane import Client
from tests.faults import oracle

MARK = re.compile(r"/once/(\d+)-\d+-release\.log$")
PERCENTILES = (50, 90, 99)
UNCLEAR = "not repeated, as that might do its work twice"


class Verdict:
    """What is found after a soak; `broken` lists in words what must not be."""

    def __init__(self, soak, took_s):
        self.soak, self.took_s = soak, took_s
        self.client = Client(soak.stack, soak.peace)
        self.broken = [problem for lane in soak.lanes for problem in lane.broken]
        self.deploys = {number: deploy for lane in soak.lanes for number, deploy in lane.deploys.items()}
        self.marks = marks_in(soak.marks)
        self.histories = {}
        self.unclear = self.requests = self.failed_requests = 0
        self.slowest_s = 0.0
        self.check()

    def check(self):
        """Look at everything."""
        if self.soak.killer.trouble:
            self.broken.append(self.soak.killer.trouble)
        self.check_nothing_lost()
        for deploy in self.deploys.values():
            self.check_outcome(deploy)
            self.check_history(deploy)
        for lane in self.soak.lanes:
            self.note(oracle.check_no_left_overs, lane.hosts, lane.app)
            for problem in (*lane.client.strange,):
                self.broken.append(f"an answer that nobody should get: {problem}")

    def note(self, check, *arguments):
        """Make a check and note what it finds."""
        try:
            return check(*arguments)
        except (AssertionError, OSError) as problem:
            self.broken.append(str(problem))
            return None

    def check_nothing_lost(self):
        """What was asked for is what there is: no accepted request without a deploy, no deploy that nobody asked for."""
        for lane in self.soak.lanes:
            there, after = set(), ""
            while after is not None:
                page = self.client.call("GET", f"/deploys?application={lane.app}&limit=200{after}")
                there |= {deploy["id"] for deploy in page["items"]}
                after = f"&after={page['next']}" if page["next"] else None
            there.discard(min(there))  # The one before the soak began.
            if there != set(lane.asked):
                lost, extra = sorted(set(lane.asked) - there), sorted(there - set(lane.asked))
                self.broken.append(f"{lane.app}: deploys lost: {lost}; deploys that nobody asked for: {extra}")
            if missing := [number for number in lane.asked if number not in lane.deploys]:
                self.broken.append(f"{lane.app}: these have not ended: {missing}")

    def check_outcome(self, deploy):
        """Nothing here gives a deploy a reason to fail but a `release` process of which nobody knows how it ended."""
        number, ran = deploy["id"], self.marks[deploy["id"]]
        is_unclear = UNCLEAR in (deploy["reason"] or "")
        self.unclear += is_unclear
        if ran > 1:
            self.broken.append(f"deploy {number}: the release process ran {ran} times")
        if deploy["state"] != "succeeded" and not is_unclear:
            self.broken.append(f"deploy {number} {deploy['state']}: {deploy['reason']}")
        if deploy["state"] == "succeeded" and not deploy["rollback_of"]:
            lead = next(run for run in self.client.host_runs(deploy).values() if run["wave"] == 0)
            if lead["state"] == "succeeded" and not ran:
                self.broken.append(f"deploy {number} succeeded without its release process")

    def check_history(self, deploy):
        """Its events have no gap and no duplicate, and end with its state."""
        self.histories[deploy["id"]] = oracle.history(self.client, deploy["id"])
        self.note(oracle.check_events, self.histories[deploy["id"]], deploy)

    def count_requests(self, hammers):
        """Take the figures of those who kept asking the applications."""
        self.requests = sum(hammer.requests for hammer in hammers)
        failures = [failure for hammer in hammers for failure in hammer.failures]
        self.failed_requests, self.slowest_s = len(failures), max(hammer.slowest_s for hammer in hammers)
        if failures:
            self.broken.append(f"{len(failures)} of {self.requests} requests to the applications failed: {failures[:3]}")

    # Figures.

    def durations(self):
        """Return the seconds from begin to end of each deploy that began, sorted."""
        began = [deploy for deploy in self.deploys.values() if deploy["started_at"]]
        return sorted(seconds(deploy["ended_at"]) - seconds(deploy["started_at"]) for deploy in began)

    def recoveries(self):
        """Return, for every kill and every deploy under way then, the seconds until the deploy's next event."""
        found = []
        for number, events in self.histories.items():
            begun = self.deploys[number]["started_at"]
            times = [seconds(event["at"]) for event in events]
            for at, _ in self.soak.killer.kills:
                if begun and seconds(begun) <= at < times[-1]:
                    found.append(next(time for time in times if time > at) - at)
        return found

    def as_dict(self):
        """Return the figures as JSON-able data."""
        took, recoveries = self.durations(), self.recoveries()
        return {
            "backend": self.soak.options.backend,
            "hosts": self.soak.options.hosts,
            "applications": len(self.soak.lanes),
            "took_s": round(self.took_s, 1),
            "killing_s": round(self.soak.killing_s, 1),
            "kills": self.soak.killer.by_kind(),
            "asked_for_while_killing": self.soak.asked_while_killing,
            "deploys": dict(collections.Counter(deploy["state"] for deploy in self.deploys.values())),
            "rollbacks": sum(1 for deploy in self.deploys.values() if deploy["rollback_of"]),
            "unclear": self.unclear,
            "release_processes": sum(self.marks.values()),
            "events": sum(map(len, self.histories.values())),
            "duration_s": {f"p{share}": round(percentile(took, share), 1) for share in (*PERCENTILES, 100)},
            "interrupted": len(recoveries),
            "recovery_s": {f"p{share}": round(percentile(recoveries, share), 1) for share in (50, 100)},
            "api_away_s": round(self.soak.prober.longest_s, 1),
            "repeated_api_requests": sum(lane.client.repeats for lane in self.soak.lanes),
            "requests": self.requests,
            "failed_requests": self.failed_requests,
            "slowest_request_s": round(self.slowest_s, 2),
            "broken": self.broken,
        }

    def text(self):
        """Return the figures for people."""
        found = self.as_dict()
        lines = [f"{name.replace('_', ' '):24}{shown(value)}" for name, value in found.items() if name != "broken"]
        lines += [f"BROKEN  {problem}" for problem in self.broken]
        return "\n".join([*lines, "" if self.broken else "nothing lost, nothing run twice, all events in sequence"])


def marks_in(path):
    """Return how often the `release` process of each deploy left its mark."""
    lines = path.read_text().splitlines() if path.exists() else []
    return collections.Counter(int(MARK.search(line)[1]) for line in lines)


def percentile(values, share):
    """Return the value that `share` percent of the values do not exceed, 0 where there is none."""
    if len(values) < 2 or share == 100:
        return max(values, default=0)
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def seconds(time):
    """Return an RFC 3339 time as seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()


def shown(value):
    """Return a figure as text; a dict as its entries."""
    return ", ".join(f"{name} {entry}" for name, entry in value.items()) if isinstance(value, dict) else str(value)
