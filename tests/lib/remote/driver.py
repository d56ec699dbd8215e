"""Drives an agent the way a controller does: makes trees, specs and blobs from little, and says what happened."""

import hashlib
import json
import os
import socket
import struct
import threading
import zlib
from pathlib import Path

from remote.local import open_local
from remote.session import agent_modules, bundled

LIMIT_S = 120
OLDEST = (3, 8)  # The oldest Python that the agent runs under.

# Three parts of an agent that kills itself just before the n-th thing it does to the host: a module, and ends of two others.
DEADLY = """
import os, signal
count = [0]
def deadly(function):
    def counted(*words, **more):
        count[0] += 1
        if count[0] == %d:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*words, **more)
    return counted
for name in ("rename", "unlink", "symlink", "mkdir", "fsync", "link", "rmdir", "fchmod"):
    setattr(os, name, deadly(getattr(os, name)))
"""
DEADLY_COMMANDS = """
from remote.agent.deadly import deadly
run_command = deadly(run_command)
"""
DEADLY_CALLS = """
from remote.agent.deadly import deadly
for name in ("reread", "add", "remove", "start", "stop"):
    setattr(SupervisorRpc, name, deadly(getattr(SupervisorRpc, name)))
"""

# A web process that serves its version, on a socket or a port, and does what the variables tell it to do.
WEB = """
import http.server, os, socket, socketserver, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(float(os.environ.get("SLOW_S", "1")))
        body = os.environ["VERSION"].encode()
        self.send_response(int(os.environ.get("STATUS", "200")))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
    def address_string(self):
        return "somebody"
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 256
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
print("web starts with version", os.environ["VERSION"], flush=True)
if os.environ.get("CRASH"):
    print(os.environ["CRASH"], flush=True)
    sys.exit(3)
class UnixServer(Server):
    address_family = socket.AF_UNIX
if sys.argv[1] == "socket":
    server = UnixServer(os.environ["SOCKET"], Handler)
else:
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
import signal, threading
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(poll_interval=0.05)
server.server_close()
"""


def packed(modules):
    """Return an agent's modules, {name: source}, as a session sends them."""
    data = zlib.compress(bundled(modules))
    return b"source %d\n" % len(data) + data


def deadly_opener(count):
    """Return an opener of sessions whose agent kills itself just before the `count`-th thing it does to the host."""
    modules = agent_modules()
    modules["remote.agent.deadly"] = DEADLY % count
    modules["remote.agent.machine.commands"] += DEADLY_COMMANDS
    modules["remote.agent.supervision.supervisord_calls"] += DEADLY_CALLS
    return lambda python: open_local(python, code=lambda _reads: packed(modules))


def in_background(work):
    """Run `work()` in a thread; return (the thread, a list that will hold what it returned or raised)."""
    results = []

    def run():
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def living(group):
    """Return the processes of a process group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # It ended while we looked.
        if int(pgrp) == group and state != "Z":
            found.append(path.parent.name)
    return found


def digest_of(data):
    """Return the hex SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


class Tree:
    """A tree to be shipped: {path: bytes or text} and {path: link target}."""

    def __init__(self, files, links=None, entries=None):
        self.contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        rows = [
            [path, 0o755 if path.startswith("bin/") else 0o644, len(data), digest_of(data)]
            for path, data in self.contents.items()
        ]
        rows += [[path, "link", target] for path, target in (links or {}).items()]
        self.entries = sorted(rows) if entries is None else entries
        self.manifest = json.dumps(self.entries, separators=(",", ":"), ensure_ascii=False).encode()
        self.digest = digest_of(self.manifest)

    def blobs(self, lacks):
        """Return the byte stream for lacking indexes."""
        for index in lacks:
            packed = zlib.compress(self.contents[self.entries[index][0]], 6)
            yield struct.pack(">Q", len(packed)) + packed


def release_tree(version="1", **files):
    """Return a release with a web program and a few files."""
    return Tree(
        {
            "web.py": WEB,
            "version.txt": version,
            "package/data.txt": "the same in all\n" * 100,
            **{name.replace("__", "/"): text for name, text in files.items()},
        }
    )


def environment_tree(extra="1"):
    """Return an environment with one package and one script."""
    return Tree({"lib/thing.py": f"THING = {extra!r}\n", "bin/thing": "#!/bin/sh\necho thing\n"})


