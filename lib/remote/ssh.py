"""Open an agent session over SSH: one connection, pinned host key, hard deadlines.

paramiko's own policies would accept or prompt; here the key must equal the pinned one. TCP_NODELAY is set because
Nagle's algorithm costs some 40 ms for every small answer, and the window is large so that bulk does not wait for acks.
"""

import contextlib
import shlex
import socket
import threading

import paramiko

from hostkeys import fingerprint
from remote.session import ConnectionLost, Session, agent_argv

WINDOW_BYTES = 8 * 1024 * 1024
MAX_PACKET_BYTES = 64 * 1024
COMPARED_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")


class Unreachable(ConnectionLost):
    """A host that could not be logged in to.

    `code` is stable, `remedy` says what to do, `is_final` that waiting will not help.
    """

    def __init__(self, message, code, remedy, is_final=False):
        super().__init__(message)
        self.code, self.remedy, self.is_final = code, remedy, is_final


def line_of(key):
    """Return a paramiko key as "type base64"."""
    return f"{key.get_name()} {key.get_base64()}"


def connect_socket(address, port, timeout_s):
    """Return a connected TCP socket; raises Unreachable."""
    try:
        sock = socket.create_connection((address, port), timeout=timeout_s)
    except socket.gaierror as error:
        raise Unreachable(
            f"the name {address} cannot be resolved: {error.strerror}", "name-unresolved", "Correct the host's address."
        ) from None
    except OSError as error:
        reason = error.strerror or "timed out"
        raise Unreachable(
            f"{address}:{port} does not answer: {reason}",
            "host-unreachable",
            "See that the host is up, that sshd listens there and that no firewall is between.",
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def preferred_key_types(pinned):
    """Return the host-key algorithms to ask for: the pinned key's first, so that a host with several keys shows that one."""
    if not pinned:
        return COMPARED_KEY_TYPES
    kind = pinned.split()[0]
    return RSA_SIGNATURES if kind == "ssh-rsa" else (kind,)


def start_transport(address, port, pinned, timeout_s):
    """Return a paramiko Transport after the key exchange, host key not yet compared; raises Unreachable."""
    sock = connect_socket(address, port, timeout_s)
    transport = paramiko.Transport(sock, default_window_size=WINDOW_BYTES, default_max_packet_size=MAX_PACKET_BYTES)
    transport.banner_timeout = transport.handshake_timeout = 2 * timeout_s  # start_client()'s own time runs out first.
    transport.auth_timeout = timeout_s
    options = transport.get_security_options()
    options.key_types = [kind for kind in preferred_key_types(pinned) if kind in options.key_types] or options.key_types
    options.ciphers = sorted(options.ciphers, key=lambda cipher: "gcm" not in cipher)
    try:
        transport.start_client(timeout=timeout_s)
        if not transport.initial_kex_done:  # start_client() returns after its time without a word about it.
            raise paramiko.SSHException(f"no answer within {timeout_s} seconds")
    except (paramiko.SSHException, OSError, EOFError) as error:
        transport.close()
        if pinned and "no acceptable host key" in str(error).lower():
            raise changed_key(address, port, pinned, "a key of another type") from None
        raise Unreachable(
            f"{address}:{port} accepts connections but SSH cannot be agreed on: {error or 'no answer in time'}",
            "ssh-handshake",
            "See that an SSH server listens on that port.",
        ) from None
    return transport


def changed_key(address, port, pinned, seen):
    """Return the error for a host that shows another key than the pinned one."""
    return Unreachable(
        f"{address}:{port} shows {seen}, but {fingerprint(pinned)} is pinned",
        "host-key-changed",
        "If the host was set up anew, compare the fingerprint on its console and pin it with `windlass hosts trust`; "
        "otherwise somebody may be between you and the host.",
        is_final=True,
    )


def check_key(transport, address, port, pinned):
    """Compare the host's key with the pinned one; raises Unreachable with the fingerprint in its message."""
    seen = line_of(transport.get_remote_server_key())
    if not pinned:
        raise Unreachable(
            f"{address}:{port} shows the host key {fingerprint(seen)}, which nobody has pinned yet",
            "host-key-unknown",
            "Compare it with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), "
            "then `windlass hosts trust`.",
            is_final=True,
        )
    if seen.split()[:2] != pinned.split()[:2]:
        raise changed_key(address, port, pinned, fingerprint(seen))


def log_in(transport, address, port, user, key_path):
    """Authenticate with the zone's key; raises Unreachable."""
    try:
        transport.auth_publickey(user, paramiko.PKey.from_path(key_path))
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"the zone's key {key_path} cannot be read: {error}",
            "zone-key-unusable",
            "See the setting ssh.key_file.",
            is_final=True,
        ) from None
    except paramiko.AuthenticationException as error:
        raise Unreachable(
            f"{address}:{port} refuses the zone's key for user {user}: {error}",
            "key-refused",
            f"Add the zone's public key (windlass hosts show) to ~{user}/.ssh/authorized_keys there.",
            is_final=True,
        ) from None
    except (paramiko.SSHException, EOFError) as error:
        raise Unreachable(
            f"{address}:{port} ended the login: {error or 'connection closed'}",
            "ssh-login",
            "See sshd's log on the host.",
        ) from None


