"""The real Windlass, started by dev.py with a port and a data folder of its own and driven through its API."""

import json
import secrets
import sys
import time
from pathlib import Path

import requests

from bench.meter import Meter, tree_cpu_s
from tests.fleet.keeper import await_process, free_port

ROOT = Path(__file__).resolve().parents[1]
APP, ENVIRONMENT = "shop", "production"
SERVER_NAME = "shop.example"
ENDED = {"succeeded", "failed", "rolled_back", "cancelled"}
LOOK_EVERY_S = 0.02
PATIENCE_S = 600


class WindlassFailure(Exception):
    """Windlass did not do what the benchmark asked for."""


class Windlass:
    """A running Windlass; `keeper` ends it, `folder` is its data folder."""

    def __init__(self, keeper, folder, key_file, repository, environment):
        self.port, self.token = free_port(), secrets.token_urlsafe(24)
        variables = {
            **environment,
            "WINDLASS_ADMIN_TOKEN": self.token,
            "WINDLASS_SSH_KEY_FILE": str(key_file),
            "WINDLASS_GIT_LOCAL_PATHS": json.dumps([str(repository)]),
        }
        argv = [sys.executable, ROOT / "dev.py", "--empty", "--port", self.port, "--data", folder]
        self.process = keeper.start(argv, Path(folder).with_suffix(".log"), env=variables, cwd=ROOT)
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {self.token}"
        self.repository = repository
        self.built = {}
        await_process(self.process, self.is_ready, timeout_s=PATIENCE_S)

    def is_ready(self):
        """Whether a deploy would be carried out."""
        try:
            return self.session.get(f"http://127.0.0.1:{self.port}/api/v1/ready", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def call(self, method, path, body=None):
        """Return the answer of one request; raises WindlassFailure with the API's own words."""
        answer = self.session.request(method, f"http://127.0.0.1:{self.port}/api/v1{path}", json=body, timeout=60)
        if answer.status_code >= 400:
            raise WindlassFailure(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def register(self, hosts, health_timeout_s):
        """Make the hosts, their pinned keys, the application and its target known."""
        for host in hosts:
            self.call("POST", "/hosts", host.api_payload())
            self.call("POST", f"/hosts/{host.name}/trust", {"fingerprint": host.fingerprint})
        self.call("POST", "/applications", {"name": APP, "source": {"repository": str(self.repository), "branch": "main"}})
        self.call(
            "PUT",
            f"/applications/{APP}/targets/{ENVIRONMENT}",
            {
                "hosts": [host.name for host in hosts],
                "server_names": [SERVER_NAME],
                "strategy": {"kind": "all-at-once"},
                "health": {"path": "/healthz", "timeout_s": health_timeout_s, "expect_status": 200},
            },
        )

    def measure(self, work, *arguments):
        """Return the Cost of one piece of work, which gives the bytes sent and the seconds spent on building."""
        with Meter(lambda: tree_cpu_s(self.process.pid)) as meter:
            number, meter.cost.build_s = work(*arguments)
        hosts = self.call("GET", f"/deploys/{number}/hosts?limit=200")["items"]
        meter.cost.sent_bytes = sum(host["bytes_sent"] or 0 for host in hosts)
        return meter.cost

    def deploy(self, tag, expected="succeeded"):
        """Build a tag, unless it was built before, and roll it out; returns (deploy's id, seconds spent on building)."""
        begun = time.monotonic()
        if tag not in self.built:
            self.built[tag] = self.build(tag)
        build_s = time.monotonic() - begun
        made = self.call("POST", "/deploys", {"application": APP, "release": self.built[tag], "environment": ENVIRONMENT})
        self.await_deploy(made["id"], expected)
        return made["id"], build_s

    def build(self, tag):
        """Build a release of a tag; returns its version."""
        version = self.call("POST", f"/applications/{APP}/releases", {"ref": tag})["version"]
        release = self.wait(f"/applications/{APP}/releases/{version}", {"ready", "failed"})
        if release["state"] != "ready":
            raise WindlassFailure(f"{tag} was not built: {release['error']}")
        return version

    def roll_back(self, number):
        """Roll a deploy back; returns (the new deploy's id, 0)."""
        made = self.call("POST", f"/deploys/{number}/rollback", {})
        self.await_deploy(made["id"], "succeeded")
        return made["id"], 0.0

    def newest(self):
        """Return the id of the newest deploy."""
        return self.call("GET", "/deploys?limit=1")["items"][0]["id"]

    def await_deploy(self, number, expected):
        """Wait until a deploy has ended; raises WindlassFailure when not as expected."""
        deploy = self.wait(f"/deploys/{number}", ENDED)
        if deploy["state"] not in expected.split("|"):
            raise WindlassFailure(f"deploy {number} {deploy['state']}: {deploy['reason']}")

    def wait(self, path, states):
        """Return what is at `path` once its state is one of `states`."""
        deadline = time.monotonic() + PATIENCE_S
        while (thing := self.call("GET", path))["state"] not in states:
            if time.monotonic() > deadline:
                raise WindlassFailure(f"{path} is still {thing['state']} after {PATIENCE_S} s")
            time.sleep(LOOK_EVERY_S)
        return thing