class Controller:
    """A controller of one application on one host of the fleet."""

    def __init__(self, host, app="shop", binding="socket", python=None, settings=None):
        self.host, self.app, self.binding = host, app, binding
        self.server_name = f"{app}.example"
        self.settings = settings or host.settings
        self.python = python or host.python
        self.base = Path(host.root) / app
        self.epoch = 0
        self.events = []
        self.session = None
        self.seen = None

    # Sessions

    def open(self, deploy=1, epoch=None, opener=open_local, lock_wait_s=5):
        """Open a session and begin."""
        self.epoch = self.epoch + 1 if epoch is None else epoch
        self.session = opener(self.python)
        self.seen = self.ask("begin", **self.about(), epoch=self.epoch, deploy=deploy, lock_wait_s=lock_wait_s)
        return self.session

    def about(self):
        """Return the fields that name the application and the host."""
        return {"root": str(self.host.root), "app": self.app, "settings": self.settings}

    def ask(self, verb, session=None, timeout_s=LIMIT_S, **fields):
        """Make a request, keeping the events."""
        return (session or self.session).request(verb, on_event=self.events.append, timeout_s=timeout_s, **fields)

    def observe(self, **fields):
        """Look from a session of its own."""
        with open_local(self.python) as session:
            return session.request("observe", **self.about(), **fields)

    def close(self):
        """End the session and wait until the agent has ended."""
        if self.session is not None:
            self.session.close()
            self.session.process.wait(30)
            self.session = None

    # What a deploy consists of

    def ship(self, tree, kind="release", name=None):
        """Send a tree; return how many files were sent."""
        about = {"kind": kind, "name": name or tree.digest, "digest": tree.digest}
        if kind == "environment":
            about["python"] = self.interpreter()
        answer = self.ask("ship", blobs=[zlib.compress(tree.manifest)], **about)
        if not answer["complete"]:
            self.ask("files", blobs=tree.blobs(answer["lacks"]))
        return len(answer["lacks"])

    def interpreter(self):
        """Return {"path", "version"} of the Python that environments are finished with."""
        version = ".".join(self.seen["facts"]["python"].split(".")[:2])
        return {"path": self.seen["facts"]["pythons"][version], "version": version}

    def spec(self, release, environment, deploy=1, processes=None, web="web", variables=None, nginx=True, **changes):
        """Return a spec as the rollout engine makes them."""
        processes = processes or {"web": {"command": f"python web.py {self.binding}", "exec": True}}
        spec = {
            "deploy": deploy,
            "release": release.digest,
            "environment": environment.digest,
            "python": self.interpreter(),
            "processes": processes,
            "web": web,
            "binding": self.binding if web else None,
            "variables": {"VERSION": "1", **(variables or {})},
            "supervisor": {
                slot: {"path": f"windlass-{self.app}-{slot}.conf", "text": self.program(slot, processes)} for slot in "ab"
            },
            "nginx": self.site() if nginx and web else None,
            "health": {"path": "/", "timeout_s": 20, "expect_status": 200, "host": self.server_name},
            "drain_s": 5,
            "keep_warm": True,
        }
        spec["version"] = spec["variables"]["VERSION"]
        spec.update(changes)
        spec["spec_digest"] = digest_of(
            json.dumps(
                [
                    spec["release"],
                    spec["environment"],
                    spec["processes"],
                    spec["variables"],
                    spec["supervisor"],
                    spec["nginx"],
                ],
                sort_keys=True,
            ).encode()
        )
        return spec

    def program(self, slot, processes, startsecs=1):
        """Return the text of a slot's program file."""
        base, group = f"{self.host.root}/{self.app}", f"{self.app}-{slot}"
        parts = [f"[group:{group}]\nprograms={','.join(f'{group}-{name}' for name in processes)}\n"]
        parts += [
            f"[program:{group}-{name}]\ncommand={base}/run/{slot}-{name}\nautostart=true\nautorestart=true\n"
            f"startsecs={startsecs}\nstartretries=1\nstopwaitsecs=5\nstopasgroup=true\nkillasgroup=true\nredirect_stderr=true\n"
            f"stdout_logfile={base}/shared/logs/{name}.log\n"
            for name in processes
        ]
        return "\n".join(parts)

    def site(self, extra=""):
        """Return the nginx texts of both slots."""
        return {"path": f"windlass-{self.app}.conf", "text": {slot: self.site_text(slot, extra) for slot in "ab"}}

    def site_text(self, slot, extra=""):
        """Return the nginx text of a slot."""
        base = f"{self.host.root}/{self.app}"
        port = self.seen["application"]["ports"][slot]
        upstream = f"unix:{base}/run/current.sock" if self.binding == "socket" else f"127.0.0.1:{port}"
        token = digest_of((upstream + extra).encode())[:16]
        return (
            f"# windlass-proof /.well-known/windlass/{self.app} {token}\n"
            f"upstream {self.app} {{ server {upstream} max_fails=0; }}\n"
            f"server {{\n  listen {self.settings['nginx']['listen']};\n  server_name {self.server_name};\n{extra}\n"
            f"  location = /.well-known/windlass/{self.app} {{ return 200 {token}; }}\n"
            f"  location / {{ proxy_pass http://{self.app}; proxy_set_header Host $host; }}\n}}\n"
        )

    def prepare(self, version="1", environment=None, tree=None, **changes):
        """Ship a release and its environment in the open session; return the spec to activate."""
        tree, environment = tree or release_tree(version), environment or environment_tree()
        self.ship(tree)
        self.ship(environment, "environment")
        changes["variables"] = {"VERSION": version, **changes.get("variables", {})}
        return self.spec(tree, environment, **changes)

    def activate(self, spec, **fields):
        """Activate in the open session; return the agent's answer."""
        return self.ask("activate", spec=spec, **{"once": None, "keep": None, **fields})

    def deploy(self, version="1", deploy=1, keep=None, once=None, opener=open_local, **changes):
        """Ship and activate a release in a session of its own; return the agent's answer."""
        try:
            self.open(deploy, opener=opener)
            return self.activate(self.prepare(version, deploy=deploy, **changes), once=once, keep=keep)
        finally:
            self.close()

    def restore(self, slot, deploy=1, opener=open_local):
        """Restore a slot, or withdraw with None, in a session of its own; return the agent's answer."""
        try:
            self.open(deploy, opener=opener)
            return self.ask("restore", slot=slot, reason="a test wants it")
        finally:
            self.close()

    # What can be seen

    def get(self, path="/"):
        """Ask the host's nginx for a page of the application; return (status, body)."""
        return self.host.get(path, self.server_name)

    def ask_slot(self, slot, path="/"):
        """Ask a slot itself for a page, over its socket; return what it answers, b"" when it breaks off."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.base / "run" / f"{slot}.sock"))
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(4096), b""))

    def control(self, *words):
        """Run supervisorctl with processes written as slot-process; return its output."""
        names = [f"{self.app}-{word[0]}:{self.app}-{word}" if "-" in word else word for word in words]
        return self.host.supervisorctl(*names).stdout

    def states(self):
        """Return {"a-web": state, …} as supervisord has it."""
        states = {}
        for line in self.host.supervisorctl("status").stdout.splitlines():
            name, state = line.split()[:2]
            if name.startswith((f"{self.app}-a:", f"{self.app}-b:")):
                states[name.split(":")[1].removeprefix(f"{self.app}-")] = state
        return states

    def leftovers(self):
        """Return what is on the host that should not outlive a session: half-made trees, files and links."""
        folders = [self.base, Path(self.settings["supervisor"]["programs"]), Path(self.settings["nginx"]["sites"])]
        walks = [walk for folder in folders for walk in os.walk(folder)]
        paths = [os.path.join(parent, name) for parent, inner, names in walks for name in [*inner, *names]]
        return [path for path in paths if ".partial-" in path or ".windlass-" in path]

    def is_whole(self):
        """Say whether `current` names a complete, undamaged release and the active slot serves; true at any moment."""
        application = self.observe(deep=True)["application"]
        return (
            application["damaged"] == []
            and application["current"] in application["releases"]
            and application["slots"][application["active"]]["serving"]
        )

    def is_sound(self):
        """Say whether, with that, the active slot runs the current release; true whenever no agent was killed."""
        application = self.observe()["application"]
        return self.is_whole() and application["slots"][application["active"]]["release"] == application["current"]

    def steps(self):
        """Return [(step, state)] of the ended steps seen so far."""
        steps = [event for event in self.events if event["event"] == "step"]
        return [(event["step"], event["state"]) for event in steps if event["state"] != "running"]

    def output(self):
        """Return all output seen so far."""
        return "".join(event["text"] for event in self.events if event["event"] == "output")
