"""This machine as a deploy target: a supervisord of its own and, where nginx is installed, an nginx of its own.

Both live below <data>/local/ and run as the current user, so that the sample is deployed by the same engine as any other
application and nothing of the machine's own configuration is touched.
"""

import os
import shutil
import socket
from pathlib import Path

from devkit import places

SUPERVISORD = """\
[unix_http_server]
file = {base}/supervisor.sock
chmod = 0700

[supervisord]
logfile = {base}/supervisord.log
pidfile = {base}/supervisord.pid
childlogdir = {base}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{base}/supervisor.sock

[include]
files = {base}/programs/*.conf
"""
NGINX = """\
daemon off;
pid {base}/nginx.pid;
error_log {base}/nginx-error.log;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {base}/tmp/body;
    proxy_temp_path {base}/tmp/proxy;
    fastcgi_temp_path {base}/tmp/fastcgi;
    uwsgi_temp_path {base}/tmp/uwsgi;
    scgi_temp_path {base}/tmp/scgi;
    include {base}/sites/*.conf;
}}
"""


def folder(settings):
    """Return where this host keeps its things."""
    return Path(settings.data) / "local"


def exists(settings):
    """Say whether this host was used before."""
    return folder(settings).exists()


def start(children, settings):
    """Start this host's servers; returns what POST /hosts needs to know of it."""
    base = folder(settings)
    for name in ("programs", "sites", "tmp", "bin", "root"):
        (base / name).mkdir(parents=True, exist_ok=True, mode=0o755)
    (base / "supervisord.conf").write_text(SUPERVISORD.format(base=base))
    control = write_control(base)
    children.start(
        "supervisord",
        [
            str(places.PYTHON),
            "-m",
            "supervisor.supervisord",
            "--nodaemon",
            "--configuration",
            str(base / "supervisord.conf"),
        ],
    )
    return {
        "name": "local",
        "address": "127.0.0.1",
        "transport": "local",
        "root": str(base / "root"),
        "settings": {
            "python": "python3",
            "nginx": start_nginx(children, base, settings),
            "supervisor": {
                "programs": str(base / "programs"),
                "command": [str(control), "-c", str(base / "supervisord.conf")],
            },
        },
    }


def write_control(base):
    """Write a supervisorctl that uses the vendored supervisor; returns its path."""
    control = base / "bin" / "supervisorctl"
    control.write_text(f"#!{places.PYTHON}\nfrom supervisor.supervisorctl import main\nmain()\n")
    control.chmod(0o755)
    return control


def start_nginx(children, base, settings):
    """Start an nginx where one is installed; returns the host's nginx settings or None."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not program:
        return None
    (base / "nginx.conf").write_text(NGINX.format(base=base))
    argv = [program, "-p", str(base), "-e", str(base / "nginx-error.log"), "-c", str(base / "nginx.conf")]
    children.start("nginx", argv)
    return {"sites": str(base / "sites"), "command": argv, "listen": f"127.0.0.1:{port(base, settings.web.port + 1)}"}


def port(base, first):
    """Return the port the sample answers at: the same at every start, chosen free at the first."""
    port_file = base / "port"
    if port_file.exists():
        return int(port_file.read_text())
    for number in range(first, first + 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)) != 0:
                port_file.write_text(str(number))
                return number
    raise OSError(f"no free port between {first} and {first + 99}")
