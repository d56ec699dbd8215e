"""One attempt at a row that a worker has claimed: its heartbeat, what else is asked of it meanwhile, and how it may end."""

import contextlib
import logging

from peewee import InterfaceError, OperationalError

from controllers.jobs import leases, workers
from models.db import now

DATABASE_AWAY = (OperationalError, InterfaceError)
AWAY_MS = 1_000  # Until the next attempt, where the database did not take a write.
FENCED, HANDED_OVER, CANCELLED = "fenced", "handed-over", "cancelled"  # Why an attempt was stopped.

log = logging.getLogger(__name__)


class Attempt:
    """Base of all attempts; a kind of work is one subclass, which says what is done in `work`.

    `stopped_because` is why it is to stop, None while it is not: another worker took over (FENCED), this one leaves
    (HANDED_OVER), or somebody cancelled (CANCELLED).
    """

    model = None  # The leased rows.
    what = None  # What a row is, as people and the log call it.
    tells_error = True  # Whether people are shown the text of an error inside Windlass, or its name alone.

    def __init__(self, row):
        self.row = row
        self.stopped_because = None

    @classmethod
    def may_begin(cls):
        """Return the condition under which a row is worked on."""
        raise NotImplementedError

    @classmethod
    def claim(cls, row_id):
        """Take the lease of a row that may be worked on and that nobody has; returns it, or None."""
        counted = {"attempt": cls.model.attempt + 1, "due_at": None, "enqueued_at": None}
        return leases.claim(cls.model, row_id, cls.may_begin(), **counted)

    @classmethod
    def carry_out(cls, row_id):
        """Make an attempt at a row unless somebody else does; safe to call at any time. Returns the row, None if not claimed."""
        row = cls.claim(row_id)
        if row is not None:
            cls(row).run()
        return row

    def run(self):
        """Do the work under the lease and write down how it ended, whatever happens."""
        with self.recording(), leases.heartbeats(self.row, lost=lambda: self.stop(FENCED), look=self.look):
            try:
                self.work()
            except DATABASE_AWAY as error:
                log.warning("%s: the database did not take a write (%s); it goes on later", self.name, error)
                # Where that fails too, it is taken up when the lease is over.
                with contextlib.suppress(*DATABASE_AWAY):
                    self.database_away(error)
            except Exception as error:
                log.exception("%s failed inside Windlass", self.name)
                self.broke(self.failure(error))

    @property
    def name(self):
        """What the log calls this row."""
        return f"{self.what} {self.row.id}"

    def failure(self, error):
        """Return an error inside Windlass as people read it."""
        text = f": {error}" if self.tells_error else ""
        return f"Windlass itself failed: {type(error).__name__}{text}. See the worker's log for {self.name}."

    # What a kind of work says.

    def work(self):
        """Do the work, and write down how it ended with `end` or `put_back`."""
        raise NotImplementedError

    def broke(self, message):
        """Write down that Windlass itself failed."""
        raise NotImplementedError

    def database_away(self, error):
        """The database did not take a write: leave the row to an attempt soon after."""
        self.put_back(AWAY_MS)

    def recording(self):
        """Return what takes the history down while the work is done, a context manager."""
        return contextlib.nullcontext()

    def is_cancelled(self):
        """Say whether somebody has asked for the work's end."""
        return False

    def interrupt(self, why):
        """Have what is being done end soon; called once, from the thread of the heartbeat or of the work."""

    # What else is asked in the meantime.

    def look(self):
        """Called at every heartbeat: what is cancelled ends, and a worker that is told to leave hands its work over."""
        if workers.leaving.is_set():
            self.stop(HANDED_OVER)
        elif self.is_cancelled():
            self.stop(CANCELLED)

    def stop(self, why):
        """Ask for the end of this attempt; the first reason counts."""
        if self.stopped_because is None:
            self.stopped_because = why
            self.interrupt(why)

    def is_held(self):
        """Return the condition that this attempt still has the row's lease."""
        return leases.is_held(self.row)

    def put_back(self, after_ms=0, **columns):
        """Give the lease back, with more columns, and leave the row to an attempt after some milliseconds."""
        leases.release(self.row, **{"due_at": now() + after_ms, "enqueued_at": None, **columns})
