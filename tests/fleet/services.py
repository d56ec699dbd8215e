"""PostgreSQL, Redis and RabbitMQ for tests: servers of their own, reachable by nobody else, gone afterwards.

    with postgresql() as url, redis_server() as redis_url, rabbitmq() as amqp_url:
        …

Fault tests take the server itself, which they can end and start again on the same data and the same address:

    with redis_service() as redis:
        redis.stop(signal.SIGKILL)
        redis.start()
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

import amqp

from .keeper import (
    POSTGRESQL,
    RABBITMQ,
    FleetError,
    Keeper,
    await_process,
    bare_environment,
    find_program,
    free_port,
    is_listening,
)

SERVER_USER = "postgres"  # PostgreSQL refuses to run as root; Debian's package makes this user.
DATABASE = "windlass"
# The machine does not crash in tests, so nothing need reach the disk. What was committed still survives the server's own
# death, because it has gone to the kernel by then (which synchronous_commit=off would not wait for).
UNSAFE_BUT_FAST = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB")


class Service:
    """A server that a test may end and start again; `url` stays the same. `options` are those of Keeper.start."""

    START_WITHIN_S = 180  # RabbitMQ takes four seconds of a processor, of which a busy machine gives little.

    def __init__(self, keeper, url, argv, output, is_ready, **options):
        self.keeper, self.url, self.argv, self.output = keeper, url, argv, output
        self.is_ready, self.options = is_ready, options
        self.process = None

    def start(self):
        """Start it; returns when it answers."""
        self.process = self.keeper.start(self.argv, self.output, **self.options)
        await_process(self.process, self.is_ready, self.START_WITHIN_S)
        return self

    def stop(self, number=None):
        """End it with a signal (default: that which ends it in order) and wait until it is gone, with all below it."""
        self.process.stop(number)


@contextlib.contextmanager
def postgresql(directory=None):
    """Run a PostgreSQL server; yields the URL of an empty database, over a unix socket only.

    `directory` must not exist yet and be short (default: a new one below /tmp, removed at the end). Raises NotAvailable.
    """
    with postgresql_service(directory) as service:
        yield service.url


@contextlib.contextmanager
def postgresql_service(directory=None):
    """Run a PostgreSQL server like postgresql(); yields the Service."""
    initdb, server, is_ready = (find_program(name, POSTGRESQL) for name in ("initdb", "postgres", "pg_isready"))
    with Keeper() as keeper, service_folder(keeper, directory) as folder:
        user = server_user(folder)
        cluster = folder / "data"
        names = ["--username=windlass", "--encoding=UTF8", "--locale=C.UTF-8"]
        run_as(user, [initdb, "--no-sync", "--auth=trust", *names, "-D", cluster])
        settings = [word for setting in ("listen_addresses=", *UNSAFE_BUT_FAST) for word in ("-c", setting)]
        service = Service(
            keeper,
            f"postgresql://windlass@/{DATABASE}?host={urllib.parse.quote(str(folder), safe='')}",
            [server, "-D", cluster, "-k", folder, *settings],
            folder / "server.log",
            lambda: subprocess.run([is_ready, "-q", "-h", folder, "-U", "windlass"]).returncode == 0,
            user=user,
            stop_signal=signal.SIGINT,  # "Fast shutdown": it ends all sessions and frees its shared memory.
        )
        service.start()
        run_as(user, [find_program("createdb", POSTGRESQL), "-h", folder, "-U", "windlass", DATABASE])
        yield service


@contextlib.contextmanager
def redis_server(directory=None):
    """Run a Redis server; yields its URL: a free loopback port with a password of its own. Raises NotAvailable."""
    with redis_service(directory) as service:
        yield service.url


@contextlib.contextmanager
def redis_service(directory=None):
    """Run a Redis server like redis_server(); yields the Service."""
    program = find_program("redis-server")
    with Keeper() as keeper, service_folder(keeper, directory) as folder:
        port, password = free_port(), secrets.token_urlsafe(16)
        conf = folder / "redis.conf"
        conf.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\nsave ""\nappendonly no\n')
        conf.chmod(0o600)
        yield Service(
            keeper,
            f"redis://:{password}@127.0.0.1:{port}/0",
            [program, conf],
            folder / "redis.log",
            lambda: redis_answers(port, password),
            stop_signal=signal.SIGTERM,
        ).start()


@contextlib.contextmanager
def rabbitmq(directory=None):
    """Run a RabbitMQ server; yields its URL: a free loopback port with a user of its own. Raises NotAvailable."""
    with rabbitmq_service(directory) as service:
        yield service.url


@contextlib.contextmanager
def rabbitmq_service(directory=None):
    """Run a RabbitMQ server like rabbitmq(); yields the Service.

    Its node name, cookie, folder and port mapper (epmd) are its own: it neither meets another node of this machine
    nor leaves a mapper behind, as Erlang would.
    """
    program = find_program("rabbitmq-server", RABBITMQ)
    mapper = find_program("epmd")
    with Keeper() as keeper, service_folder(keeper, directory) as folder:
        port, mapper_port, password = free_port(), free_port(), secrets.token_hex(16)
        keep_private(folder / ".erlang.cookie", secrets.token_hex(16))
        keep_private(folder / "rabbitmq.conf", f"default_user = windlass\ndefault_pass = {password}\n")
        keep_private(folder / "enabled_plugins", "[].\n")
        process = keeper.start([mapper, "-port", str(mapper_port), "-address", "127.0.0.1"], folder / "epmd.log")
        await_process(process, lambda: is_listening(("127.0.0.1", mapper_port)))
        yield Service(
            keeper,
            f"amqp://windlass:{password}@127.0.0.1:{port}//",
            [program],
            folder / "rabbitmq.log",
            lambda: rabbitmq_answers(port, password),
            env=rabbitmq_environment(folder, port, mapper_port),
            cwd=folder,  # Nothing of it is kept, so it is killed at the end; in order it would take seconds.
        ).start()


def rabbitmq_answers(port, password):
    """Whether our user can log in."""
    try:
        with amqp.Connection(f"127.0.0.1:{port}", userid="windlass", password=password, connect_timeout=2):
            return True
    except (OSError, amqp.AMQPError):
        return False


def rabbitmq_environment(folder, port, mapper_port):
    """Return the environment of a RabbitMQ that touches nothing outside of its folder (rabbitmq-env.conf(5))."""
    return {
        **bare_environment(),
        "HOME": str(folder),  # Where the cookie is.
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
        "RABBITMQ_NODENAME": f"windlass{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
    }


def keep_private(path, text):
    """Write a file that nobody else may read."""
    path.touch(mode=0o600)
    path.write_text(text)


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
