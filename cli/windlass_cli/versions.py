"""Comparing versions of the client: numbers separated by dots, nothing else."""

import re


def is_newer(one, other):
    """Say whether version ``one`` is newer than ``other``; False when either is no plain version such as ``1.10.2``."""
    pair = [_parts(one), _parts(other)]
    return None not in pair and pair[0] > pair[1]


def _parts(text):
    """Return the numbers of a version without zeros at its end (1.2 and 1.2.0 are the same), None when it is none."""
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})*", text, re.ASCII):
        return None
    numbers = [int(part) for part in text.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
