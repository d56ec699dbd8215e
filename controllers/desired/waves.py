"""Which hosts go together: pure functions from hosts and strategy to waves."""

import math

DEFAULTS = {"kind": "all-at-once", "max_failures": 0, "pause_s": 0, "bake_s": 0, "on_failure": "rollback"}
GRADUAL = ("rolling", "canary")
UNTIL_RESUMED = "resume"  # The pause between two waves that only a person ends.


def complete(strategy):
    """Return a strategy with its defaults filled in."""
    filled = {**DEFAULTS, **(strategy or {})}
    is_gradual = filled["kind"] in GRADUAL
    if is_gradual:
        filled.setdefault("batch", 1)
    filled.setdefault("healthy_first", is_gradual)
    return filled


def share(value, total):
    """Return how many of `total` hosts a count (2) or a percentage ("25%") means, rounded down."""
    if isinstance(value, str) and value.endswith("%"):
        return math.floor(total * float(value[:-1]) / 100)
    return int(value)


def batches(hosts, strategy, lead_host=False):
    """Return the hosts in waves (a list of lists).

    With `lead_host` the first host goes alone, because it runs the `release` process before any other host switches; it
    counts as one of a canary's first hosts.
    """
    rest = list(hosts)
    waves = []
    if lead_host and rest:
        waves.append([rest.pop(0)])
    size = len(rest)
    if strategy["kind"] in GRADUAL:
        size = max(1, share(strategy["batch"], len(hosts)))
    if strategy["kind"] == "canary":
        canaries = size - sum(map(len, waves))
        return waves + [part for part in (rest[:canaries], rest[canaries:]) if part]
    while rest:
        waves.append(rest[:size])
        rest = rest[size:]
    return waves


def wave_left_out(waves, lead_host):
    """Return the wave of hosts that are left out of these waves: should they be tried after all, they never lead."""
    return max(len(waves) - 1, 1 if lead_host else 0)


def tolerated(strategy, total):
    """Return how many hosts may fail before the rollout stops."""
    return share(strategy["max_failures"], total)
