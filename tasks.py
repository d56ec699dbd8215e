"""The Celery application: `celery -A tasks worker`. Configuration is one JSON file per role ($WINDLASS_CONFIG)."""

import logging
import threading

import config

config.load()

from celery import bootsteps, signals  # noqa: E402  (after the configuration)

import logs  # noqa: E402
from broker import CENTRAL, zone_queue  # noqa: E402
from config import settings  # noqa: E402
from controllers import sweep  # noqa: E402
from controllers.jobs import queue, workers  # noqa: E402

QUEUE_LOOK_S = 1.0
HEARTBEAT_S = 5.0
log = logging.getLogger(__name__)

logs.setup("worker")
workers.start()
app = queue.celery()

import batch  # noqa: E402,F401  (registers the tasks)


class ZoneQueues(bootsteps.StartStopStep):
    """Listen to the queue of every zone this worker serves, also of zones made after it started."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer, **kwargs):
        super().__init__(consumer, **kwargs)
        self.timer = None

    def start(self, consumer):
        """Begin to look for new zones."""
        # Only the consumer's own loop may touch its channel, and a timer can be a thread of its own. Nor is there anybody before
        # the loop to take what waits in a queue, which RabbitMQ delivers at once: the worker would end, again and again.
        self.timer = consumer.timer.call_repeatedly(QUEUE_LOOK_S, consumer.call_soon, (self.listen, consumer))
        consumer.call_soon(self.listen, consumer)

    def stop(self, consumer):
        """Stop looking."""
        if self.timer:
            self.timer.cancel()

    def listen(self, consumer):
        """Subscribe to what is not yet listened to."""
        try:
            queues = {zone_queue(zone) for zone in workers.served_zones()}
        except Exception as error:
            # The database may be away for a minute; what is listened to stays, and we look again.
            log.warning("no look for new zones could be taken: %s", error)
            return
        for name in queues - set(app.amqp.queues.consume_from):
            consumer.add_task_queue(name)


app.steps["consumer"].add(ZoneQueues)
if not settings.worker.central:
    app.amqp.queues.deselect(CENTRAL)


@signals.worker_ready.connect
def start_threads(**_):
    """Write this worker's heartbeats and look for what is due, in threads of their own."""
    threading.Thread(target=workers.heartbeats, args=(HEARTBEAT_S,), name="worker-heartbeat", daemon=True).start()
    if settings.worker.central:
        threading.Thread(target=sweep.keep_sweeping, args=(workers.leaving,), name="sweep", daemon=True).start()


@signals.worker_process_init.connect
def after_fork(**_):
    """A prefork child must not share its parent's database sockets."""
    workers.forget_connections()


@signals.worker_shutting_down.connect
def hand_over(**_):
    """Let rollouts in progress stop at the next safe point, so that another worker goes on with them."""
    workers.hand_over()


@signals.task_prerun.connect
def take_connection(**_):
    """Every task has a database connection."""
    workers.take_connection()


@signals.task_postrun.connect
def give_connection_back(**_):
    """No task keeps a connection, whatever it raised."""
    workers.give_connection_back()
