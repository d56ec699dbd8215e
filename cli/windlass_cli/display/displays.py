"""How a followed deploy looks: live on a terminal, by lines in a pipe, quietly for ``--wait``, as a log for ``logs``.

A display is a context manager that gets events and notes in the order in which things happen, and tidies up when
following stops. All but the log write to stderr only.
"""

import threading

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from windlass_cli.api.feed import state_of
from windlass_cli.display.formats import STATE_STYLES, clean, duration, state

MARKS = {
    "succeeded": "✓",
    "unchanged": "=",
    "failed": "✗",
    "unreachable": "✗",
    "rolled_back": "↩",
    "skipped": "-",
    "pending": "·",
}
#: What stands before lines that are about no host.
OURSELVES = "windlass"
#: Lines of the terminal left free below and above the table of hosts.
MARGIN = 5


class Display:
    """What all displays share: the rollout, and where lines go."""

    def __init__(self, output, rollout):
        self.output = output
        self.rollout = rollout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def event(self, event):
        """Take an event into account and show it."""
        run = self.rollout.apply(event)
        self.show(event, run)

    def show(self, event, run):
        """Show an event; ``run`` is the HostRun it is about, or None."""
        raise NotImplementedError

    def note(self, text):
        """Show a note about the connection."""
        self.output.note(text)


class QuietDisplay(Display):
    """For ``--wait``: the deploy's own state changes, and hosts that end badly."""

    def show(self, event, run):
        """Show an event when it is about the whole deploy, or about a host's failure."""
        if run is None and event.get("kind") == "deploy":
            self.output.note(f"deploy {self.rollout.deploy.get('id')}: ", state(self.rollout.state), _because(event))
        elif run is not None and event.get("kind") == "host" and run.is_bad:
            self.output.note(f"{run.name}: ", state(run.state), _because(event))


class PlainDisplay(Display):
    """For ``--follow`` without a terminal: one line per event, each beginning with the host it is about."""

    def __init__(self, output, rollout):
        super().__init__(output, rollout)
        self._width = max(len(name) for name in (OURSELVES, *rollout.hosts))

    def show(self, event, run):
        """Write the event as a line, its output as one line each; a step is told when it is over."""
        if event.get("kind") == "step" and state_of(event) == "running":
            return
        for line in lines_of(event, self._width):
            self.output.note(line)


class LiveDisplay(Display):
    """For ``--follow`` on a terminal: a table of hosts that is redrawn, with lasting lines for what went wrong."""

    def __init__(self, output, rollout):
        super().__init__(output, rollout)
        self._spinner = Spinner("dots", style="blue")
        self._lock = threading.Lock()  # rich draws from a thread of its own
        self._live = Live(
            console=output.stderr,
            get_renderable=self._draw,
            refresh_per_second=8,
            transient=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self):
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_):
        self._live.stop()

    def event(self, event):
        """Take an event into account; the next frame shows it."""
        with self._lock:
            run = self.rollout.apply(event)
        self.show(event, run)

    def show(self, event, run):
        """Write lasting lines for a host that ended badly, with the end of its output."""
        if run is None or event.get("kind") != "host" or not run.is_bad:
            return
        self.output.note(
            Text("✗ ", style="red"),
            f"{run.name} ",
            state(run.state),
            f" at {run.step}" if run.step else "",
            _because(event),
        )
        for line in run.tail:
            self.output.note("  │ ", line)

    def _draw(self):
        with self._lock:
            return Group(self._heading(), self._table(), self._foot())

    def _heading(self):
        deploy = self.rollout.deploy
        text = Text.assemble(("deploy ", "dim"), (clean(deploy.get("id")), "bold"), "  ", (title(deploy), "bold"), "  ")
        text.append_text(state(self.rollout.state))
        return text.append(f"  {duration(self.rollout.elapsed_s())}", style="dim")

    def _table(self):
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for options in (
            {"width": 1},
            {"max_width": 30, "overflow": "ellipsis"},
            {"min_width": 11},
            {"min_width": 11},
            {"min_width": 5, "justify": "right"},
            {"overflow": "ellipsis", "ratio": 1},
        ):
            table.add_column(no_wrap=True, **options)
        room = max(3, self.output.stderr.height - MARGIN)
        runs = sorted(self.rollout.hosts.values(), key=_urgency)
        for run in sorted(runs[:room], key=_place):
            table.add_row(*self._row(run))
        if len(runs) > room:
            table.add_row("", Text(f"and {len(runs) - room} more", style="dim"))
        return table

    def _row(self, run):
        mark = self._spinner if run.state == "running" else Text(MARKS.get(run.state, "·"), STATE_STYLES.get(run.state, ""))
        took_s = self.rollout.run_s(run)
        took = Text(duration(took_s) if took_s is not None else "", style="dim")
        step = Text("" if run.is_over and not run.is_bad else clean(run.step), style="red" if run.is_bad else "")
        last = Text(_one_line(run.text), style="dim")
        if run.fraction is not None:
            last = ProgressBar(total=1, completed=run.fraction, width=24, complete_style="blue", finished_style="blue")
        return mark, Text(clean(run.name)), state(run.state), step, took, last

    def _foot(self):
        hosts, over, bad = self.rollout.counts()
        text = Text(f"{over} of {hosts} hosts done" if hosts else "waiting for the hosts", style="dim")
        return text.append(f", {bad} not well", style="red") if bad else text


