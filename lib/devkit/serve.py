"""Start everything on this machine: web, worker and, for the sample application, a host of its own.

Standard library only, like all of lib/devkit/: this process must come up before anything is installed, and it stays small.
"""

import fcntl
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import config
from devkit import local_host, places, sample
from devkit.processes import Children
from version import VERSION

READY_WITHIN_S = 60


class StartError(Exception):
    """Windlass cannot start; the message says what to do."""


def main(options):
    """Serve until Ctrl-C or SIGTERM; returns the exit code."""
    if options.config and not options.config.is_file():
        print(f"{options.config}: there is no such configuration file.", file=sys.stderr)
        return 2
    try:
        environment = environment_for(options)
        settings = config.load(environ=environment)
        run(settings, environment, options)
    except (StartError, config.ConfigError) as error:
        print(f"Windlass does not start: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nWindlass is stopped. Rollouts that were under way go on at the next start.")
    return 0


def environment_for(options):
    """Return the environment of all children: what the command line asks for, as WINDLASS_… variables."""
    environment = dict(os.environ)
    if options.config:
        environment["WINDLASS_CONFIG"] = str(options.config.resolve())
    if options.port is not None:
        environment["WINDLASS_WEB_PORT"] = str(options.port)
    if options.data:
        environment["WINDLASS_DATA"] = str(options.data.resolve())
    settings = config.load(environ=environment)
    own = str(Path(settings.data) / "sample")
    environment["WINDLASS_GIT_LOCAL_PATHS"] = json.dumps([*settings.git.local_paths, own])
    return environment


def run(settings, environment, options):
    """Start all parts, say where they answer, and watch them."""
    for number in (signal.SIGTERM, signal.SIGINT):  # SIGINT too: a shell starts background jobs with it ignored.
        signal.signal(number, interrupt)
    make_data_folder(settings)
    held = hold_data_folder(settings)
    check_port(settings)
    with Children(Path(settings.data) / "log", environment) as children:
        children.start("web", web_command())
        children.start("worker", worker_command())
        host = None if options.empty and not local_host.exists(settings) else local_host.start(children, settings)
        wait_until_ready(settings, children)
        token_file = Path(settings.data) / "admin.token"
        print(
            f"Windlass {VERSION} is up.\n  dashboard  {settings.web.url}\n  token      in {shown(token_file)}",
            flush=True,
        )
        if not options.empty:
            sample.offer(settings, token_file.read_text().strip(), host)
        print(f"  logs       in {shown(children.logs)}/\n  stop       Ctrl-C", flush=True)
        children.watch()
    os.close(held)


def interrupt(*_):
    """End like Ctrl-C does."""
    raise KeyboardInterrupt


def shown(path):
    """Return a path as people would type it here."""
    path = Path(path)
    return path.relative_to(places.ROOT) if path.is_relative_to(places.ROOT) else path


def make_data_folder(settings):
    """Make the data folder where it is missing; raises StartError when it cannot be used."""
    folder = Path(settings.data)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        reason = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
        raise StartError(f"the data folder {shown(folder)} cannot be made ({reason}). Choose another with --data.") from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StartError(f"the data folder {shown(folder)} may not be written by you. Choose another with --data.")


def hold_data_folder(settings):
    """Take the data folder for this process; raises StartError naming who has it."""
    path = Path(settings.data) / "dev.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        other = path.read_text().strip() or "another process"
        raise StartError(
            f"it already runs on {shown(settings.data)} ({other}). Stop that one, or choose another folder with --data."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"pid {os.getpid()}, {settings.web.url}\n".encode())
    return descriptor


def check_port(settings):
    """Raise StartError when the port is taken, before anything starts."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.web.host, settings.web.port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "there are ports from 1 to 65535"
            raise StartError(
                f"{settings.web.host}:{settings.web.port} cannot be used ({reason}). Choose another port with --port."
            ) from None


def web_command():
    """Return the argv of the web server."""
    return [str(places.PYTHON), "-m", "gunicorn", "--config", "etc/gunicorn.conf.py", "app:application"]


def worker_command():
    """Return the argv of the one worker."""
    return [
        str(places.PYTHON),
        "-m",
        "celery",
        "-A",
        "tasks",
        "worker",
        "--loglevel",
        "warning",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]


def wait_until_ready(settings, children):
    """Return once a deploy would be carried out; raises StartError when a part dies or time runs out."""
    deadline = time.monotonic() + READY_WITHIN_S
    answer = "it does not answer"
    while time.monotonic() < deadline:
        children.raise_if_dead(StartError)
        try:
            with urllib.request.urlopen(f"http://{settings.web.host}:{settings.web.port}/api/v1/ready", timeout=2):
                return
        except urllib.error.HTTPError as error:
            answer = error.read().decode("utf-8", "replace")
        except OSError:
            pass
        time.sleep(0.05)
    raise StartError(f"it is not ready after {READY_WITHIN_S} s: {answer}. See {shown(children.logs)}/.")
