"""The network between a worker and a host, as a test may have it: a byte proxy that cuts, hangs, or never says a word.

with Wire(host.address, (host.address, host.port)) as wire:
    wire.break_after(200_000, "hang")
    …
    wire.mend()
"""

import contextlib
import select
import socket
import struct
import threading

RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST, as a firewall does.
PIECE = 16 << 10


class Wire:
    """Passes bytes between those who connect to `port` at `address` and `target`, until it is told to break.

    Broken by "cut", connections are reset and new ones refused service; by "hang", they stay open and nothing passes any more,
    whatever either side does, as behind a pulled cable. New connections are accepted and hang, too.
    """

    def __init__(self, address, target):
        self.target = target
        self.listener = socket.create_server((address, 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        self.state, self.left, self.how = "whole", None, None
        self.broken = threading.Event()
        self.lock = threading.Lock()
        self.pairs = []
        self.accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self.accepting.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.accepting.join()
        self._reset()

    def break_after(self, count, how):
        """Break ("cut" or "hang") once `count` more bytes have gone to the target."""
        with self.lock:
            self.broken.clear()
            self.left, self.how = count, how

    def break_now(self, how):
        """Break at once."""
        with self.lock:
            self._break(how)

    def mend(self):
        """Let new connections through; those that hung are reset, as both ends have long given them up."""
        with self.lock:
            self.state, self.left = "whole", None
        self._reset()

    def let_others_through(self):
        """Let new connections through, while those that hang go on hanging."""
        with self.lock:
            self.state, self.left = "whole", None

    def await_broken(self, timeout_s=60):
        """Wait until so many bytes have passed that it broke."""
        assert self.broken.wait(timeout_s), f"fewer bytes than that were sent within {timeout_s} s"

    def _break(self, how):
        self.state, self.left = how, None
        self.broken.set()
        if how == "cut":
            self._reset()

    def _reset(self):
        pairs, self.pairs = self.pairs, []
        for end in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.state == "cut":
                near.close()
                continue
            far = None
            if self.state == "whole":
                try:
                    far = socket.create_connection(self.target, timeout=10)
                except OSError:
                    near.close()
                    continue
            pair = (near, far) if far else (near,)
            self.pairs.append(pair)
            if far:
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, near, far):
        """Pass bytes both ways until an end closes or the wire breaks."""
        with contextlib.suppress(OSError, ValueError):
            while True:
                for end in select.select([near, far], [], [], 0.2)[0]:
                    if self.state == "hang":
                        return
                    data = end.recv(PIECE)
                    if not data:
                        return self._end(near, far)
                    other, count = (far, self._count(len(data))) if end is near else (near, len(data))
                    other.sendall(data[:count])
                    if count < len(data):
                        return None
        self._end(near, far)

    def _end(self, near, far):
        """One end is gone, so the other is told; but not over a wire that hangs."""
        if self.state != "hang":
            near.close()
            far.close()

    def _count(self, size):
        """Return how many of `size` bytes may go to the target; breaks the wire when its time has come."""
        with self.lock:
            if self.left is None:
                return size
            if self.left > size:
                self.left -= size
                return size
            count, how = self.left, self.how
            self._break(how)
            return count
