"""A broker without a server: kombu's file-system transport, made safe between processes.

kombu's own writes a message in place, where a reader can see it half-written and fail, and takes messages through the
machine's shared temporary folder. Here a message appears by rename and is taken by rename, both inside the data folder.
A queue's name is its routing key, so no table of bindings is needed.
"""

import contextlib
import logging
import os
import uuid
from queue import Empty
from time import time_ns

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

log = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """Messages as files "<time>_<unique>.<queue>.msg" in one folder."""

    supports_fanout = False

    def _lookup(self, exchange, routing_key, default=None):
        return [routing_key]

    def get_table(self, exchange):
        """Return no bindings: every queue is reached by its name."""
        return []

    def _queue_bind(self, exchange, routing_key, pattern, queue):
        return None

    def _put(self, queue, payload, **_):
        name = f"{time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        aside = os.path.join(self.data_folder_out, f".{name}")
        try:
            with open(aside, "w", encoding="utf-8") as file:
                file.write(dumps(payload))
            os.rename(aside, os.path.join(self.data_folder_out, name))
        except OSError:  # Such as a full disk.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)
            raise

    def _get(self, queue):
        for name in sorted(os.listdir(self.data_folder_in)):
            if name.startswith(".") or name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = os.path.join(self.data_folder_in, f".{name}.{os.getpid()}")
            with contextlib.suppress(FileNotFoundError):  # Another worker was quicker.
                os.rename(os.path.join(self.data_folder_in, name), taken)
                try:
                    with open(taken, encoding="utf-8") as file:
                        return loads(file.read())
                except ValueError:
                    # Cut short, as by a power cut. No worker may end of it; the sweep enqueues it again.
                    log.warning("a message that cannot be read is left out: %s", name)
                finally:
                    os.unlink(taken)
        raise Empty


class Transport(filesystem.Transport):
    """The transport `embedded`."""

    Channel = Channel
    driver_type = driver_name = "embedded"
