"""PostgreSQL and Redis for tests: servers of their own, reachable by nobody else, gone afterwards.

with postgresql() as url, redis_server() as redis_url:
    …
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

from .keeper import FleetError, Keeper, await_process, find_program, free_port

SERVER_USER = "postgres"  # PostgreSQL refuses to run as root; Debian's package makes this user.
DATABASE = "windlass"
UNSAFE_BUT_FAST = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=200",
    "shared_buffers=32MB",
)


@contextlib.contextmanager
def postgresql(directory=None):
    """Run a PostgreSQL server; yields the URL of an empty database, over a unix socket only.

    `directory` must not exist yet and be short (default: a new one below /tmp, removed at the end). Raises NotAvailable.
    """
    places = ("/usr/lib/postgresql/*/bin",)
    initdb, server, is_ready = (find_program(name, *places) for name in ("initdb", "postgres", "pg_isready"))
    with Keeper() as keeper, service_folder(keeper, directory) as folder:
        user = server_user(folder)
        cluster = folder / "data"
        argv = [
            initdb,
            "--no-sync",
            "--auth=trust",
            "--username=windlass",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "-D",
            cluster,
        ]
        run_as(user, argv)
        argv = [
            server,
            "-D",
            cluster,
            "-k",
            folder,
            "-c",
            "listen_addresses=",
            *[word for setting in UNSAFE_BUT_FAST for word in ("-c", setting)],
        ]
        # SIGINT is PostgreSQL's "fast shutdown": it ends all sessions and frees its shared memory.
        process = keeper.start(argv, folder / "server.log", user=user, stop_signal=signal.SIGINT)
        await_process(process, lambda: subprocess.run([is_ready, "-q", "-h", folder, "-U", "windlass"]).returncode == 0)
        run_as(user, [find_program("createdb", *places), "-h", folder, "-U", "windlass", DATABASE])
        yield f"postgresql://windlass@/{DATABASE}?host={urllib.parse.quote(str(folder), safe='')}"


@contextlib.contextmanager
def redis_server(directory=None):
    """Run a Redis server; yields its URL: a free loopback port with a password of its own. Raises NotAvailable."""
    program = find_program("redis-server")
    with Keeper() as keeper, service_folder(keeper, directory) as folder:
        port, password = free_port(), secrets.token_urlsafe(16)
        conf = folder / "redis.conf"
        conf.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\nsave ""\nappendonly no\n')
        conf.chmod(0o600)
        process = keeper.start([program, conf], folder / "redis.log", stop_signal=signal.SIGTERM)
        await_process(process, lambda: redis_answers(port, password))
        yield f"redis://:{password}@127.0.0.1:{port}/0"


@contextlib.contextmanager
def service_folder(keeper, directory):
    """Yield a service's folder: a new short one that is removed at the end, or the one asked for."""
    if directory is None:
        folder = Path(tempfile.mkdtemp(prefix="wl-", dir="/tmp"))
        keeper.entrust(folder)
    else:
        folder = Path(directory)
        folder.mkdir(parents=True)
    yield folder


def server_user(folder):
    """Return whom PostgreSQL has to run as, the owner of `folder` from now on; None: whoever runs this."""
    if os.getuid() != 0:
        return None
    entry = next((entry for entry in pwd.getpwall() if entry.pw_name == SERVER_USER), None)
    if entry is None:
        raise FleetError(f"PostgreSQL does not run as root and there is no user '{SERVER_USER}'")
    shutil.chown(folder, entry.pw_uid, entry.pw_gid)
    return entry.pw_name


def run_as(user, argv):
    """Run a command as another user (None: as oneself); raises FleetError with its output when it fails."""
    identity = {"user": user, "group": user, "extra_groups": []} if user else {}
    done = subprocess.run([str(part) for part in argv], cwd="/", capture_output=True, text=True, **identity)
    if done.returncode:
        raise FleetError(f"{argv[0]} failed: {done.stderr.strip()}")


def redis_answers(port, password):
    """Whether Redis at this port of ours knows the password and answers."""
    with socket.socket() as connection:
        connection.settimeout(2)
        if connection.connect_ex(("127.0.0.1", port)):
            return False
        connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
        with connection.makefile("rb") as answers:
            return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
