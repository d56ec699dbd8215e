"""A client that never stops asking, to prove that a deploy drops no request.

with Hammer(host.url, "shop.example") as hammer:
    hammer.await_version("1")
    …deploy…
    hammer.await_version("2")
assert hammer.failures == []
"""

import collections
import contextlib
import http.client
import threading
import time
import urllib.parse
from dataclasses import dataclass

VARIANTS = ("close", "keep-alive")


@dataclass(frozen=True)
class Failure:
    """A request that was not answered as it should be: when (seconds since 1970), by which variant, and why."""

    at: float
    variant: str
    reason: str


class Status(Exception):
    """An answer of 400 or more."""


def whole_body(body):
    """Return the version a body stands for: its text, cut at 200 characters."""
    return body.decode(errors="replace").strip()[:200]


class Hammer:
    """Asks `url` again and again between `with` and its end, in one thread for each variant: a new connection for every
    request ("close") or one connection for as long as the server keeps it ("keep-alive").

    `host_header` is the name asked for, `rate` the requests a second and variant, `timeout_s` the longest wait for an answer
    and `version_of` what makes a version out of a body (bytes). Afterwards: `requests`, `failures`, `versions` (how often each
    was served), `changes` [(seconds since 1970, version)] and `slowest_s`.
    """

    def __init__(self, url, host_header=None, rate=30, variants=VARIANTS, timeout_s=10, version_of=whole_body):
        parts = urllib.parse.urlsplit(url)
        self.address = (parts.hostname, parts.port or 80)
        self.path = parts.path or "/"
        self.host_header = host_header or parts.netloc
        self.interval_s, self.timeout_s, self.version_of = 1 / rate, timeout_s, version_of
        self.requests, self.slowest_s = 0, 0.0
        self.failures, self.changes, self.versions = [], [], collections.Counter()
        self._news = threading.Condition()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(variant,), daemon=True) for variant in variants]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def await_version(self, version, timeout_s=60):
        """Wait until the newest answer is `version`; raises TimeoutError."""
        self._await(lambda: self.changes and self.changes[-1][1] == version, timeout_s, f"version {version!r}")

    def await_requests(self, count, timeout_s=60):
        """Wait until `count` more requests were made; raises TimeoutError."""
        wanted = self.requests + count
        self._await(lambda: self.requests >= wanted, timeout_s, f"{count} more requests")

    def await_failure(self, timeout_s=60):
        """Wait until a request has failed; raises TimeoutError."""
        self._await(lambda: self.failures, timeout_s, "failure")

    def _await(self, is_so, timeout_s, what):
        with self._news:
            if not self._news.wait_for(is_so, timeout_s):
                raise TimeoutError(
                    f"no {what} within {timeout_s} s; {len(self.failures)} failures, {self.failures[-1:]}, "
                    f"last version {self.changes[-1:]}"
                )

    def _run(self, variant):
        connection, due = None, time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due + self.interval_s, time.monotonic())
            begun = time.monotonic()
            try:
                connection, body = self._ask(connection, variant)
                self._note(variant, begun, version=self.version_of(body))
            except (OSError, http.client.HTTPException, Status) as error:
                connection = None
                self._note(variant, begun, reason=f"{type(error).__name__}: {error}")
        if connection:
            connection.close()

    def _ask(self, connection, variant):
        """Make one request; returns (the connection if it can be used again, body)."""
        if connection:
            # A server may close an idle connection at the moment it is used again; clients then ask once more (RFC 9110, 9.2.2).
            with contextlib.suppress(http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                return self._exchange(connection, variant)
        return self._exchange(http.client.HTTPConnection(*self.address, timeout=self.timeout_s), variant)

    def _exchange(self, connection, variant):
        try:
            connection.request("GET", self.path, headers={"Host": self.host_header, "Connection": variant})
            response = connection.getresponse()
            body = response.read()
        except BaseException:
            connection.close()
            raise
        if response.status >= 400:
            connection.close()
            raise Status(f"{response.status} {response.reason}")
        if variant == "close" or response.will_close:
            connection.close()
            return None, body
        return connection, body

    def _note(self, variant, begun, version=None, reason=None):
        now = time.time()
        with self._news:
            self.requests += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            if reason:
                self.failures.append(Failure(now, variant, reason))
            else:
                self.versions[version] += 1
                if not self.changes or self.changes[-1][1] != version:
                    self.changes.append((now, version))
            self._news.notify_all()
