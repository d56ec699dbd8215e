"""Pass on what processes and commands write into their log files."""

import os


def size_of(path):
    """Return a file's size in bytes, 0 when it cannot be seen."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def tail_of(path, start, limit=4096):
    """Return the last lines of a log from offset `start` on, as text without control characters."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(start if start <= size else 0, size - limit))
            text = file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
    text = "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)
    return "\n".join(line[:500] for line in text.strip().splitlines()[-25:])


def pass_on(log, output, offset):
    """Send what a command's log has beyond `offset`, a bounded part of it; return how far that came.

    A log that grew large is emptied: the command appends, so it goes on at the new end.
    """
    try:
        with open(log, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size - offset > 64 << 20:
                output.add(f"… [{size - offset - (1 << 20)} bytes left out]")
                offset = size - (1 << 20)
            file.seek(offset if offset <= size else 0)
            data = file.read(8 << 20)
            offset = file.tell()
    except FileNotFoundError:
        return offset
    output.feed(data)
    if offset > 64 << 20:
        os.truncate(log, 0)
        offset = 0
    return offset
