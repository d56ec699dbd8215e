"""`request_cache` over Redis: exchangeable with utils.decorators.request_cache by import alone.

Only JSON goes in and out. Without Redis, or while it does not answer, every request is worked out anew.
"""

import hashlib
import logging
import time

import redis

from config import settings
from utils.decorators import caching

log = logging.getLogger(__name__)
PREFIX = "windlass:cache:"
TIMEOUT_S = 0.25
QUIET_S = 60
RETRY_S = 5


class Shared:
    """One process's link to Redis; after a failure it is left alone for RETRY_S seconds, and logged every QUIET_S."""

    def __init__(self):
        self.url = None
        self.client = None
        self.away_until = 0.0
        self.quiet_until = 0.0

    def attempt(self, work):
        """Return work(client), or None when there is no Redis or it does not answer."""
        if not settings.redis.url or time.monotonic() < self.away_until:
            return None
        if self.url != settings.redis.url:
            self.url = settings.redis.url
            self.client = redis.Redis.from_url(self.url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        try:
            return work(self.client)
        except redis.RedisError as error:
            self.note_failure(error)
            return None

    def note_failure(self, error):
        """Note that Redis does not answer, and log it once in a while."""
        now = time.monotonic()
        self.away_until = now + RETRY_S
        if now >= self.quiet_until:
            self.quiet_until = now + QUIET_S
            log.warning("the shared cache is not used for now: %s", type(error).__name__)


shared = Shared()


def name_of(key):
    """Return the Redis key for a cache key, of even length whatever the request was."""
    return PREFIX + hashlib.sha256(key).hexdigest()


def recall(key):
    """Return the kept JSON bytes of an answer, or None."""
    return shared.attempt(lambda client: client.get(name_of(key)))


def remember(key, answer, seconds):
    """Keep an answer's JSON bytes for some seconds."""
    shared.attempt(lambda client: client.set(name_of(key), answer, px=int(seconds * 1000)))


def request_cache(seconds):
    """Keep a GET's answer in Redis for some seconds, apart for each caller."""
    return caching(seconds, recall, remember)
