"""Count the statements that each process sends to its database, in a file of the folder $BENCH_QUERIES named for its id.

Python imports this module at its start when this folder is on PYTHONPATH. Peewee logs every statement before it sends it.
"""

import itertools
import logging
import mmap
import os
import struct
from pathlib import Path

NUMBER = struct.Struct("=Q")


class Counter(logging.Handler):
    """Counts what it is given, in a file that others read meanwhile."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.pid = folder, None

    def open(self):
        """Begin a file for this process: a child that was forked has a count of its own."""
        self.pid, self.numbers = os.getpid(), itertools.count(1)
        path = self.folder / str(self.pid)
        path.write_bytes(NUMBER.pack(0))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), NUMBER.size)

    def handle(self, record):
        """Count one statement."""
        if self.pid != os.getpid():
            self.open()
        NUMBER.pack_into(self.memory, 0, next(self.numbers))


statements = logging.getLogger("peewee")
statements.setLevel(logging.DEBUG)
statements.propagate = False
statements.addHandler(Counter(Path(os.environ["BENCH_QUERIES"])))
