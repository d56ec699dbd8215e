"""Logging with the standard library alone: one handler on standard error, request and deploy ids on every line.

import logs
logs.setup("web")
with logs.bound(deploy_id=12): …
"""

import contextlib
import json
import logging
import re
import sys
import time
from contextvars import ContextVar

from config import settings

request_id = ContextVar("request_id", default=None)
deploy_id = ContextVar("deploy_id", default=None)
IDS = {"request_id": request_id, "deploy_id": deploy_id}
# A secret in a message is somebody's mistake, often a library's that logs a URL; what looks like one is covered.
SECRETS = re.compile(r"""(?ix)
    (?P<before> \b (?:bearer|basic) \s+ | (?:token|password|secret|api[_-]?key) ["']? \s* [=:] \s* ["']? )  [^\s"',;&]+
    | (?P<user> ://[^/\s:@]* : )  [^/\s@]+ (?=@)""")
NOISY = ("paramiko", "urllib3", "amqp", "kombu", "celery.redirected")


def cover(text):
    """Return a text with what looks like a password or token covered."""
    return SECRETS.sub(lambda match: (match["before"] or match["user"]) + "•••", text)


class PlainFormatter(logging.Formatter):
    """One line a message for people: time, level, role, logger, ids, text."""

    def __init__(self, role):
        super().__init__()
        self.role = role

    def format(self, record):
        """Return the record as one line; a traceback follows on lines of its own."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        ids = "".join(f" {name}={value}" for name, value in ids_of(record).items())
        text = cover(record.getMessage()).replace("\r", "\\r").replace("\n", "\n    ")
        line = f"{at} {record.levelname.lower():7} {self.role} {record.name}{ids}: {text}"
        return line + "".join("\n" + cover(part) for part in trouble_of(self, record))


class JSONFormatter(logging.Formatter):
    """One JSON object a line for log stores."""

    def __init__(self, role):
        super().__init__()
        self.role = role

    def format(self, record):
        """Return the record as one line of JSON."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line = {
            "at": at,
            "level": record.levelname.lower(),
            "role": self.role,
            "logger": record.name,
            **ids_of(record),
            "message": cover(record.getMessage()),
        }
        trouble = "\n".join(trouble_of(self, record))
        if trouble:
            line["trouble"] = cover(trouble)
        return json.dumps(line, ensure_ascii=False)


def ids_of(record):
    """Return the ids that were bound when the record was made."""
    return {name: value for name in IDS if (value := getattr(record, name, None)) is not None}


def trouble_of(formatter, record):
    """Return the texts of a record's exception and stack, if it has them."""
    texts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    return texts + ([formatter.formatStack(record.stack_info)] if record.stack_info else [])


def stamp_ids(record):
    """Put the bound ids on a record, in the thread or greenlet that made it."""
    for name, variable in IDS.items():
        setattr(record, name, variable.get())
    return True


def setup(role, stream=None):
    """Send all logging of this process, libraries included, to `stream` (default: standard error) as the settings say.

    `role` is "web", "worker", …; calling it again replaces what was set up before.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter({"plain": PlainFormatter, "json": JSONFormatter}[settings.log.format](role))
    handler.addFilter(stamp_ids)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log.level.upper())
    for name in NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)


@contextlib.contextmanager
def bound(**ids):
    """Put ids (request_id=…, deploy_id=…) on every record made within the block."""
    tokens = {name: IDS[name].set(value) for name, value in ids.items()}
    try:
        yield
    finally:
        for name, token in tokens.items():
            IDS[name].reset(token)
