"""Routes: the one Bottle application, and what is done around every handler of the API.

`route` registers a handler and records what it said about itself; openapi.json is made from those records.
"""

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from pathlib import Path

import bottle
from bottle import request

from api import answers
from api.call import Call
from api.problems import problem_of
from controllers import audit, idempotency, repeats
from utils.decorators import CALL, mark, marks_of
from utils.urlkit import fill_path

PREFIX = "/api/v1"
HEADER_ARGUMENTS = {"if_match": "HTTP_IF_MATCH", "last_event_id": "HTTP_LAST_EVENT_ID"}
ENDPOINTS = []
FOREIGN = (409, 502, 504)  # What asking another system can lead to, beside what every route has.

site = bottle.Bottle()
site.catchall = False  # api.envelope answers what nobody foresaw, for HTML routes as well.
site.default_error_handler = answers.send_bare
# A number with more digits fits no column, so nothing can be found under it.
site.router.add_filter("int", lambda _: (r"\d{1,18}", int, str))


@dataclass(frozen=True)
class Endpoint:
    """One route of the API: where it is, what it is for, what it takes and gives."""

    method: str
    path: str
    handler: object
    summary: str
    status: int
    returns: object
    query: object
    produces: str
    location: str | None
    also: dict
    errors: tuple

    @property
    def marks(self):
        """What the decorators of the handler said."""
        return marks_of(self.handler)

    def __call__(self, **arguments):
        """Answer the request at hand; every error becomes a problem."""
        try:
            call = request.environ[CALL] = Call()
            call.check_client()
            audit.origin.set(call.address())
            for name in self.header_arguments:
                arguments[name] = request.environ.get(HEADER_ARGUMENTS[name])
            key = request.environ.get("HTTP_IDEMPOTENCY_KEY") if self.method == "POST" else None
            actor = call.identity[0] if key is not None else None
            if actor is not None:
                return self.answer_once(actor, key, call.raw_body, arguments)
            return self.send(self.handler(**arguments))
        except Exception as error:
            return answers.send_problem(*problem_of(error))

    def answer_once(self, actor, key, body, arguments):
        """Answer a POST with an Idempotency-Key: do the work the first time, give the same answer from then on."""
        row_id, first = idempotency.claim(actor, key, self.method, request.path, body)
        if first is not None:
            return self.send(repeats.again(actor, first["made"])) if "made" in first else answers.send_again(**first)
        try:
            result = self.handler(**arguments)
        except Exception as error:
            status, headers, problem = problem_of(error)
            if status < 500:
                idempotency.remember(row_id, status, problem, headers)
            else:
                idempotency.forget(row_id)
            return answers.send_problem(status, headers, problem)
        status, value = self.outcome(result)
        idempotency.remember(row_id, status, value, self.headers(value))
        return self.send(result)

    def outcome(self, result):
        """Return (status, value) of what the handler returned."""
        return (result.status, result.value) if isinstance(result, answers.Outcome) else (self.status, result)

    def send(self, result):
        """Return the body of the answer for what the handler returned."""
        status, value = self.outcome(result)
        return answers.send(value, status, self.headers(value), wraps_callback="jsonp" in self.marks)

    def headers(self, result):
        """Return the headers that say where the made resource is."""
        return {"Location": PREFIX + fill_path(self.location, result)} if self.location else {}

    @property
    def header_arguments(self):
        """The request headers that the handler asks for as arguments."""
        return self.marks["header_arguments"]


def route(
    method,
    path,
    *,
    summary,
    status=200,
    returns=None,
    query=None,
    produces="application/json",
    location=None,
    also=None,
    errors=(),
):
    """Register a handler under /api/v1; its docstring and decorators go into openapi.json with what is said here.

    `path` is Bottle's rule without the prefix; `returns` a pydantic model of the answer and `produces` its media type;
    `location` a template such as "/hosts/{name}", filled from the answer, for the header Location; `also` are further
    statuses that an `Outcome` may give, with their models; `errors` statuses of problems beside those every route of its
    kind has.
    Path parameters come as keyword arguments; a handler that declares `if_match` or `last_event_id` gets that header or None.
    """

    def register(handler):
        parameters = inspect.signature(handler).parameters
        mark(handler, header_arguments=tuple(name for name in HEADER_ARGUMENTS if name in parameters))
        asks = query or handler.marks.get("query")
        endpoint = Endpoint(method, path, handler, summary, status, returns, asks, produces, location, also or {}, errors)
        ENDPOINTS.append(endpoint)
        site.route(PREFIX + path, method, endpoint.__call__)
        return handler

    return register


def load():
    """Import every module of the package api, so that all routes are registered."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"api.{module.name}")
