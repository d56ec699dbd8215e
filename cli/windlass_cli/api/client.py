"""The one HTTP client of Windlass's API, version 1; the commands and the fab tasks speak through nothing else.

What it takes care of, so that no caller has to:

- the bearer token, the client's version, and an ``Idempotency-Key`` on every POST, which stays the same when the
  request is sent again, so that a lost answer never starts a second deploy;
- a broken connection: what may be repeated (GET, and POST with its key) is, a few times;
- errors: every answer that is not a success is raised as one of the exceptions in ``errors``;
- lists: ``items`` walks the pages by their cursor.
"""

import random
import time
import urllib.parse
import uuid

import requests
import urllib3

from windlass_cli import __version__
from windlass_cli.api.problems import is_in_flight, is_worth_repeating, problem_from, redirect_from, wait_asked_for
from windlass_cli.errors import BadAnswer, Unreachable, WindlassError

BASE = "/api/v1"
CONNECT_S = 5
READ_S = 60
#: Reading and changing may involve a host that answers slowly (hosts check), or a build lock.
WRITE_S = 180
#: A stream sends a comment every 10 s; without any byte for so long, the connection is dead.
STREAM_SILENCE_S = 30
#: Pauses before the second, third and fourth try, in seconds.
PAUSES_S = (0.25, 0.75, 1.5)
#: Pause in seconds while the server still works on the first sending of a request whose answer was lost.
IN_FLIGHT_PAUSE_S = 1
#: A server that asks for a longer pause than this gets its error shown instead.
LONGEST_PAUSE_S = 10
PAGE = 200
STREAM_CHUNK = 65536


