"""Histories: append events with numbers that have no gaps, read them, and follow them live.

The table is the truth. Followers of one process share one look at the newest numbers; where Redis is configured, a
message on its channel only wakes that look up sooner.
"""

import functools
import logging
import threading
import time

from config import settings
from models import Event, Topic
from models.db import connection, database, now
from utils.datekit import rfc3339

HEARTBEAT_S = 8.0
POLL_S = 0.15
CHANNEL = "windlass:events"
PAGE = 500
FOLLOWED_PAGE = 25  # A follower that hardly reads holds its page in memory for as long, and there may be many of them.

log = logging.getLogger(__name__)


def append(topic, items):
    """Append events to a topic; returns the newest number.

    Each is a dict with kind and maybe host, step, text, data, and `at` (milliseconds) where it was not just now.
    """
    with database.atomic():
        newest = _reserve(topic, len(items))
        first = newest - len(items) + 1
        rows = [
            {
                "topic": topic,
                "number": first + offset,
                "at": item.get("at") or now(),
                "kind": item["kind"],
                "host": item.get("host"),
                "step": item.get("step"),
                "text": item.get("text"),
                "data": item.get("data"),
            }
            for offset, item in enumerate(items)
        ]
        Event.insert_many(rows).execute()
    _announce(topic)
    return newest


def _reserve(topic, count):
    """Take the next `count` numbers of a topic; the row's lock makes concurrent writers queue, so no gap can arise."""
    if not Topic.update(newest=Topic.newest + count).where(Topic.name == topic).execute():
        Topic.insert(name=topic, newest=0).on_conflict_ignore().execute()
        Topic.update(newest=Topic.newest + count).where(Topic.name == topic).execute()
    return Topic.select(Topic.newest).where(Topic.name == topic).scalar()


def newest(topic):
    """Return the number of a topic's newest event, 0 if there is none."""
    return Topic.select(Topic.newest).where(Topic.name == topic).scalar() or 0


def read(topic, after=0, limit=PAGE):
    """Return up to `limit` events of a topic that come after number `after`, oldest first."""
    rows = Event.select().where(Event.topic == topic, Event.number > after).order_by(Event.number).limit(limit)
    return [describe(row) for row in rows]


def page(topic, after, limit):
    """Return {"items", "next"}: a page of a topic's events that come after number `after`."""
    items = read(topic, after, limit)
    return {"items": items, "next": items[-1]["number"] if len(items) == limit else None}


def describe(row):
    """Return an event in the API's shape; absent fields are left out."""
    shape = {
        "number": row.number,
        "at": rfc3339(row.at),
        "kind": row.kind,
        "host": row.host,
        "step": row.step,
        "text": row.text,
        "data": row.data,
    }
    return {name: value for name, value in shape.items() if value is not None}


def follow_work(topic, after, has_ended, is_end):
    """Return what follow() does; of work that has ended, with nothing after `after`, there is nothing to wait for."""
    return iter(()) if has_ended and after >= newest(topic) else follow(topic, after, is_end)


def follow(topic, after, is_end):
    """Yield the events of a topic after number `after` as they come, and None as a heartbeat every few seconds.

    Ends after an event for which `is_end(event)` is true. Holds a database connection only while it reads.
    """
    with watch(topic) as watched:
        quiet_since = time.monotonic()
        while True:
            with connection():
                page = read(topic, after, FOLLOWED_PAGE)
            for event in page:
                yield event
                after = event["number"]
                if is_end(event):
                    return
            if page:
                quiet_since = time.monotonic()
                continue
            if time.monotonic() - quiet_since >= HEARTBEAT_S:
                yield None
                quiet_since = time.monotonic()
            watched.wait_beyond(after, HEARTBEAT_S)


class watch:
    """One follower's place at the shared look; a context manager, so that a client that goes away leaves nothing."""

    def __init__(self, topic):
        self.topic = topic
        self.newest = 0
        self.changed = threading.Event()

    def __enter__(self):
        _watchers.add(self)
        return self

    def __exit__(self, *_):
        _watchers.remove(self)

    def wait_beyond(self, number, timeout_s):
        """Return when the topic holds an event after `number`, or after the time-out."""
        if self.newest <= number:
            self.changed.clear()
            if self.newest <= number:
                self.changed.wait(timeout_s)


class Watchers:
    """All followers of this process, and the one thread (or greenlet) that looks for them while there are any."""

    def __init__(self):
        self.lock = threading.Lock()
        self.places = {}
        self.looking = False

    def add(self, place):
        """Register a follower and start the look if nobody runs it."""
        with self.lock:
            self.places.setdefault(place.topic, set()).add(place)
            if not self.looking:
                self.looking = True
                threading.Thread(target=self._look, name="event-watch", daemon=True).start()

    def remove(self, place):
        """Forget a follower; the look ends by itself when the last one is gone."""
        with self.lock:
            self.places[place.topic].discard(place)
            if not self.places[place.topic]:
                del self.places[place.topic]

    def _look(self):
        wake = _subscription()
        while True:
            with self.lock:
                topics = list(self.places)
                if not topics:
                    self.looking = False
                    break
            self._notify(topics)
            wake(POLL_S)
        wake(None)

    def _notify(self, topics):
        try:
            with connection():
                rows = Topic.select(Topic.name, Topic.newest).where(Topic.name.in_(topics)).tuples()
                newest_by_topic = dict(rows)
        except Exception as error:  # The database may be away for a minute; followers go on when it is back.
            log.warning("events cannot be read now: %s", error)
            time.sleep(1)
            return
        with self.lock:
            for topic, number in newest_by_topic.items():
                for place in self.places.get(topic, ()):
                    if number > place.newest:
                        place.newest = number
                        place.changed.set()


_watchers = Watchers()


@functools.cache
def _redis_client(url):
    """Return this process's Redis client for wake-ups, or None where none is configured."""
    if not url:
        return None
    from redis import Redis  # Only here: without a Redis nobody need wait for its client to be read.

    return Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)


def _announce(topic):
    """Wake followers in other processes up; they would look soon in any case, so a failure is only noted."""
    client = _redis_client(settings.redis.url)
    if client is None:
        return
    try:
        client.publish(CHANNEL, topic)
    except Exception as error:
        log.debug("no wake-up through Redis: %s", error)


def _subscription():
    """Return a function that waits up to some seconds for a wake-up; called with None it cleans up.

    Without Redis it just waits. With Redis it waits longer, because it will be woken; when Redis is away it falls back.
    """
    client = _redis_client(settings.redis.url)
    if client is None:
        return lambda seconds: seconds is not None and time.sleep(seconds)
    channel = client.pubsub(ignore_subscribe_messages=True)

    def wait(seconds):
        """Wait for a wake-up, for at most these seconds or a little longer; None cleans up."""
        try:
            if seconds is None:
                channel.close()
                return
            if not channel.subscribed:
                channel.subscribe(CHANNEL)
            channel.get_message(timeout=1.0)
        except Exception as error:
            log.debug("no wake-up through Redis: %s", error)
            if seconds is not None:
                time.sleep(seconds)

    return wait
