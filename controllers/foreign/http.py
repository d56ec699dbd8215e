"""The HTTP client of all drivers of foreign systems: fenced, in time, in bounds, and honest about what went wrong.

A GET is repeated a few times when the connection fails, and never otherwise; what a system wants with Retry-After is passed on to
the caller (ForeignError.retry_after_s), who has a schedule, and never slept on. Anything that changes something is sent once:
where its answer is lost, Unclear is raised, and the driver looks up what became of it.
"""

import hashlib
import json
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError as TransferError

import egress
from config import settings
from controllers.foreign import answers, errors, transport, vendor_messages
from controllers.foreign.credentials import headers_of
from controllers.foreign.errors import ForeignError, Unclear
from masking import Masker

PAUSES_S = (0.1, 0.4)  # Before the second and the third attempt of a GET.
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
PIECE_BYTES = 64 * 1024
SAFE = frozenset({"GET", "HEAD"})
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
KINDS = {
    401: errors.REFUSED_CREDENTIALS,
    403: errors.NOT_PERMITTED,
    404: errors.NOT_FOUND,
    408: errors.TIMED_OUT,
    409: errors.CONFLICT,
    412: errors.CONFLICT,
    413: errors.TOO_LARGE,
    429: errors.RATE_LIMITED,
    504: errors.TIMED_OUT,
}
WHAT = {
    errors.REFUSED_CREDENTIALS: ("refuses the credentials", "Enter new ones; until then it is not asked again."),
    errors.NOT_PERMITTED: (
        "does not permit this to the owner of the credentials",
        "docs/integrations.md lists the permissions they need.",
    ),
    errors.NOT_FOUND: ("has no such thing, or hides it", "Check the name, and what the credentials may see."),
    errors.CONFLICT: ("finds that this contradicts what it has", "Look there what it is, and try again."),
    errors.TOO_LARGE: ("takes nothing as large as this", "Raise its limit, or send less."),
    errors.RATE_LIMITED: ("was asked too often", "It is asked again later."),
    errors.TIMED_OUT: ("did not answer in time", "It is asked again later; look whether it is well."),
    errors.UNAVAILABLE: ("is out of order", "It is asked again later; look whether it is well."),
    errors.REFUSED: ("refuses the request", "Check what the application and the integration name."),
    errors.BAD_ANSWER: ("gives no answer that can be used", "Check its URL."),
}


class ConnectionLost(Exception):
    """A request had no whole answer; `was_sent` says whether the system may have seen it."""

    def __init__(self, reason, was_sent, kind=errors.UNAVAILABLE):
        super().__init__(reason)
        self.was_sent = was_sent
        self.kind = kind


@dataclass
class Answer:
    """An answer: status, headers (a case-insensitive dict), body (bytes; empty where it went into a file), and its URL."""

    status: int
    headers: CaseInsensitiveDict
    body: bytes
    url: str
    size: int = 0
    sha256: str | None = None


class JsonObject(dict):
    """A JSON object of an answer: a member that is asked for and is not there is a ForeignError, not a KeyError."""

    def __init__(self, found, http):
        super().__init__(found)
        self.http = http

    def __missing__(self, name):
        raise self.http.bad_answer(f"it lacks '{name}'")


