"""Middleware around every answer, HTML pages and errors included: request ids, security headers, figures, database connections.

It wraps the Bottle application as WSGI middleware, because nothing inside Bottle sees all of its answers.
"""

import re
import time
import uuid

import logs
from api import metrics
from api.problems import problem_of
from config import settings
from controllers import connections
from utils.core import to_json
from version import CLIENT_DESIRED

SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
COMMON = [
    # Pages bring their own (routes/pages.py).
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("X-Windlass-Client-Desired", CLIENT_DESIRED),
]
TLS_ONLY = [("Strict-Transport-Security", "max-age=31536000")]


class Envelope:
    """The WSGI application `inside`, each of its answers in its envelope."""

    def __init__(self, inside):
        self.inside = inside

    def __call__(self, environ, start_response):
        """Answer one request (PEP 3333)."""
        begun = time.perf_counter()
        request_id = request_id_of(environ)
        before = logs.request_id.set(request_id)
        seen = []

        def start(status, headers, exc_info=None):
            seen[:] = [status[:3]]
            return start_response(status, complete(headers, request_id), exc_info)

        body = None
        try:
            body = self.inside(environ, start)
        except Exception as error:
            body = failure(error, start)
        finally:
            connections.give_back()
            metrics.count(route_of(environ), environ["REQUEST_METHOD"], seen[0] if seen else "000", time.perf_counter() - begun)
            if isinstance(body, list):  # A stream goes on under its id.
                logs.request_id.reset(before)
        return body


def request_id_of(environ):
    """Return the request id that a proxy gave if it can be trusted to be one, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def route_of(environ):
    """Return the rule of the route that answered, for figures: never a path, of which there are endlessly many."""
    route = environ.get("bottle.route")
    return route.rule if route else "none"


def complete(headers, request_id):
    """Return an answer's headers with those that every answer has."""
    given = {name.lower() for name, _ in headers}
    security = COMMON + (TLS_ONLY if settings.web.secure_cookies else [])
    return headers + [(name, value) for name, value in [*security, ("X-Request-Id", request_id)] if name.lower() not in given]


def failure(error, start):
    """Answer what nobody foresaw, or what an HTML route refused, with a problem."""
    status, headers, problem = problem_of(error)
    body = to_json(problem)
    start(
        f"{status} {problem['title']}",
        [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *headers.items(),
        ],
    )
    return [body]