def try_login(address, port, user, host_key, key_path, timeout_s):
    """Log in to a host and out again, its key compared with the pinned one; raises Unreachable."""
    transport = start_transport(address, port, host_key, timeout_s)
    try:
        check_key(transport, address, port, host_key)
        log_in(transport, address, port, user, key_path)
    finally:
        transport.close()


def read_host_key(address, port, timeout_s):
    """Return the key line a host shows now, without logging in; raises Unreachable."""
    transport = start_transport(address, port, None, timeout_s)
    try:
        return line_of(transport.get_remote_server_key())
    finally:
        transport.close()


def open_ssh(
    address, port, user, host_key, key_path, python="python3", connect_timeout_s=10, keepalive_s=5, silence_timeout_s=60
):
    """Log in to a host and start the agent there; returns a Session.

    address, port, user: where to; host_key: the pinned "type base64" line or None (refused with the fingerprint shown);
    key_path: the private key; python: the host's interpreter; times in seconds. Raises Unreachable.
    """
    transport = start_transport(address, port, host_key, connect_timeout_s)
    try:
        check_key(transport, address, port, host_key)
        log_in(transport, address, port, user, key_path)
        transport.set_keepalive(keepalive_s)
        channel = transport.open_session(window_size=WINDOW_BYTES, max_packet_size=MAX_PACKET_BYTES, timeout=connect_timeout_s)
        channel.exec_command(shlex.join(agent_argv(python)))
    except (paramiko.SSHException, OSError, EOFError) as error:
        transport.close()
        raise Unreachable(
            f"{address}:{port} logged us in but runs no command: {error}",
            "ssh-session",
            "See the login shell of that user on the host.",
        ) from None
    except Unreachable:
        transport.close()
        raise
    stderr = StderrTail(channel)
    return Session(channel.recv, channel.sendall, closer(transport, channel), stderr.explain, silence_s=silence_timeout_s)


class StderrTail:
    """The last of what the host's shell and interpreter wrote on standard error, for messages."""

    def __init__(self, channel):
        self.channel = channel
        self.tail = b""
        self.listener = threading.Thread(target=self._collect, name="agent-stderr", daemon=True)
        self.listener.start()

    def _collect(self):
        while data := self.channel.recv_stderr(4096):
            self.tail = (self.tail + data)[-4096:]

    def explain(self):
        """Return it as text, with the exit status where the host gave one."""
        self.listener.join(2)
        text = self.tail.decode("utf-8", "replace").strip()
        status = self.channel.recv_exit_status() if self.channel.exit_status_ready() else -1
        return text if status < 0 else f"{text} (exit status {status})".strip()


def closer(transport, channel):
    """Return the function that ends the connection."""

    def close():
        """End the connection, whether or not the other side has gone first."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.close()
        transport.close()

    return close
