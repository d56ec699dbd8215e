"""Decorators of API handlers: who may call a route, what it takes, whether its answer is cached or wrapped.

    @route("GET", "/status", summary="…")
    @auth()
    @validate(query=StatusQuery)
    @cache(2)
    def show_status(actor, query): ...

The decorators know neither users nor databases: the frame around each request puts an object under `CALL` into the WSGI
environment that knows the caller and the body. What a decorator has for the frame and the OpenAPI document is kept
in the handler's `marks`.
"""

import contextlib
import functools
import re
import threading
import time

from bottle import request
from cachetools import TTLCache

from utils.core import from_json, to_json

CALL = "windlass.call"
CALLBACK_NAME = re.compile(r"[A-Za-z_$][\w$]{0,63}(?:\.[A-Za-z_$][\w$]{0,63}){0,3}", re.A)
CACHE_BYTES = 32 * 1024 * 1024
LARGEST_ANSWER = CACHE_BYTES // 16
CACHES = []  # Of every cached route of this process, so that they can be emptied when the database becomes another one.


def marks_of(handler):
    """Return what the decorators of a handler noted about it."""
    return getattr(handler, "marks", {})


def mark(handler, **more):
    """Add to what is known of a handler; returns the handler."""
    handler.marks = {**marks_of(handler), **more}
    return handler


def auth(optional=False, administrator=False):
    """Hand the handler an `actor`: who is asking.

    Without credentials the frame refuses the call (401), unless `optional`: then `actor` is None. With `administrator`
    anybody else is refused (403).
    """

    def decorate(handler):
        """Wrap one handler."""

        @functools.wraps(handler)
        def authenticated(**arguments):
            actor = request.environ[CALL].actor(optional=optional, administrator=administrator)
            return handler(actor=actor, **arguments)

        return mark(authenticated, auth="optional" if optional else "required")

    return decorate


def validate(fields=None, query=None):
    """Hand the handler the checked JSON body as `fields` and the checked query parameters as `query`, both plain dicts.

    `fields` and `query` are pydantic models. `fields` holds only what the caller sent; `query` has the defaults as well.
    Everything that is wrong is reported at once: pydantic.ValidationError, which the frame answers with 422.
    """

    def decorate(handler):
        """Wrap one handler."""

        @functools.wraps(handler)
        def validated(**arguments):
            """Check, then call."""
            call = request.environ[CALL]
            if query is not None:
                arguments["query"] = query.model_validate(call.query()).model_dump()
            if fields is not None:
                arguments["fields"] = fields.model_validate_json(call.body()).model_dump(exclude_unset=True)
            return handler(**arguments)

        return mark(validated, fields=fields, query=query)

    return decorate


def message(handler):
    """Hand the handler the request as it came: `headers` (lower-case names) and `body` (bytes), for what signs its bytes."""

    @functools.wraps(handler)
    def received(**arguments):
        """Read, then call."""
        headers, body = request.environ[CALL].message()
        return handler(headers=headers, body=body, **arguments)

    return mark(received, message=True)


def jsonp(handler):
    """Let `?callback=name` wrap the answer in a call of that JavaScript function (JSONP), for public data only.

    Raises TypeError for a handler that knows its caller: a page elsewhere could read what only they may see.
    """
    if "auth" in marks_of(handler):
        raise TypeError(f"{handler.__name__}: @jsonp is for routes that read no credentials")
    return mark(handler, jsonp=True)


def jsonp_body(callback, body):
    """Return the JavaScript that hands JSON bytes to `callback`; raises ValueError when that is no function's name.

    The comment in front keeps the answer from starting with bytes of the caller's choice, and the two line separators
    are ends of lines in older JavaScript.
    """
    if not CALLBACK_NAME.fullmatch(callback):
        raise ValueError("must be the name of a JavaScript function")
    text = body.decode().replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"/**/{callback}({text});".encode()


def cache_key(handler, arguments):
    """Return the key of an answer: route, path, query and caller, so that no caller sees what another was answered."""
    actor = arguments.get("actor")
    plain = {name: value for name, value in arguments.items() if name != "actor"}
    caller = None if actor is None else [actor.user_id, actor.name, actor.is_administrator]
    return to_json([handler.__module__, handler.__qualname__, plain, caller])


def caching(seconds, recall, remember):
    """Return a decorator that keeps answers; `recall(key)` gives JSON bytes or None, `remember(key, bytes, seconds)` keeps them.

    Raises TypeError at import when it stands above @auth, where it could not tell callers apart.
    """

    def decorate(handler):
        """Wrap one handler."""
        outer = {"auth", "fields"} & set(marks_of(handler))
        if outer:
            raise TypeError(f"{handler.__name__}: the cache must stand below @auth and @validate")

        @functools.wraps(handler)
        def cached(**arguments):
            """Answer from the cache, or work the answer out and keep it."""
            key = cache_key(handler, arguments)
            stored = recall(key)
            if stored is not None:
                with contextlib.suppress(ValueError):  # What somebody else wrote there is worth as much as nothing.
                    return from_json(stored)
            answer = handler(**arguments)
            remember(key, to_json(answer), seconds)
            return answer

        return cached

    return decorate


def request_cache(seconds):
    """Keep a GET's answer in this process for some seconds, apart for each caller."""
    answers = TTLCache(maxsize=CACHE_BYTES, ttl=seconds, timer=time.monotonic, getsizeof=len)
    CACHES.append(answers)
    guard = threading.Lock()

    def recall(key):
        with guard:
            return answers.get(key)

    def remember(key, answer, _seconds):
        """Keep an answer unless it would push too many others out."""
        if len(answer) <= LARGEST_ANSWER:
            with guard:
                answers[key] = answer

    return caching(seconds, recall, remember)
