"""Ports and connections, as the kernel shows them, and which ports an application gets."""

import fcntl
import os
import zlib

from remote.agent.machine.files import read_bytes, read_json, write_json
from remote.agent.places import SLOTS

PORTS = range(20000, 30000)


def allocate_ports(place):
    """Return {"a": port, "b": port}, kept from the first time on; a port taken by somebody else meanwhile is replaced."""
    root = os.open(place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(root, fcntl.LOCK_EX)  # Two applications at the same time must not choose the same port.
        ports = read_json(place.ports) or {}
        listening = listening_ports()
        taken = listening | others_ports(place)
        given = dict(ports)
        for slot in SLOTS:
            is_ours = os.path.exists(place.record(slot))
            if slot in ports and (is_ours or ports[slot] not in listening):
                continue
            taken.update(given.values())
            start = zlib.crc32(f"{place.base}-{slot}".encode()) % len(PORTS)
            order = (PORTS[(start + step) % len(PORTS)] for step in range(len(PORTS)))
            given[slot] = next(port for port in order if port not in taken)
        if given != ports:
            write_json(place.ports, given)
        return given
    finally:
        os.close(root)


def others_ports(place):
    """Return the ports that other applications below the same root were given."""
    ports = set()
    for app in os.listdir(place.root):
        if app != place.app:
            try:
                ports.update((read_json(f"{place.root}/{app}/state/ports.json") or {}).values())
            except OSError:
                continue  # Not ours to read, so not ours to share a supervisord with.
    return ports


def tcp_sockets():
    """Yield (local port, state) of every TCP socket; see proc_net_tcp in the kernel's documentation."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (read_bytes(table) or b"").splitlines()[1:]:
            fields = line.split()
            yield int(fields[1].rpartition(b":")[2], 16), fields[3]


def listening_ports():
    """Return the TCP ports something listens on."""
    return {port for port, state in tcp_sockets() if state == b"0A"}


def open_connections(address):
    """Return how many connections a server at this address has, those it has not accepted yet included."""
    if not isinstance(address, str):
        return sum(1 for port, state in tcp_sockets() if port == address[1] and state in (b"01", b"03", b"08"))
    count, path = 0, address.encode()
    for line in (read_bytes("/proc/net/unix") or b"").splitlines()[1:]:
        fields = line.split(None, 7)
        # Field 5 is the state: 2 waits to be accepted, 3 is connected. Accepted sockets bear the listener's path.
        count += len(fields) == 8 and fields[7] == path and fields[5] in (b"02", b"03")
    return count
