"""The figures of bench/deploy: medians, ratios and whether the aims are met. No measuring here."""

import statistics
from dataclasses import asdict, dataclass

RATIO_AIM, ROLLBACK_AIM_S = 1.5, 0.5
HEADER = ("scenario", "Windlass s", "(build)", "CPU s", "MB sent", "plain s", "CPU s", "MB sent", "ratio")
WIDTHS = (12, 11, 9, 8, 9, 9, 8, 9, 7)


@dataclass(frozen=True)
class Aim:
    """One aim and what was seen."""

    name: str
    seen: float
    bound: float
    unit: str

    @property
    def is_met(self):
        """Whether what was seen is within the bound."""
        return self.seen <= self.bound


def median(costs, field):
    """Return the median of one figure of several costs."""
    return statistics.median(getattr(cost, field) for cost in costs)


class Figures:
    """Everything that was measured. `costs` is {scenario: {"windlass"|"plain": [Cost, …]}}; times are in seconds."""

    def __init__(self, costs, hosts, start_up_s, connect_s, plain_connect_s):
        self.costs, self.hosts = costs, hosts
        self.start_up_s, self.connect_s, self.plain_connect_s = start_up_s, connect_s, plain_connect_s

    def wall_s(self, scenario, who):
        """Return a scenario's median wall time."""
        return median(self.costs[scenario][who], "wall_s")

    def has(self, scenario):
        """Whether a scenario ran on both sides."""
        return {"windlass", "plain"} <= set(self.costs.get(scenario, ()))

    def aims(self):
        """Return the aims that can be judged; the application's own start-up is taken off both sides where there is one."""
        found = []
        for scenario, start_up_s in (("code only", self.start_up_s), ("no-op", 0.0)):
            if self.has(scenario):
                ratio = (self.wall_s(scenario, "windlass") - start_up_s) / max(self.wall_s(scenario, "plain") - start_up_s, 0.01)
                found.append(Aim(f"{scenario}, less the application's start-up, against plain", ratio, RATIO_AIM, "×"))
        if self.has("rollback"):
            found.append(
                Aim(
                    "rollback of a warm slot, on top of connecting",
                    self.wall_s("rollback", "windlass") - self.connect_s,
                    ROLLBACK_AIM_S,
                    " s",
                )
            )
        return found

    def rows(self):
        """Yield the table's rows as lists of texts."""
        for scenario, sides in self.costs.items():
            row = [scenario]
            if "windlass" in sides:
                costs = sides["windlass"]
                row += [
                    f"{median(costs, 'wall_s'):.2f}",
                    f"{median(costs, 'build_s'):.2f}",
                    f"{median(costs, 'cpu_s'):.2f}",
                    megabytes(costs),
                ]
            else:
                row += [""] * 4
            plain = sides["plain"]
            row += [f"{median(plain, 'wall_s'):.2f}", f"{median(plain, 'cpu_s'):.2f}", megabytes(plain)]
            row.append(f"{self.wall_s(scenario, 'windlass') / self.wall_s(scenario, 'plain'):.2f}" if "windlass" in sides else "")
            yield row

    def table(self):
        """Return everything as text for people."""
        lines = [line(HEADER), *(line(row) for row in self.rows()), ""]
        lines.append(
            f"{self.hosts} hosts; the application's own start-up on all of them at once: {self.start_up_s:.2f} s; "
            f"logging in to all: {self.connect_s:.2f} s by paramiko, {self.plain_connect_s:.2f} s by ssh"
        )
        lines += [
            f"{'met   ' if aim.is_met else 'MISSED'} {aim.name}: {aim.seen:.2f}{aim.unit} (aim: at most {aim.bound}{aim.unit})"
            for aim in self.aims()
        ]
        return "\n".join(lines)

    def as_dict(self):
        """Return everything as JSON-able data."""
        return {
            "hosts": self.hosts,
            "start_up_s": self.start_up_s,
            "connect_s": self.connect_s,
            "plain_connect_s": self.plain_connect_s,
            "costs": {
                scenario: {who: [asdict(cost) for cost in costs] for who, costs in sides.items()}
                for scenario, sides in self.costs.items()
            },
            "aims": [{**asdict(aim), "met": aim.is_met} for aim in self.aims()],
        }


def megabytes(costs):
    """Return the median of the bytes sent, in megabytes."""
    return f"{median(costs, 'sent_bytes') / 1e6:.2f}"


def line(cells):
    """Return one line of the table: the first cell to the left, figures to the right."""
    return "".join(
        cell.ljust(width) if not place else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    )
