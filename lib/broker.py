"""The queue: a Celery application whose messages carry ids only and wake workers up; the database is the truth.

Messages are JSON, signed with a key that only Windlass's own processes hold; anything else is refused before a task
sees it. Losing a message or getting it ten times is harmless, because the sweep enqueues it again and every task claims its
work in the database. So messages are acknowledged early and results are not kept.
"""

import hashlib
import hmac
import json

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.serialization import register
from kombu.transport import TRANSPORT_ALIASES

import secretbox
from config import data_path, settings

CENTRAL = "windlass"
SERIALIZER = "windlass-signed-json"
CONTENT_TYPE = "application/x-windlass-signed-json"
POLLING_S = 0.02
LISTEN_S = 0.25
MOST_PAUSE_S = 3  # Between two looks for a broker that is away.
HEARTBEAT_S = 10  # Both ends of an AMQP connection find out within two of these that the other is gone.
CONFIRM_S = 3
# Over a connection that the broker has closed since, as after its restart, a message is tried once more on a new one.
ONCE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0}


class PersistentConnection(Connection):
    """A worker's connection that looks for an absent broker every few seconds, and never listens for long at a time.

    Celery's own times cannot be set: its pauses grow to half a minute, so long a worker would be missing after the broker
    is back; and it listens for two seconds at a time, twice more after a worker was asked to end.
    """

    def ensure_connection(self, *arguments, **options):
        """Return once there is a connection."""
        return super().ensure_connection(
            *arguments, **{**options, "interval_start": 0.5, "interval_step": 0.5, "interval_max": MOST_PAUSE_S}
        )

    def drain_events(self, timeout=None, **options):
        """Take what comes in; raises socket.timeout when nothing does for `timeout` seconds, LISTEN_S at most; None: for ever."""
        return super().drain_events(timeout=timeout and min(timeout, LISTEN_S), **options)


class PersistentAMQP(AMQP):
    """How Celery speaks to the broker, by such connections."""

    Connection = PersistentConnection


class BadSignature(ValueError):
    """A message that none of Windlass's own processes wrote."""


def zone_queue(zone):
    """Return the name of a zone's queue."""
    return f"zone.{zone}"


def signature(body):
    """Return the hex HMAC-SHA256 of a message's bytes under a key derived for this purpose alone."""
    return hmac.new(secretbox.derived_key("broker"), body, hashlib.sha256).hexdigest()


def dumps(value):
    """Serialise and sign a message's body."""
    body = json.dumps(value, separators=(",", ":"))
    return f"{signature(body.encode())}.{body}"


def loads(text):
    """Return a message's body if its signature is right; raises BadSignature."""
    text = text.decode() if isinstance(text, bytes) else text
    claimed, _, body = text.partition(".")
    if not hmac.compare_digest(claimed, signature(body.encode())):
        raise BadSignature("a message on the queue is not signed with this Windlass's key (secret.key_file)")
    return json.loads(body)


def transport():
    """Return (broker URL, transport options): the configured broker, or folders in the data directory."""
    url = settings.broker.url
    if not url:
        folder = data_path("broker", "x").parent
        TRANSPORT_ALIASES["embedded"] = "filesystem_broker:Transport"
        options = {"data_folder_in": str(folder), "data_folder_out": str(folder), "polling_interval": POLLING_S}
        return "embedded://localhost/", options
    if url.startswith("amqp"):
        # A message counts as sent once RabbitMQ says that it has it. Without max_retries the sender would wait for a
        # broker that is away; those who answer wait for it in any case.
        return url, {"confirm_publish": True, "max_retries": 0}
    return url, {"socket_timeout": 2, "socket_connect_timeout": 2, "health_check_interval": 10}


def make_celery():
    """Return the configured Celery application; the same for senders and workers."""
    register(SERIALIZER, dumps, loads, content_type=CONTENT_TYPE, content_encoding="utf-8")
    url, options = transport()
    celery = Celery("windlass", broker=url, amqp=PersistentAMQP)
    celery.conf.update(
        broker_transport_options=options,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=2,
        broker_connection_max_retries=None,
        broker_heartbeat=HEARTBEAT_S,
        broker_channel_error_retry=True,  # A Redis that refuses writes for a while must not end the worker.
        task_serializer=SERIALIZER,
        accept_content=[SERIALIZER],
        event_serializer=SERIALIZER,
        task_ignore_result=True,
        task_default_queue=CENTRAL,
        task_create_missing_queues=True,
        worker_pool="threads",
        worker_concurrency=settings.worker.concurrency,
        worker_prefetch_multiplier=1,
        # Celery would raise it again step by step as tasks end: in their threads, on the connection that the consumer reads.
        worker_enable_prefetch_count_reduction=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        enable_utc=True,
    )
    return celery
