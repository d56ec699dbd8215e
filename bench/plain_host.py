"""What a plain deploy script runs on a host, sent to the host's python3 over SSH. Standard library only.

It does what Windlass does there: start the new release in the idle one of two slots, wait for its health, switch by one rename
and leave the old one running for a rollback. Its one argument is JSON; see bench/plain.py.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time

PROGRAM = """\
[program:{app}-{slot}]
command=/bin/sh -c 'cd {base}/slots/{slot} && exec env/bin/python -m gunicorn --workers 1 --no-control-socket \
  --bind unix:{base}/run/{slot}.sock app:app'
startsecs=0
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={base}/{slot}.log
"""
SITE = """\
upstream {app} {{ server unix:{base}/run/current.sock fail_timeout=0; }}
server {{ listen {listen}; server_name {app}.example; location / {{ proxy_pass http://{app}; proxy_set_header Host $host; }} }}
"""


def answers(path, page):
    """Whether the process behind a unix socket answers a page with 200."""
    connection = http.client.HTTPConnection("localhost", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(path)
        connection.request("GET", page)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def point(link, target):
    """Make a symbolic link, in one rename."""
    os.symlink(target, link + ".new")
    os.rename(link + ".new", link)


class Place:
    """One application on this host."""

    def __init__(self, order):
        self.order = order
        self.app, self.base = order["app"], order["root"] + "/" + order["app"]
        current = self.base + "/run/current.sock"
        self.active = os.readlink(current)[0] if os.path.islink(current) else None
        self.idle = "b" if self.active == "a" else "a"

    def current(self):
        """Return the name of the running release."""
        return os.path.basename(os.readlink(f"{self.base}/slots/{self.active}")) if self.active else None

    def control(self, *arguments):
        """Run supervisorctl."""
        subprocess.run([*self.order["supervisorctl"], *arguments], stdout=subprocess.DEVNULL, check=True)

    def activate(self):
        """Start the release that was shipped, check it and switch to it; returns whether it is healthy."""
        for name in ("run", "slots"):
            os.makedirs(self.base + "/" + name, exist_ok=True)
        point(f"{self.base}/slots/{self.idle}", "../releases/" + self.order["release"])
        program = f"{self.order['programs']}/{self.app}-{self.idle}.conf"
        name = self.app + "-" + self.idle
        if os.path.exists(program):
            self.control("restart", name)
        else:
            with open(program, "w") as file:
                file.write(PROGRAM.format(app=self.app, slot=self.idle, base=self.base))
            self.control("update", name)
        if not self.is_healthy(self.idle):
            self.control("stop", name)
            return False
        point(self.base + "/run/current.sock", self.idle + ".sock")
        self.serve()
        return True

    def is_healthy(self, slot):
        """Wait for a slot's health."""
        deadline = time.monotonic() + self.order["health_timeout_s"]
        while time.monotonic() < deadline:
            if answers(f"{self.base}/run/{slot}.sock", "/healthz"):
                return True
            time.sleep(0.02)
        return False

    def serve(self):
        """Write nginx's site once."""
        site = f"{self.order['sites']}/{self.app}.conf"
        if os.path.exists(site):
            return
        with open(site, "w") as file:
            file.write(SITE.format(app=self.app, base=self.base, listen=self.order["listen"]))
        for arguments in (["-t", "-q"], ["-s", "reload"]):
            subprocess.run([*self.order["nginx"], *arguments], check=True)

    def roll_back(self):
        """Switch to the other slot, which still runs; returns whether it is healthy."""
        if not self.is_healthy(self.idle):
            return False
        point(self.base + "/run/current.sock", self.idle + ".sock")
        return True


def main():
    """Carry out the order; prints the result as JSON."""
    order = json.loads(sys.argv[1])
    place = Place(order)
    verbs = {"current": place.current, "activate": place.activate, "roll-back": place.roll_back}
    print(json.dumps(verbs[order["do"]]()))


if __name__ == "__main__":
    main()
