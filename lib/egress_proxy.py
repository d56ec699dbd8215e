"""A SOCKS5 proxy for programs that Windlass starts, on this machine: it opens only connections that lib/egress.py allows.

git and uv resolve names and follow redirects themselves, so a check of the first URL alone would not hold. They are
given this proxy and nothing else, and it judges every connection with the address it then connects to.

Protocol: RFC 1928 (SOCKS version 5), without authentication, command CONNECT only.
"""

import contextlib
import logging
import socket
import threading

import egress

CONNECT_TIMEOUT_S = 15
HANDSHAKE_TIMEOUT_S = 10
READ_BYTES = 64 * 1024
VERSION, CONNECT, NO_AUTHENTICATION = 5, 1, 0
IPV4, NAME, IPV6 = 1, 3, 4
GRANTED, REFUSED, UNREACHABLE, BAD_COMMAND = 0, 2, 4, 7
NOWHERE = b"\x00\x01\x00\x00\x00\x00\x00\x00"  # Reserved, IPv4, 0.0.0.0:0: no client cares where we connect from.

log = logging.getLogger(__name__)


class EgressProxy:
    """A proxy for the length of a `with` block; `failures` lists, oldest first, why connections were not opened.

    `has_refused` is true when the fence was the reason of one: asking again is pointless then.
    """

    def __init__(self):
        self.failures = []
        self.has_refused = False
        self._open = set()
        self._guard = threading.Lock()
        self._closed = False

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, name="egress-proxy", daemon=True).start()
        return self

    def __exit__(self, *_):
        with self._guard:
            self._closed = True
            plugs = [self._listener, *self._open]
        for plug in plugs:
            shut(plug)

    def variables(self):
        """Return the environment variables that send git (libcurl) and uv (reqwest) through the proxy."""
        configured = egress.proxies()
        if configured:
            return {**configured, **{name.upper(): value for name, value in configured.items()}}
        url = f"socks5h://127.0.0.1:{self._listener.getsockname()[1]}"
        return {"all_proxy": url, "ALL_PROXY": url}

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._keep(client):
                threading.Thread(target=self._serve, args=(client,), name="egress-proxy-connection", daemon=True).start()

    def _keep(self, plug):
        """Remember a socket so that it is closed with the proxy; returns False when that is closed already."""
        with self._guard:
            if not self._closed:
                self._open.add(plug)
                return True
        shut(plug)
        return False

    def _serve(self, client):
        try:
            client.settimeout(HANDSHAKE_TIMEOUT_S)
            server = self._open_for(client)
            if server is None or not self._keep(server):
                return
            client.settimeout(None)
            client.sendall(bytes((VERSION, GRANTED)) + NOWHERE)
            other_way = threading.Thread(target=pump, args=(client, server), name="egress-proxy-pump", daemon=True)
            other_way.start()
            pump(server, client)
            other_way.join()
            self._forget(server)
        except (OSError, ValueError) as error:
            log.debug("a connection through the proxy ended: %s", error)
        finally:
            self._forget(client)

    def _forget(self, plug):
        shut(plug)
        with self._guard:
            self._open.discard(plug)

    def _open_for(self, client):
        """Speak SOCKS with a client and return the socket it asked for, or None after telling it why not."""
        version, methods = read(client, 2)
        read(client, methods)
        if version != VERSION:
            return None
        client.sendall(bytes((VERSION, NO_AUTHENTICATION)))
        _, command, _, kind = read(client, 4)
        host = read_host(client, kind)
        port = int.from_bytes(read(client, 2), "big")
        if command != CONNECT:
            client.sendall(bytes((VERSION, BAD_COMMAND)) + NOWHERE)
            return None
        try:
            return egress.connect(host, port, CONNECT_TIMEOUT_S)
        except egress.NetworkError as error:
            self.failures.append(str(error))
            self.has_refused |= isinstance(error, egress.Refused)
            code = REFUSED if isinstance(error, egress.Refused) else UNREACHABLE
            client.sendall(bytes((VERSION, code)) + NOWHERE)
            return None


def read(plug, count):
    """Return exactly `count` bytes from a socket; raises ValueError when it ends before."""
    data = b""
    while len(data) < count:
        more = plug.recv(count - len(data))
        if not more:
            raise ValueError("the connection ended within a SOCKS request")
        data += more
    return data


def read_host(plug, kind):
    """Return the host of a SOCKS request: a name or an address."""
    if kind == NAME:
        return read(plug, read(plug, 1)[0]).decode("idna")
    if kind in (IPV4, IPV6):
        return socket.inet_ntop(*((socket.AF_INET, read(plug, 4)) if kind == IPV4 else (socket.AF_INET6, read(plug, 16))))
    raise ValueError("unknown kind of address in a SOCKS request")


def pump(source, sink):
    """Copy bytes from one socket to the other until the first ends, and tell the other so."""
    with contextlib.suppress(OSError):
        while data := source.recv(READ_BYTES):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def shut(plug):
    """Close a socket, waking up whoever waits on it."""
    with contextlib.suppress(OSError):
        plug.shutdown(socket.SHUT_RDWR)
    plug.close()
