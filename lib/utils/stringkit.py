"""Work on short texts that people typed."""

import difflib
import re

VERSION = re.compile(r"v?(\d{1,9}(?:\.\d{1,9}){0,3})(\D.*)?", re.S)


def nearest(word, words):
    """Return the one of `words` that was probably meant by `word`, or None."""
    return next(iter(near(word, words, 1)), None)


def near(word, words, most):
    """Return up to `most` of `words` that may have been meant by `word`, the likeliest first."""
    return difflib.get_close_matches(word, list(words), n=most, cutoff=0.5)


def has(text, part):
    """Say whether a text has a part somewhere, in capitals or not; every text has a part that is empty or None."""
    return not part or part.lower() in text.lower()


def version_key(text):
    """Return a key that orders version numbers such as "1.10.2" or "2.0rc1"; None when `text` is no version.

    A suffix that starts with a letter (rc1, .dev0, a2) marks what comes before the release of the same number.
    """
    match = VERSION.fullmatch(text.strip())
    if not match:
        return None
    numbers = [int(part) for part in match[1].split(".")]
    suffix = (match[2] or "").lstrip(".-")
    is_before_release = suffix[:1].isalpha() and not suffix.startswith("post")
    return tuple(numbers + [0] * (4 - len(numbers))), not is_before_release
