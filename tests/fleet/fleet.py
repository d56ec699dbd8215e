"""A fleet of hosts on loopback addresses of their own.

with Fleet(size=2) as fleet:
    fleet[0].authorize(public_key)
    requests.post(f"{api}/hosts", json=fleet[0].api_payload())
"""

import concurrent.futures
import contextlib
import tempfile
from pathlib import Path

from .host import Host
from .keeper import FleetError, Keeper

NETWORKS = range(1, 250)  # The third octet of 127.0.N.M; each fleet on this machine claims one.


class Fleet:
    """`size` running hosts between `with` and its end; iterate or index it for the hosts.

    `directory` must be short, as unix sockets' paths are limited to 107 bytes (default: a new /tmp/wl-XXXXXXXX, removed at
    the end); `python` is the hosts' interpreter. Raises FleetError when a daemon does not start, NotAvailable when it is not
    on this machine.
    """

    def __init__(self, directory=None, size=1, python=None):
        self.directory = Path(directory) if directory else None
        self.size, self.python = size, python
        self.keeper, self.network = Keeper(), None
        self.hosts = []
        self._open = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as opening:
            opening.enter_context(self.keeper)
            self.network = claim_network(self.keeper)
            self._make_directory()
            self.hosts = [self._host(number) for number in range(1, self.size + 1)]
            with concurrent.futures.ThreadPoolExecutor(self.size) as pool:
                list(pool.map(Host.start, self.hosts))
            self._open = opening.pop_all()
        return self

    def __exit__(self, *problem):
        return self._open.__exit__(*problem)

    def __iter__(self):
        return iter(self.hosts)

    def __len__(self):
        return len(self.hosts)

    def __getitem__(self, index):
        return self.hosts[index]

    def _make_directory(self):
        if self.directory is None:
            self.directory = Path(tempfile.mkdtemp(prefix="wl-", dir="/tmp"))
            self.keeper.entrust(self.directory)
        self.directory.mkdir(exist_ok=True)
        self.directory.chmod(0o755)  # nginx's workers are another user.

    def _host(self, number):
        folder, address = self.directory / f"h{number}", f"127.0.{self.network}.{number}"
        return Host(self.keeper, folder, f"host-{self.network}-{number}", address, self.python)


def claim_network(keeper):
    """Return a third octet that no other fleet on this machine has for as long as `keeper` lives."""
    for number in NETWORKS:
        if keeper.claim(f"windlass-fleet-127.0.{number}"):
            return number
    raise FleetError("all loopback networks 127.0.1 to 127.0.249 are claimed by other fleets")
