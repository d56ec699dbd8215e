"""Times, sizes, states and foreign text as people read them on a terminal. Pure functions."""

import datetime
import re

from rich.text import Text

#: CSI and OSC sequences, then every other control character except tab and line feed.
CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

STATE_STYLES = {
    "succeeded": "green",
    "ready": "green",
    "healthy": "green",
    "done": "green",
    "unchanged": "cyan",
    "running": "blue",
    "building": "blue",
    "queued": "blue",
    "scheduled": "blue",
    "paused": "yellow",
    "pending_approval": "yellow",
    "maintenance": "yellow",
    "skipped": "dim",
    "pending": "dim",
    "never": "dim",
    "unknown": "dim",
    "new": "blue",
    "problems": "red",
    "cancelled": "yellow",
    "rolling_back": "yellow",
    "rolled_back": "red",
    "failed": "red",
    "unhealthy": "red",
    "unreachable": "red",
    "closed": "yellow",
    "open": "green",
}
DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def clean(value):
    """Return ``value`` as text that is safe on a terminal; None becomes an empty text."""
    return CONTROLS.sub("", str(value)) if value is not None else ""


def ago(text, now=None):
    """Return a time of the API (RFC 3339) as ``3 min ago``, or the text itself when it is no such time.

    ``now`` is an aware datetime, the present by default.
    """
    try:
        then = datetime.datetime.fromisoformat(text)
        seconds = ((now or datetime.datetime.now(datetime.UTC)) - then).total_seconds()
    except (TypeError, ValueError):
        return clean(text)
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return f"{max(0, int(seconds))} s ago"


def duration(seconds):
    """Return seconds as ``0.8s``, ``42s`` or ``3:07``."""
    if seconds < 10:
        return f"{max(0, seconds):.1f}s"
    whole = int(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}:{whole % 60:02d}"


def size(count):
    """Return a number of bytes as ``1.4 MB``, an empty text for None."""
    if not isinstance(count, (int, float)):
        return ""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def state(name):
    """Return a state's name as styled text."""
    return Text(clean(name), style=STATE_STYLES.get(name, ""))


def circuit_text(circuit):
    """Return whether a foreign system is asked at all, as people read it."""
    if circuit.get("state") == "open":
        return f"left alone until {circuit['until']}" if circuit.get("until") else "credentials refused"
    return "asked"
