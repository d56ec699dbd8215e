"""Differences between two texts, as people read them."""

import difflib

MOST_DIFF_LINES = 400


def unified(name, before, after):
    """Return the unified diff of two texts; None stands for a file that is not there. Long ones are cut, and say so."""
    names = ("/dev/null" if before is None else name, "/dev/null" if after is None else name)
    lines = list(difflib.unified_diff((before or "").splitlines(), (after or "").splitlines(), *names, lineterm=""))
    if len(lines) > MOST_DIFF_LINES:
        lines[MOST_DIFF_LINES:] = [f"(and {len(lines) - MOST_DIFF_LINES} more lines)"]
    return "\n".join(lines) + "\n"
