"""Which network addresses Windlass itself may connect to, for repositories, package indexes, webhooks and integrations.

Whoever may configure a URL could otherwise make Windlass read what only this machine can reach. Public addresses are
open; of the others only the networks of the setting `network.allow` are, and never loopback, link-local or a cloud's
metadata service unless they are listed. The addresses a name resolves to are judged, not the name, and connections go
to the very address that was judged.
"""

import functools
import ipaddress
import os
import socket
from urllib.parse import urlsplit

from config import settings

DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}
NAT64 = ipaddress.ip_network("64:ff9b::/96")
# What organisations use inside (RFC 1918, 6598, 4193 and their like). Addresses for documentation lead nowhere and stay open.
INSIDE = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
        ),
    )
)
GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
# These answer with a machine's credentials although they are in networks that are otherwise public or private.
METADATA = frozenset(map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200")))
PROXY_VARIABLES = ("https_proxy", "http_proxy", "all_proxy")


class NetworkError(Exception):
    """A place cannot be reached; the message is a sentence for people."""


class Refused(NetworkError):
    """The fence does not let Windlass go there."""


class Unresolved(NetworkError):
    """The name has no address."""


class Unreachable(NetworkError):
    """Nothing answers at the address."""


@functools.lru_cache(maxsize=8)
def networks(listed):
    """Return the networks of a tuple of CIDR texts."""
    return tuple(ipaddress.ip_network(text) for text in listed)


def inner(address):
    """Return the IPv4 address that an IPv6 address stands for, if it does, else the address itself."""
    if address.version == 4:
        return address
    if address in NAT64:
        return ipaddress.ip_address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def kind_of(address):
    """Return what makes an address one that is not open to everybody, or None for a public one."""
    if address in METADATA:
        return "a cloud's metadata service"
    if address.is_loopback:
        return "this machine itself"
    if address.is_link_local:
        return "a link-local address"
    if address.is_unspecified or address.is_multicast or (address.version == 4 and address.is_reserved):
        return "no single machine's address"
    is_inside = address not in GLOBAL_IPV6 if address.version == 6 else any(address in network for network in INSIDE)
    return "a private address" if is_inside else None


def check_address(text):
    """Raise Refused unless Windlass may connect to an IP address (text)."""
    address = inner(ipaddress.ip_address(text.partition("%")[0]))
    kind = kind_of(address)
    if kind is None:
        return
    allowed = [network for network in networks(tuple(settings.network.allow)) if address in network]
    if address in METADATA:
        allowed = [network for network in allowed if network.num_addresses == 1]
    if not allowed:
        raise Refused(f"{address} is {kind}, where Windlass does not go. If it is meant to, add it to the setting network.allow.")


def addresses_of(host, port):
    """Return the (family, socket address) pairs of a host, all of them checked; raises Refused or Unresolved."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unresolved(f"The name {host} cannot be resolved ({getattr(error, 'strerror', None) or error}).") from None
    for _, _, _, _, place in found:
        try:
            check_address(place[0])
        except Refused as error:
            raise Refused(str(error) if place[0] == host else f"{host}: {error}") from None
    return [(family, place) for family, _, _, _, place in found]


def connect(host, port, timeout_s):
    """Return a connected socket to a host that the fence lets through; raises a NetworkError."""
    failure = None
    for family, place in addresses_of(host, port):
        plug = socket.socket(family, socket.SOCK_STREAM)
        plug.settimeout(timeout_s)
        try:
            plug.connect(place)
        except OSError as error:
            plug.close()
            failure = error
            continue
        plug.settimeout(None)
        return plug
    reason = "no answer in time" if isinstance(failure, TimeoutError) else (failure.strerror or str(failure)).lower()
    raise Unreachable(f"{host}, port {port}, cannot be reached: {reason}.")


def check_url(url, schemes=("https", "http")):
    """Raise NetworkError unless a URL has one of the schemes and names a host Windlass may be sent to; returns its parts."""
    parts = urlsplit(url)
    if parts.scheme not in schemes:
        raise Refused(f"The URL must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}.")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or host.startswith("-"):
        raise Refused("The URL names no host.")
    if not proxies():
        addresses_of(host, port or DEFAULT_PORTS.get(parts.scheme, 0))
    return parts


def proxies(environ=None):
    """Return the proxy variables this process was started with: where an administrator set a proxy, that is the way out.

    It is then the proxy, not this fence, that resolves names and decides.
    """
    environ = os.environ if environ is None else environ
    found = {}
    for name in PROXY_VARIABLES:
        value = environ.get(name) or environ.get(name.upper())
        if value:
            found[name] = value
    if found and (excluded := environ.get("no_proxy") or environ.get("NO_PROXY")):
        found["no_proxy"] = excluded
    return found
