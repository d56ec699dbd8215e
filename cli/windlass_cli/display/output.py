"""What a person or a program gets to see: data on stdout, everything about the progress on stderr.

With ``--json`` stdout carries the API's own JSON and stderr one JSON object for an error. ``NO_COLOR`` (when not empty)
turns off colours and other text styles. What came from the server or a host is shown without control characters, so
that a build's output cannot move the cursor or change the terminal's title.
"""

import json
import os
import re
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from windlass_cli.display.formats import clean
from windlass_cli.errors import EXIT_INTERRUPTED

#: Columns of a pipe: nothing is ever wrapped or cut there.
UNENDING = 10_000


def _console(file):
    """Return a rich console for ``file`` that interprets no markup and knows what the file really is."""
    terminal = file.isatty()
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(
        file=file,
        force_terminal=terminal,
        color_system="auto" if terminal and not plain else None,
        width=None if terminal else UNENDING,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=False,
    )


class Output:
    """Writes data to stdout and the rest to stderr; ``as_json`` is set by ``--json``."""

    def __init__(self, as_json=False, stdout=None, stderr=None):
        self.as_json = as_json
        self.stdout = _console(stdout or sys.stdout)
        self.stderr = _console(stderr or sys.stderr)

    @property
    def is_live(self):
        """Say whether stderr is a terminal on which a display can be redrawn."""
        return self.stderr.is_terminal and not self.stderr.is_dumb_terminal

    def json(self, data):
        """Write ``data`` as JSON, indented for a person, on one line for a pipe."""
        self.text(_json(data, indent=2 if self.stdout.is_terminal else None))

    def json_line(self, data):
        """Write ``data`` as JSON on one line, for lists that have no end yet."""
        self.text(_json(data))

    def text(self, text):
        """Write ``text`` to stdout as it is, and at once."""
        self.stdout.file.write(text)
        self.stdout.file.flush()

    def line(self, *parts):
        """Write one line of data: texts, or styled ``Text``; texts are cleaned."""
        _print(self.stdout, *parts)

    def table(self, columns, rows, empty):
        """Write rows (sequences of text or ``Text``) under ``columns``, or the sentence ``empty`` to stderr."""
        if not rows:
            self.note(empty)
            return
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else clean(cell) for cell in row))
        self._render(table)

    def record(self, pairs):
        """Write names and values line by line; pairs with an empty value are left out."""
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in pairs:
            cell = value if isinstance(value, Text) else clean(value)
            if len(cell):
                table.add_row(name, cell)
        self._render(table)

    def _render(self, table):
        """Write a table without the blanks that rich fills its lines up with."""
        with self.stdout.capture() as captured:
            self.stdout.print(table)
        lines = captured.get().splitlines()
        self.text("".join(line.rstrip() + "\n" for line in lines))

    def note(self, *parts):
        """Write one line about the progress to stderr."""
        _print(self.stderr, *parts)

    def warning(self, text):
        """Write a warning to stderr."""
        _print(self.stderr, Text("warning: ", style="yellow"), text)

    def hint(self, text):
        """Write to stderr what could be done next."""
        _print(self.stderr, Text("→ ", style="dim"), text)

    def error(self, error):
        """Write a WindlassError to stderr: message, details, remedy; one JSON object with ``--json``."""
        if self.as_json:
            self.stderr.file.write(_json({"error": error.as_dict()}))
            self.stderr.file.flush()
            return
        is_error = error.exit_code != EXIT_INTERRUPTED
        _print(self.stderr, Text("error: " if is_error else "", style="bold red"), error.message)
        for detail in error.details:
            _print(self.stderr, "  ", detail)
        if error.remedy:
            self.hint(error.remedy)


def _json(data, indent=None):
    """Return ``data`` as JSON with a line feed; control characters that JSON itself leaves alone are escaped too."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _print(console, *parts):
    """Print parts as one line, folded by the terminal itself so that it can be copied."""
    line = Text()
    for part in parts:
        line.append_text(part) if isinstance(part, Text) else line.append(clean(part))
    console.print(line, soft_wrap=True)
