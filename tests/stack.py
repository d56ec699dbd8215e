"""A whole Windlass for a test: `dev.py --empty` on a private port and folder, and what people do through its API."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import requests

from tests.fleet.keeper import Keeper, free_port

ROOT = Path(__file__).resolve().parent.parent
LONGEST_PAUSE_S = 0.15  # Between two looks at what may soon be past.
UNHURRIED_S = 0.5  # Between two looks at what stays as it is once it has come, such as the end of a deploy.
ENDED = ("succeeded", "failed", "rolled_back", "cancelled")
AUTHOR = {
    "GIT_AUTHOR_NAME": "Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.com",
    "GIT_COMMITTER_NAME": "Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


class Stack:
    """A running Windlass. `folder` holds its data and repositories; `environment` overrides settings (WINDLASS_…)."""

    def __init__(self, keeper, folder, environment=None):
        self.keeper, self.folder = keeper, Path(folder)
        self.data = self.folder / "data"
        self.repositories = self.folder / "repositories"
        self.playbooks = self.folder / "playbooks"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = "test-token-" + os.urandom(8).hex()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "tests" / "guard"),
            "WINDLASS_ADMIN_TOKEN": self.token,
            "WINDLASS_GIT_LOCAL_PATHS": json.dumps([str(self.repositories)]),
            "WINDLASS_ANSIBLE_PLAYBOOKS": json.dumps([str(self.playbooks)]),
            "WINDLASS_PUPPET_MANIFESTS": json.dumps([str(self.playbooks)]),
            **(environment or {}),
        }
        self.http = requests.Session()
        self.http.trust_env = False  # Looking for proxies takes as long as the rest of a request.
        self.http.headers["Authorization"] = f"Bearer {self.token}"
        self.process = None

    def start(self, *options):
        """Start it; returns when it is ready."""
        self.repositories.mkdir(parents=True, exist_ok=True)
        argv = [
            sys.executable,
            str(ROOT / "dev.py"),
            "--port",
            str(self.port),
            "--data",
            str(self.data),
            "--empty",
            *options,
        ]
        self.process = self.keeper.start(argv, self.folder / "dev.log", env=self.environment, cwd=ROOT)
        return self.await_ready()

    def await_ready(self):
        """Return when a deploy would be carried out."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):
                if requests.get(f"{self.url}/api/v1/ready", timeout=2).status_code == 200:
                    return self
            assert self.process.is_running, self.process.log()
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.process.log()}")

    # The API.

    def request(self, method, path, **options):
        """Make a request and return the response as it is."""
        return self.http.request(method, f"{self.url}/api/v1{path}", timeout=60, **options)

    def call(self, method, path, body=None):
        """Make a request that must succeed and return its JSON."""
        response = self.request(method, path, json=body)
        assert response.status_code < 400, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def wait(self, path, is_done, timeout_s=120, longest_pause_s=LONGEST_PAUSE_S):
        """Return the resource at `path` once `is_done(resource)`; what is slow is looked at seldom, to spare both ends."""
        resource, begun = None, time.monotonic()
        while (waited := time.monotonic() - begun) < timeout_s:
            with contextlib.suppress(requests.ConnectionError):  # A test may have killed the web process.
                resource = self.call("GET", path)
                if is_done(resource):
                    return resource
            time.sleep(min(max(0.05, waited / 10), longest_pause_s))
        raise AssertionError(f"{path} is still {resource}")

    # What people do.

    def add_host(self, host, **changes):
        """Let the zone's key in on a fleet's host, register it and pin its key."""
        host.authorize(self.call("GET", "/zones/default")["public_key"])
        self.call("POST", "/hosts", host.api_payload(**changes))
        return self.call("POST", f"/hosts/{changes.get('name', host.name)}/trust", {"fingerprint": host.fingerprint})

    def add_application(self, repository, name="shop"):
        """Register an application with a repository of this stack."""
        return self.call(
            "POST", "/applications", {"name": name, "source": {"repository": str(repository.folder), "branch": "main"}}
        )

    def set_target(self, hosts, name="shop", environment="production", **fields):
        """Say where an application goes."""
        target = {
            "hosts": [host.name for host in hosts],
            "health": {"path": "/", "timeout_s": 20, "expect_status": 200},
            **fields,
        }
        return self.call("PUT", f"/applications/{name}/targets/{environment}", target)

    def release(self, name="shop", state="ready", **fields):
        """Make a release and wait for its end."""
        made = self.call("POST", f"/applications/{name}/releases", fields or {"ref": "main"})
        path = f"/applications/{name}/releases/{made['version']}"
        ended = self.wait(path, lambda release: release["state"] != "building", longest_pause_s=UNHURRIED_S)
        assert ended["state"] == state, ended
        return ended

    def deploy(self, release="latest", name="shop", environment="production", state="succeeded", **fields):
        """Deploy and wait for the end, which must be `state`."""
        made = self.call("POST", "/deploys", {"application": name, "release": release, "environment": environment, **fields})
        return self.await_end(made["id"], state)

    def rollback(self, deploy, state="succeeded"):
        """Roll a deploy back and wait for the end."""
        made = self.call("POST", f"/deploys/{deploy['id']}/rollback")
        return self.await_end(made["id"], state)

    def await_end(self, deploy_id, state):
        """Wait for a deploy's end, which must be `state`; returns it."""
        ended = self.wait(f"/deploys/{deploy_id}", lambda deploy: deploy["state"] in ENDED, longest_pause_s=UNHURRIED_S)
        assert ended["state"] == state, f"{ended}\n{self.request('GET', f'/deploys/{deploy_id}/log').text}"
        return ended

    def host_runs(self, deploy):
        """Return a deploy's host runs by host name."""
        path, found = f"/deploys/{deploy['id']}/hosts?limit=200", {}
        page = self.call("GET", path)
        found.update((run["host"], run) for run in page["items"])
        while page["next"]:
            page = self.call("GET", f"{path}&after={page['next']}")
            found.update((run["host"], run) for run in page["items"])
        return found


class Repository:
    """A git repository that a test writes to."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments):
        """Run git here and return its output."""
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            env={**os.environ, **AUTHOR},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, files, message="Change"):
        """Write files ({path: text}, None deletes) and commit; returns the commit's hash."""
        for path, text in files.items():
            place = self.folder / path
            if text is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


@contextlib.contextmanager
def running_stack(folder, environment=None):
    """Run a Windlass in `folder` for the length of a block."""
    with Keeper() as keeper:
        yield Stack(keeper, folder, environment).start()
