"""gunicorn for Windlass: `gunicorn --config etc/gunicorn.conf.py app:application`.

Address, port and number of workers are Windlass's settings web.host, web.port and web.workers; log.* counts as well.
"""

import os
import shutil
import sys

from gunicorn import glogging

import logs
from config import data_path, load  # Not the module itself: `config` is the name of a setting of gunicorn's.

settings = load()


class Logger(glogging.Logger):
    """gunicorn's own messages go where all others go, in the same form."""

    def setup(self, cfg):
        """Let the messages pass on to the root logger instead of writing them here."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def share_figures():
    """Let the worker processes put their figures together in files, made anew at each start."""
    folder = data_path("metrics", "x").parent
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


logs.setup("web")
if settings.web.workers > 1:
    share_figures()

bind = f"{settings.web.host}:{settings.web.port}"
workers = settings.web.workers
worker_class = "gevent"
worker_connections = 10_000  # An open dashboard is one connection for hours; beyond this number clients get no answer.
preload_app = False  # What psycopg waits with is decided at its import, which must come after gevent's patches.
control_socket_disable = True
keepalive = 30
graceful_timeout = 3  # Open streams would use up any longer time; clients resume them by Last-Event-ID.
timeout = 60
logger_class = Logger
accesslog = None
access_log_format = '%(h)s "%(r)s" %(s)s %(B)s %(M)sms %({x-request-id}o)s'


def post_fork(server, worker):
    """Drop database connections inherited from a process that had the application loaded; normally there are none."""
    db = sys.modules.get("models.db")
    if db is not None:
        db.forget_connections()


def child_exit(server, worker):
    """Take a dead worker's part out of the figures that only living ones have."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess  # It needs the folder that the variable names.

        multiprocess.mark_process_dead(worker.pid)
