"""The queue: a Celery application that carries ids only. The database is the truth; a message only rings at a door.

Messages are JSON, signed with a key that only Windlass's own processes hold; anything else is refused before a task
sees it. Losing a message or getting it ten times is harmless, because the sweep rings again and every task claims its
work in the database. So messages are acknowledged early and results are not kept.
"""

import hashlib
import hmac
import json

from celery import Celery
from kombu.serialization import register
from kombu.transport import TRANSPORT_ALIASES

import secretbox
from config import data_path, settings

CENTRAL = "windlass"
SERIALIZER = "windlass-signed-json"
CONTENT_TYPE = "application/x-windlass-signed-json"
SWEEP = "windlass.sweep"
POLLING_S = 0.02


class BadSignature(ValueError):
    """A message that none of Windlass's own processes wrote."""


def zone_queue(zone):
    """Return the name of a zone's queue."""
    return f"zone.{zone}"


def signature(body):
    """Return the hex HMAC-SHA256 of a message's bytes under a key derived for this purpose alone."""
    return hmac.new(secretbox.derived_key("doorbell"), body, hashlib.sha256).hexdigest()


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
    if settings.broker.url:
        return settings.broker.url, {"socket_timeout": 5, "socket_connect_timeout": 2, "health_check_interval": 10}
    folder = data_path("broker", "x").parent
    TRANSPORT_ALIASES["folders"] = "folders:Transport"
    return "folders://localhost/", {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "polling_interval": POLLING_S,
    }


def make_celery():
    """Return the configured Celery application; the same for those who ring and those who answer."""
    register(SERIALIZER, dumps, loads, content_type=CONTENT_TYPE, content_encoding="utf-8")
    url, options = transport()
    celery = Celery("windlass", broker=url)
    celery.conf.update(
        broker_transport_options=options,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=2,
        broker_connection_max_retries=None,
        task_serializer=SERIALIZER,
        accept_content=[SERIALIZER],
        event_serializer=SERIALIZER,
        task_ignore_result=True,
        task_default_queue=CENTRAL,
        task_create_missing_queues=True,
        worker_pool="threads",
        worker_concurrency=settings.worker.concurrency,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        enable_utc=True,
        beat_scheduler="celery.beat.Scheduler",
        beat_schedule={
            "sweep": {
                "task": SWEEP,
                "schedule": settings.worker.sweep_s,
                "options": {"expires": settings.worker.sweep_s},
            }
        },
    )
    return celery
