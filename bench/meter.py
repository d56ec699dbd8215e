"""What a scenario cost: wall time, the controller's CPU time and the bytes it sent."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.reaper import descendants

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """What one scenario took, `build_s` of the wall time went into building the release."""

    wall_s: float
    cpu_s: float
    sent_bytes: int = 0
    build_s: float = 0.0


def tree_cpu_s(pid):
    """Return the CPU seconds that a process, all below it and all their buried children have used, from proc_pid_stat(5)."""
    total = 0
    for member in [pid, *descendants(pid)]:
        try:
            fields = Path("/proc", str(member), "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # Gone since; its parent's figures hold its time now.
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def process_cpu_s(pid):
    """Return the CPU seconds that a process alone has used, its children left out."""
    fields = Path("/proc", str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:13]) / TICKS


def own_cpu_s():
    """Return the CPU seconds that this process and its buried children have used."""
    return sum(
        usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


class Meter:
    """Measures a `with` block: `cost` afterwards. `cpu_s` is a function that returns CPU seconds used so far."""

    def __init__(self, cpu_s):
        self.cpu_s = cpu_s

    def __enter__(self):
        self.cost = Cost(0, 0)
        self._cpu_s, self._begun = self.cpu_s(), time.monotonic()
        return self

    def __exit__(self, *_):
        self.cost.wall_s = time.monotonic() - self._begun
        self.cost.cpu_s = self.cpu_s() - self._cpu_s