class _Bearer(requests.auth.AuthBase):
    """Sets the token, or nothing; being set, it also keeps requests from sending a password out of ``~/.netrc``."""

    def __init__(self, token):
        self._token = token

    def __call__(self, request):
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Client:
    """A client of the server at ``url`` (without ``/api/v1``), as the owner of ``token`` (None: as nobody).

    ``version`` is the client version told to the server; ``pauses_s`` are the pauses in seconds before a request is
    sent again (PAUSES_S by default). ``desired`` is the client version that the server last said it would like to see,
    or None.
    """

    def __init__(self, url, token=None, version=__version__, pauses_s=None):
        self.url = url
        self.version = version
        self.has_token = bool(token)
        self.desired = None
        self._pauses_s = PAUSES_S if pauses_s is None else pauses_s
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        self._session.headers.update(
            {
                "Accept": "application/json, application/problem+json",
                "User-Agent": f"windlass-cli/{version}",
                "X-Windlass-Client": version,
            }
        )

    def close(self):
        """Close the connections that are kept open for reuse."""
        self._session.close()

    def get(self, *path, **query):
        """Return the JSON object at ``path`` (its segments); ``query`` members that are None are left out."""
        return self._object_of(self._request("GET", path, query=query), path)

    def post(self, *path, body=None, key=None):
        """POST ``body`` (JSON, None for none) and return the answer's object, None for an empty answer.

        ``key`` is the Idempotency-Key; a fresh one is made when it is None.
        """
        return self._decoded("POST", path, body=body, headers={"Idempotency-Key": key or str(uuid.uuid4())})

    def get_with_tag(self, *path):
        """Return (the JSON object at ``path``, its entity tag), for a change that must not undo another's."""
        response = self._request("GET", path)
        return self._object_of(response, path), response.headers.get("ETag")

    def put(self, *path, body, if_match=None):
        """PUT ``body`` and return the answer's object; with ``if_match`` only if the entity tag is still that one."""
        return self._decoded("PUT", path, body=body, headers={"If-Match": if_match} if if_match else None)

    def patch(self, *path, body, if_match=None):
        """PATCH with ``body`` and return the answer's object; ``if_match`` is as for ``put``."""
        return self._decoded("PATCH", path, body=body, headers={"If-Match": if_match} if if_match else None)

    def delete(self, *path, **query):
        """DELETE what is at ``path``; ``query`` members that are None are left out."""
        return self._decoded("DELETE", path, query=query)

    def items(self, *path, after=None, limit=None, **query):
        """Yield the items of a list, page by page, until its end or until ``limit`` items have come.

        ``after`` is the cursor (for events: the number) after which to begin.
        """
        left = limit
        seen = {after}
        while True:
            page = self.get(*path, **query, after=after, limit=min(PAGE, left or PAGE))
            rows = _rows(page)
            yield from rows[:left]
            after = page.get("next")
            left = left - len(rows) if left is not None else None
            if after is None or (left is not None and left <= 0):
                return
            if after in seen:
                raise BadAnswer(f"The list at {self._address(path)} leads in a circle: its cursor {after!r} came twice.")
            seen.add(after)

    def text(self, *path):
        """Yield the pieces of a plain text document as they arrive."""
        response = self._request("GET", path, headers={"Accept": "text/plain"}, stream=True)
        response.encoding = "utf-8"
        try:
            yield from response.iter_content(STREAM_CHUNK, decode_unicode=True)
        except requests.RequestException as error:
            raise self._unreachable(error) from None
        finally:
            response.close()

    def open_stream(self, *path, last_event_id, silence_s=STREAM_SILENCE_S):
        """Open a stream of server-sent events and return its ``requests.Response``, None when there is no more (204).

        One try: who follows a stream has its own way of trying again. ``last_event_id`` is where to resume;
        ``silence_s`` the seconds without any byte after which reading fails.
        """
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store",
            "Last-Event-ID": str(last_event_id),
        }
        response = self._send("GET", path, headers=headers, stream=True, timeout=(CONNECT_S, silence_s))
        self._refuse(response)
        if response.status_code == requests.codes.no_content:
            response.close()
            return None
        kind = response.headers.get("Content-Type", "")
        if not kind.startswith("text/event-stream"):
            response.close()
            raise BadAnswer(
                f"{self._address(path)} answered with {kind or 'no type'} instead of a stream of events.",
                remedy="Is there a proxy or a login page between here and Windlass?",
            )
        return response

    def _decoded(self, method, path, **details):
        """Send a request and return the JSON object that came, None when there was no content."""
        response = self._request(method, path, **details)
        return self._object_of(response, path) if response.content else None

    def _object_of(self, response, path):
        """Return the JSON object of a successful answer; BadAnswer when it has none."""
        try:
            answer = response.json()
        except requests.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise BadAnswer(
                f"{self._address(path)} did not answer as Windlass does (no JSON object).",
                remedy=f"Is {self.url} the address of a Windlass server? Give another by --url or WINDLASS_URL.",
            )
        return answer

    def _request(self, method, path, headers=None, **details):
        """Send a request, again when that is safe and promising; return the success or raise what went wrong."""
        headers = headers or {}
        may_repeat = method == "GET" or "Idempotency-Key" in headers
        pauses_s = iter(self._pauses_s if may_repeat else ())
        patient_until = time.monotonic() + WRITE_S
        while True:
            try:
                response = self._send(method, path, headers=headers, **details)
                pause_s = self._pause_before_repeating(response, pauses_s, patient_until)
                if pause_s is None:
                    return self._refuse(response)
                response.close()
            except Unreachable as error:
                pause_s = next(pauses_s, None) if error.may_pass else None
                if pause_s is None:
                    raise
            # Many clients that lost the same server must not come back in the same instant.
            time.sleep(pause_s * random.uniform(1, 1.25))  # noqa: S311  (no secret)

    def _pause_before_repeating(self, response, pauses_s, patient_until):
        """Return the seconds to wait before the request may do better, None when its answer is to be taken as it is."""
        asked_s = wait_asked_for(response)
        if is_in_flight(response) and time.monotonic() < patient_until:
            return asked_s or IN_FLIGHT_PAUSE_S
        if not is_worth_repeating(response) or (asked_s or 0) > LONGEST_PAUSE_S:
            return None
        pause_s = next(pauses_s, None)
        return None if pause_s is None else max(pause_s, asked_s or 0)

    def _send(self, method, path, query=None, body=None, headers=None, stream=False, timeout=None):
        """Send one request and return whatever answer came; Unreachable when none did."""
        address = self._address(path)
        query = {name: value for name, value in (query or {}).items() if value is not None}
        timeout = timeout or (CONNECT_S, READ_S if method == "GET" else WRITE_S)
        try:
            # A redirect is not followed: it would turn a POST into a GET, and may lead to where the token must not go.
            response = self._session.request(
                method,
                address,
                params=query,
                json=body,
                headers=headers,
                stream=stream,
                timeout=timeout,
                allow_redirects=False,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise self._unreachable(error) from None
        self.desired = response.headers.get("X-Windlass-Client-Desired") or self.desired
        return response

    def _refuse(self, response):
        """Return ``response`` when it is a success, else raise its error."""
        if response.ok and not response.is_redirect and response.status_code < 300:
            return response
        try:
            if response.status_code < 400:
                raise redirect_from(response, self.url)
            raise problem_from(response, self.url, self.has_token)
        finally:
            response.close()

    def _address(self, path):
        """Return the URL of ``path``, every segment quoted; a segment that would lead elsewhere is refused."""
        segments = [str(segment) for segment in path]
        for segment in segments:
            if segment in ("", ".", ".."):
                raise WindlassError(f"{segment!r} is not a name.", remedy="Give the name of something that exists.")
        return "/".join([self.url + BASE, *(urllib.parse.quote(segment, safe="") for segment in segments)])

    def _unreachable(self, error):
        """Return the Unreachable that explains ``error``, an exception of requests or urllib3."""
        reason, may_pass, remedy = explain(error)
        remedy = remedy or "Is the server running, and is that its address? Give another by --url or WINDLASS_URL."
        return Unreachable(f"Windlass does not answer at {self.url}: {reason}.", remedy, may_pass)


def explain(error):
    """Return (reason, whether trying again may help, remedy or None) for an exception of requests or urllib3."""
    text = str(error)
    if isinstance(error, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
        return (
            f"its certificate or TLS is not accepted ({_innermost(error)})",
            False,
            "Name the file of your own authority's certificates in REQUESTS_CA_BUNDLE.",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy failed ({_innermost(error)})", False, "See HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
    if isinstance(error, requests.exceptions.InvalidURL) or "label empty or too long" in text:
        return "that is not an address", False, None
    if "NameResolutionError" in text or "Name or service not known" in text:
        return "the name is not known", False, None
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {CONNECT_S} s", True, None
    if isinstance(error, (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
        return (
            "connected, but no answer came in time",
            False,
            "What was asked for may still be carried out; look before trying again.",
        )
    if "BadStatusLine" in text or "HttpVersionNotSupported" in text:
        return "what answers there does not speak HTTP", False, None
    if "refused" in text.lower():
        return "the connection was refused", True, None
    return f"the connection broke ({_innermost(error)})", True, None


def _innermost(error):
    """Return the text of the error at the bottom: the wrappers of requests and urllib3 say nothing to a person."""
    while True:
        inner = getattr(error, "reason", None) or next((part for part in error.args if isinstance(part, BaseException)), None)
        if not isinstance(inner, BaseException):
            return str(getattr(error, "strerror", None) or inner or error).strip(".")
        error = inner


def _rows(page):
    """Return the items of a list's page; BadAnswer when it is no list."""
    rows = page.get("items") if isinstance(page, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadAnswer(
            "The server answered without the list that was asked for.",
            remedy="Is the address that of a Windlass server?",
        )
    return rows
