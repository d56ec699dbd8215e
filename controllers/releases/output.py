"""A build's output on its way to people: masked, in batches, within bounds."""

import threading
import time

from controllers import events
from masking import Masker

FLUSH_S = 0.2
FLUSH_ITEMS = 200
MOST_LINES = 20_000


class Output:
    """Takes lines and appends them to a topic as events. Safe to use from several threads."""

    def __init__(self, topic):
        self.topic = topic
        self.mask = Masker()
        self._secrets = set()
        self._waiting = []
        self._taken = 0
        self._flushed_at = 0.0
        self._guard = threading.Lock()

    def hide(self, secrets):
        """Mask these values from now on."""
        self._secrets.update(secrets)
        self.mask = Masker(self._secrets)

    def __call__(self, text):
        """Take a line."""
        with self._guard:
            self._taken += 1
            if self._taken <= MOST_LINES:
                self._waiting.append({"kind": "output", "text": self.mask(text)})
            elif self._taken == MOST_LINES + 1:
                self._waiting.append({"kind": "output", "text": f"Only the first {MOST_LINES} lines are kept."})
        self.tick()

    def tick(self):
        """Write what is due."""
        if self._waiting and (len(self._waiting) >= FLUSH_ITEMS or time.monotonic() - self._flushed_at > FLUSH_S):
            self.flush()

    def flush(self):
        """Write everything that waits."""
        with self._guard:
            batch, self._waiting = self._waiting, []
            if batch:
                events.append(self.topic, batch)
            self._flushed_at = time.monotonic()