class Http:
    """A system's API. access: foreign.Access; base_url: what paths are below of; login: headers that carry credentials,
    made from the integration's credentials where left out; headers: more headers for every request to the system itself.
    """

    def __init__(self, access, base_url=None, login=None, headers=None, keeps_cookies=False):
        self.access = access
        self.base_url = (base_url or access.url or "").rstrip("/")
        login = headers_of(access.credentials) if login is None else login
        self.own_headers = {**(headers or {}), **login}
        self.mask = Masker([*access.secrets(), *(value.rpartition(" ")[2] for value in login.values())])
        self.circuit = access.breaker
        if not self.base_url:
            raise self.error(errors.UNUSABLE, f"{self.who} has no URL: give it one.")
        try:
            self.session = transport.session(access.settings.get("ca"), keeps_cookies)
        except ssl.SSLError:
            raise self.error(errors.UNUSABLE, f"{self.who} has a setting ca that is no certificate (PEM): correct it.") from None

    # What drivers call.

    def get(self, path, params=None, *, headers=None, limit=None, also=()):
        """Return the Answer to a GET. path: below base_url, or a whole URL; limit: most bytes of the body; also: statuses
        beside 2xx that are no error here. Raises ForeignError.
        """
        return self.ask("GET", path, params=params, headers=headers, limit=limit, also=also)

    def get_json(self, path, params=None, shape=dict, **options):
        """Return what a GET answers, as JSON of the type `shape`. Raises ForeignError."""
        return self.json_of(self.get(path, params, **options), shape)

    def download(self, path, file, limit, sha256=None, params=None):
        """Write what a GET answers into a binary file, at most `limit` bytes; returns the Answer with `size` and `sha256`.

        Raises ForeignError, also when the content has another digest than `sha256`; what is in the file is worthless then.
        """
        answer = self.ask("GET", path, params=params, headers={"Accept": "*/*"}, limit=limit, sink=file)
        if sha256 is not None and answer.sha256 != sha256:
            raise self.error(
                errors.BAD_ANSWER,
                f"{self.who} gave {self.place(answer.url)} with the SHA-256 {answer.sha256}, not {sha256}: "
                "it was changed or damaged there.",
            )
        return answer

    def post_json(self, path, body=None, params=None, shape=dict, **options):
        """Send JSON by POST; returns what comes back as JSON of the type `shape`, None for an empty answer or shape=None."""
        return self.sent_json("POST", path, body, params, shape, **options)

    def put(self, path, body=None, params=None, shape=dict, **options):
        """Send JSON by PUT; returns as post_json does."""
        return self.sent_json("PUT", path, body, params, shape, **options)

    def delete(self, path, params=None, **options):
        """DELETE something; returns the Answer."""
        return self.ask("DELETE", path, params=params, **options)

    def sent_json(self, method, path, body, params, shape, **options):
        """Send JSON by any method; returns as post_json does. Raises ForeignError, Unclear."""
        content = None if body is None else json.dumps(body).encode()
        headers = {**({} if body is None else {"Content-Type": "application/json"}), **options.pop("headers", {})}
        answer = self.ask(method, path, params=params, data=content, headers=headers, **options)
        return self.json_of(answer, shape) if shape is not None and answer.body else None

    # How it is done.

    def ask(self, method, path, *, params=None, headers=None, data=None, limit=None, sink=None, also=()):
        """Make any request; data: bytes, a dict for a form, or a binary file; sink: a file for the body. Returns the Answer.

        Raises ForeignError, and Unclear where a POST or PATCH may have been carried out.
        """
        self.circuit.check()  # Before anybody waits for a slot; what has happened meanwhile is looked at again after it.
        total_s = (
            settings.foreign.transfer_timeout_s if sink is not None or hasattr(data, "read") else settings.foreign.total_timeout_s
        )
        limit = limit or settings.foreign.max_answer_bytes
        with self.circuit.slot(self.allowed_s(total_s)), self.circuit.watching():
            answer = self.followed(method, self.url_of(path), params, headers or {}, data, limit, sink, total_s)
            self.check(method, answer, also)
        return answer

    def allowed_s(self, usual_s):
        """Return the seconds that a request may take. Raises ForeignError when whoever asks waits no longer."""
        left_s = self.access.left_s(usual_s)
        if not left_s:
            raise self.error(
                errors.TIMED_OUT, f"{self.who} did not answer everything in the time there is for this: ask for less."
            )
        return left_s

    def followed(self, method, url, params, headers, data, limit, sink, total_s):
        """Make a request, and follow the redirects of a GET."""
        for _ in range(MOST_REDIRECTS + 1):
            answer = self.repeated(method, url, params, headers, data, limit, sink, total_s)
            place = answer.headers.get("Location")
            if method not in SAFE or answer.status not in REDIRECTS or not place:
                return answer
            target = urljoin(url, place)
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise self.error(
                    errors.BAD_ANSWER,
                    f"{self.who} redirects from https to {urlsplit(target).scheme or 'nowhere'}, "
                    "which is not followed: check its URL.",
                )
            url, params = target, None
        raise self.error(errors.BAD_ANSWER, f"{self.who} redirects in circles: check its URL.")

    def repeated(self, method, url, params, headers, data, limit, sink, total_s):
        """Make a request, a GET several times when the connection fails."""
        pauses = PAUSES_S if method in SAFE else ()
        for pause_s in (*pauses, None):
            try:
                return self.once(method, url, params, headers, data, limit, sink, total_s)
            except ConnectionLost as lost:
                if pause_s is not None and lost.kind == errors.UNAVAILABLE:
                    time.sleep(pause_s)
                    continue
                hint = "It is asked again later; look whether it is well."
                sentence = f"{self.who} cannot be used now: {self.mask(str(lost))} {hint}"
                if lost.was_sent and method not in IDEMPOTENT:
                    raise Unclear(
                        f"{self.who} was sent a request and its answer was lost: {self.mask(str(lost))} "
                        "What became of it is looked up before it is sent again.",
                        self.access,
                    ) from None
                raise self.error(lost.kind, sentence) from None

    def once(self, method, url, params, headers, data, limit, sink, total_s):
        """Make one request. Raises ConnectionLost, ForeignError."""
        if sink is not None:
            sink.seek(0)
            sink.truncate()
        total_s = self.allowed_s(total_s)
        timeouts = [min(total_s, usual_s) for usual_s in (settings.foreign.connect_timeout_s, settings.foreign.read_timeout_s)]
        was_sent = False
        with transport.Exchange(total_s) as exchange:
            try:
                with self.session.request(
                    method,
                    url,
                    params=params,
                    headers={**(self.own_headers if self.is_own(url) else {}), **headers},
                    data=data,
                    timeout=tuple(timeouts),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    was_sent = True
                    return self.read(response, limit, sink if response.ok else None, exchange)
            except (requests.RequestException, TransferError, OSError, ValueError) as error:
                raise self.lost(error, exchange, was_sent or method not in SAFE, total_s) from None

    def read(self, response, limit, sink, exchange):
        """Return the Answer of a response, its body read piece by piece. Raises ForeignError for one that is too large."""
        body, size, digest = bytearray(), 0, hashlib.sha256()
        while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
            if exchange.is_over:
                raise TimeoutError()
            size += len(piece)
            if size > limit:
                raise self.error(errors.TOO_LARGE, f"{self.who} answered with more than {limit} bytes, which is not taken.")
            digest.update(piece)
            body += b"" if sink else piece
            if sink:
                sink.write(piece)
        if exchange.is_over:
            raise TimeoutError()
        return Answer(response.status_code, response.headers, bytes(body), response.url, size, digest.hexdigest())

    def lost(self, error, exchange, was_sent, total_s):
        """Return the ConnectionLost for what the HTTP library raised, or the ForeignError for what no attempt can mend."""
        if exchange.is_over:
            return ConnectionLost(f"it took longer than {round(total_s, 1)} s.", was_sent, errors.TIMED_OUT)
        failure = exchange.failure
        if isinstance(failure, egress.Refused):
            return self.error(errors.UNUSABLE, f"{self.who} cannot be asked: {failure}")
        if failure is not None:
            return ConnectionLost(str(failure), False)
        if isinstance(error, requests.exceptions.SSLError):
            return self.error(
                errors.UNAVAILABLE,
                f"{self.who} cannot be asked: its certificate is not one this machine trusts. "
                "Give its authority's certificate in the setting ca.",
            )
        if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, UnicodeError)):
            return self.error(
                errors.UNUSABLE, f"{self.who} cannot be asked: its URL or its credentials hold unusable characters."
            )
        if isinstance(error, (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema)):
            return self.error(errors.BAD_ANSWER, f"{self.who} leads to a place that is no http:// or https:// URL.")
        if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
            return ConnectionLost("it did not answer in time.", was_sent, errors.TIMED_OUT)
        return ConnectionLost("the connection ended before the whole answer was there.", was_sent)

    def check(self, method, answer, also):
        """Raise ForeignError unless an answer says that all went well."""
        headers, status = answer.headers, answer.status
        denied = headers.get("X-Seraph-LoginReason", "").startswith(("AUTHENTICATION_", "AUTHORISATION_FAILED"))
        denied = denied or (status == 403 and bool(headers.get("X-Authentication-Denied-Reason")))
        if not denied and (200 <= status < 300 or status in also):
            return
        code, message = vendor_messages.code_and_message(answer, self.mask)
        wait_s = vendor_messages.retry_after(headers)
        kind = KINDS.get(status, errors.UNAVAILABLE if status >= 500 else errors.REFUSED)
        if denied:
            kind = errors.REFUSED_CREDENTIALS
        elif status == 403 and wait_s is not None:
            kind = errors.RATE_LIMITED
        elif status in REDIRECTS or status < 200:
            kind, message = errors.BAD_ANSWER, "it redirects elsewhere, perhaps to a page to log in"
        elif status in (502, 504) and method not in IDEMPOTENT:
            raise Unclear(
                f"{self.who} answered with HTTP {status}, so it is not known whether it did what it was asked.",
                self.access,
                vendor_status=status,
            )
        raise self.refused(kind, status, code, message, wait_s)

    def refused(self, kind, status, code=None, message=None, retry_after_s=None):
        """Return the ForeignError for an answer that says that something went wrong."""
        what, hint = WHAT[kind]
        summary = f"HTTP {status}" + (f", “{message.rstrip('.')}”" if message else "")
        if kind == errors.RATE_LIMITED and retry_after_s:
            hint = f"It is asked again in {retry_after_s} s at the earliest."
        return ForeignError(f"{self.who} {what} ({summary}). {hint}", kind, self.access, status, code, message, retry_after_s)

    def json_of(self, answer, shape):
        """Return an answer's body as JSON of the type `shape`. Raises ForeignError for anything else."""
        kind = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise self.bad_answer(f"it is {kind or 'of no type'} where JSON was expected, perhaps a page to log in")
        try:
            value = json.loads(answer.body, object_hook=lambda found: JsonObject(found, self))
        except (ValueError, RecursionError):
            raise self.bad_answer("it is not valid JSON") from None
        if not isinstance(value, shape):
            raise self.bad_answer(f"it is JSON of another shape ({type(value).__name__})")
        return value

    def bad_answer(self, why):
        """Return the ForeignError for an answer that cannot be used; drivers raise it for what they miss in one."""
        return answers.bad_answer(self.access, why, self.who)

    def error(self, kind, sentence):
        """Return a ForeignError of this system."""
        return ForeignError(sentence, kind, self.access)

    # Where things are.

    @property
    def who(self):
        """The system, at the beginning of a sentence."""
        return answers.named(self.access, f"The system at {self.base_url}")

    def url_of(self, path):
        """Return the URL of a path below base_url, or a whole URL as it is."""
        return path if path.startswith(("https://", "http://")) else f"{self.base_url}/{path.lstrip('/')}"

    def is_own(self, url):
        """Say whether a URL has the origin of the system itself: only then it is given the credentials."""
        return origin(url) == origin(self.base_url)

    def place(self, url):
        """Return a URL as people may see it: without its query, which may hold a signature."""
        return self.mask(url.partition("?")[0])


def origin(url):
    """Return (scheme, host, port) of a URL."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return parts.scheme.lower(), (parts.hostname or "").lower(), port or egress.DEFAULT_PORTS.get(parts.scheme.lower())