class LogDisplay(Display):
    """For ``logs --follow``: every event as lines of data on stdout, in the words of the API's own log."""

    def show(self, event, run):
        """Write the event's lines to stdout; with ``--json`` the event itself, one a line."""
        if self.output.as_json:
            self.output.json_line(event)
            return
        for line in log_lines_of(event):
            self.output.line(line)


def title(deploy):
    """Return what a deploy does, as ``shop v12 → production``."""
    return clean(f"{deploy.get('application')} {deploy.get('release')} → {deploy.get('environment')}")


def log_lines_of(event):
    """Return an event as the lines that ``/deploys/<id>/log`` has for it: time, [host step], what happened."""
    if event.get("kind") == "progress":
        return []
    where = " ".join(clean(event[name]) for name in ("host", "step") if event.get(name))
    reached = state_of(event)
    return [
        Text(" ").join(
            part
            for part in (
                Text(clean(event.get("at")), style="dim"),
                Text(f"[{where}]" if where else "", style="bold"),
                Text(f"{clean(event.get('kind'))} ") + state(reached) + Text(":" if line else "") if reached else Text(),
                Text(line),
            )
            if part
        )
        for line in clean(event.get("text")).splitlines() or [""]
    ]


def lines_of(event, width):
    """Return an event as styled lines, host (padded to ``width``) and step first; unknown kinds by what they carry."""
    kind, text = event.get("kind"), clean(event.get("text"))
    if kind == "progress":
        return []
    prefix = Text(clean(event.get("host") or OURSELVES).ljust(width) + "  ", style="bold" if event.get("host") else "dim")
    if kind == "output":
        return [
            prefix + Text(f"{clean(event.get('step'))} │ {line}" if event.get("step") else f"│ {line}")
            for line in text.splitlines()
        ]
    what = Text(f"{clean(event.get('step'))} " if event.get("step") else f"{clean(kind)} ")
    reached = state_of(event)
    return [prefix + what + (state(reached) if reached else Text()) + Text(f"  {text}" if text else "")]


def _one_line(text):
    return " ".join(clean(text).split())


def _because(event):
    text = _one_line(event.get("text"))
    return f": {text}" if text else ""


def _urgency(run):
    """Sort key: what to show when the terminal has too few lines: running hosts, bad ends, waiting ones, good ends."""
    return (0 if run.state == "running" else 1 if run.is_bad else 2 if not run.is_over else 3, *_place(run))


def _place(run):
    return run.wave if isinstance(run.wave, int) else 0, run.name
