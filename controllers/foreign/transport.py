"""HTTP connections that go only to addresses the configuration allows (lib/egress.py), and that end in time.

A name is resolved once, its addresses are judged, and the connection goes to the very address that was judged: so neither a
redirect nor a name that changes its address gets around the fence. Where an administrator set a proxy, that decides.
"""

import contextlib
import functools
import socket
import ssl
import threading
import time
from http.cookiejar import DefaultCookiePolicy

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

import egress
from version import VERSION

_current = threading.local()


class Exchange:
    """One request with its answer, which must be over in `total_s` seconds; `failure` is why no connection was made.

    A server that sends a byte now and then keeps every single read within its time-out; this ends the connection itself.
    """

    def __init__(self, total_s):
        self.ends_at = time.monotonic() + total_s
        self.is_over = False
        self.failure = None
        self._connection = None
        self._timer = threading.Timer(total_s, self._end)
        self._timer.daemon = True

    def __enter__(self):
        _current.exchange = self
        self._timer.start()
        return self

    def __exit__(self, *_):
        _current.exchange = None
        self._timer.cancel()

    def watch(self, connection):
        """Remember the connection that is used, to end it when its time is over."""
        self._connection = connection

    def _end(self):
        self.is_over = True
        plug = getattr(self._connection, "sock", None)
        if plug is not None:
            with contextlib.suppress(OSError, AttributeError):
                socket.socket.shutdown(plug, socket.SHUT_RDWR)


class Fenced:
    """What both kinds of connections do differently from urllib3's."""

    def _new_conn(self):
        seconds = self.timeout if isinstance(self.timeout, (int, float)) else None
        try:
            plug = egress.connect(self._dns_host, self.port, seconds)
        except egress.NetworkError as error:
            exchange = getattr(_current, "exchange", None)
            if exchange:
                exchange.failure = error
            raise NewConnectionError(self, str(error)) from error
        plug.settimeout(seconds)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plug

    def request(self, *arguments, **options):
        """Send a request, which the exchange of this thread may end."""
        exchange = getattr(_current, "exchange", None)
        if exchange:
            exchange.watch(self)
        return super().request(*arguments, **options)


class PlainConnection(Fenced, HTTPConnection):
    """HTTP."""


class TLSConnection(Fenced, HTTPSConnection):
    """HTTPS."""


class PlainPool(HTTPConnectionPool):
    """HTTP connections to one place."""

    ConnectionCls = PlainConnection


class TLSPool(HTTPSConnectionPool):
    """HTTPS connections to one place."""

    ConnectionCls = TLSConnection


class FencedAdapter(HTTPAdapter):
    """What carries a session's requests out."""

    def __init__(self, context):
        self.context = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections, maxsize, block=False, **options):
        """Make the pools with our connections and our trust."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self.context, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TLSPool}

    def cert_verify(self, conn, *_):
        """Have the certificate verified by our context alone.

        Requests would have its own authorities read into that context again for each connection, which takes 40 ms.
        """
        conn.cert_reqs = "CERT_REQUIRED"

    def proxy_manager_for(self, proxy, **options):
        """Make the pools for an administrator's proxy, which decides itself where it goes."""
        return super().proxy_manager_for(proxy, ssl_context=self.context, **options)


@functools.lru_cache(maxsize=64)
def trust(ca=None, also_public=False):
    """Return the TLS context that trusts one authority's certificates (PEM), or the usual public ones. Raises ssl.SSLError.

    also_public: trust the public ones beside that authority. Reading all authorities takes 50 to 100 ms, so each context is
    made once in a process; nobody may change it.
    """
    context = ssl.create_default_context(cadata=ca)
    if also_public or not ca:
        context.load_verify_locations(certifi.where())
    return context


def session(ca=None, keeps_cookies=False):
    """Return a requests.Session that reads no configuration of this user and goes through the fence. Raises ssl.SSLError."""
    made = requests.Session()
    made.trust_env = False
    made.headers.update({"User-Agent": f"windlass/{VERSION}", "Accept": "application/json"})
    if not keeps_cookies:
        made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    proxies = egress.proxies()
    if proxies:
        everywhere = proxies.get("all_proxy")
        made.proxies = {
            "http": proxies.get("http_proxy", everywhere),
            "https": proxies.get("https_proxy", everywhere),
            "no_proxy": proxies.get("no_proxy"),
        }
    # A system of one's own authority may redirect to a store with a public certificate, where its files are kept.
    adapter = FencedAdapter(trust(ca, also_public=True))
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made
