"""What a soak does to Windlass: SIGKILL a random process of it every few seconds, and watch how long the API stays away."""

import collections
import contextlib
import random
import signal
import threading
import time

import requests

from tests.fleet.keeper import FleetError
from tests.fleet.reaper import send

LOOK_EVERY_S = 0.1
LONGEST_BREAK_S = 2.0  # A broker that was killed is started again after at most this time.


class Killer(threading.Thread):
    """Kills a process every `every_s` seconds on average until stop(); `kills` are (seconds since 1970, kind)."""

    def __init__(self, stack, every_s, seed, broker=None):
        super().__init__(daemon=True, name="killer")
        self.stack, self.every_s, self.broker = stack, every_s, broker
        self.random = random.Random(seed)
        self.kinds = ["worker", "api", *(["broker"] if broker else [])]
        self.kills = []
        self.trouble = self.restarting = None
        self.spared_until = 0.0
        self.over = threading.Event()

    def run(self):
        """Kill, until the end."""
        while not self.over.wait(self.every_s * self.random.uniform(0.5, 1.5)):
            self.kill(self.random.choice(self.kinds))

    def kill(self, kind):
        """SIGKILL a worker, one of the web server's processes or all of them, or the broker; one that is away is let be."""
        if kind == "broker":
            self.kill_broker()
            return
        pids = self.stack.workers() if kind == "worker" else self.stack.processes("gunicorn")
        if not pids:
            return
        if kind == "api" and self.random.random() < 0.5:
            pids = [self.random.choice(pids)]
        self.kills.append((time.time(), kind))
        for pid in pids:
            send(pid, signal.SIGKILL)

    def kill_broker(self):
        """SIGKILL the broker. RabbitMQ takes long to start; so others are killed in the meantime."""
        is_restarting = self.restarting and self.restarting.is_alive()
        if self.trouble or is_restarting or time.monotonic() < self.spared_until:
            return
        self.kills.append((time.time(), "broker"))
        self.broker.stop(signal.SIGKILL)
        arguments = (self.random.uniform(0, LONGEST_BREAK_S),)
        self.restarting = threading.Thread(target=self.start_broker, args=arguments, daemon=True, name="broker")
        self.restarting.start()

    def start_broker(self, after_s):
        """Start the broker again, and spare it for as long as that took, so that it is there half of the time."""
        time.sleep(after_s)
        begun = time.monotonic()
        try:
            self.broker.start()
        except FleetError as error:
            self.trouble = f"the broker could not be started again: {error}"
        self.spared_until = 2 * time.monotonic() - begun

    def stop(self):
        """Kill no more; returns when the broker is back."""
        self.over.set()
        self.join()
        if self.restarting:
            self.restarting.join()

    def by_kind(self):
        """Return how often each kind was killed."""
        return dict(collections.Counter(kind for _, kind in self.kills))


class Prober(threading.Thread):
    """Asks for the API's health all the time until stop(); `longest_s` is the longest time without a good answer."""

    def __init__(self, url):
        super().__init__(daemon=True, name="prober")
        self.url = f"{url}/api/v1/health"
        self.longest_s = 0.0
        self.over = threading.Event()

    def run(self):
        """Ask, until the end."""
        answered_at = time.monotonic()
        while not self.over.wait(LOOK_EVERY_S):
            with contextlib.suppress(requests.RequestException):
                if requests.get(self.url, timeout=5).status_code == 200:
                    self.longest_s = max(self.longest_s, time.monotonic() - answered_at)
                    answered_at = time.monotonic()

    def stop(self):
        """Ask no more."""
        self.over.set()
        self.join()
