"""Deploy the sample application of examples/ to this machine, once, through the same API as everybody else."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from devkit import places

NAME, ENVIRONMENT = "hello", "production"
SOURCE = places.ROOT / "examples" / NAME
WITHIN_S = 180
COMMITTER = {
    "GIT_AUTHOR_NAME": "Windlass",
    "GIT_AUTHOR_EMAIL": "windlass@localhost",
    "GIT_COMMITTER_NAME": "Windlass",
    "GIT_COMMITTER_EMAIL": "windlass@localhost",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


class Api:
    """The few calls the sample needs."""

    def __init__(self, settings, token):
        self.base = f"http://{settings.web.host}:{settings.web.port}/api/v1"
        self.token = token

    def call(self, method, path, body=None):
        """Return (status, answer) of one request."""
        request = urllib.request.Request(  # noqa: S310 - base is made of settings, always http
            self.base + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def need(self, method, path, body=None):
        """Return the answer of a request that must succeed; raises SampleError."""
        status, answer = self.call(method, path, body)
        if status >= 400:
            raise SampleError(f"{method} {path}: {answer.get('detail', status)}")
        return answer

    def wait(self, path, pending):
        """Return the thing at `path` once its state is none of `pending`; raises SampleError when it takes too long."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            thing = self.need("GET", path)
            if thing["state"] not in pending:
                return thing
            time.sleep(0.2)
        raise SampleError(f"{path} is still {thing['state']} after {WITHIN_S} s")


class SampleError(Exception):
    """The sample could not be deployed; Windlass itself runs on."""


def offer(settings, token, host):
    """Deploy the sample unless it is there, and print where it answers."""
    api = Api(settings, token)
    try:
        if api.call("GET", f"/applications/{NAME}")[0] == 404:
            deploy(api, settings, host)
        print(f"  sample     {address(api)}", flush=True)
    except (SampleError, OSError) as error:
        print(f"  sample     could not be deployed: {error}", flush=True)


def deploy(api, settings, host):
    """Make repository, host, application, target, release and deploy, in that order."""
    print("  sample     building and deploying it to this machine …", flush=True)
    repository = make_repository(Path(settings.data) / "sample" / NAME)
    if api.call("GET", f"/hosts/{host['name']}")[0] == 404:
        api.need("POST", "/hosts", host)
    api.need("POST", f"/hosts/{host['name']}/check")
    api.need("POST", "/applications", {"name": NAME, "source": {"repository": str(repository), "branch": "main"}})
    api.need(
        "PUT",
        f"/applications/{NAME}/targets/{ENVIRONMENT}",
        {"hosts": [host["name"]], "health": {"path": "/healthz", "timeout_s": 30, "expect_status": 200}},
    )
    release = api.need("POST", f"/applications/{NAME}/releases", {"ref": "main"})
    release = api.wait(f"/applications/{NAME}/releases/{release['version']}", ("building",))
    if release["state"] != "ready":
        raise SampleError(f"its release failed: {release['error']}")
    made = api.need("POST", "/deploys", {"application": NAME, "release": release["version"], "environment": ENVIRONMENT})
    ended = api.wait(f"/deploys/{made['id']}", ("queued", "running", "rolling_back"))
    if ended["state"] != "succeeded":
        raise SampleError(f"its deploy {ended['state']}: {ended['reason']}")


def address(api):
    """Return where the sample answers, and its release."""
    for item in api.need("GET", f"/status?application={NAME}")["items"]:
        if item["environment"] == ENVIRONMENT and item["url"]:
            return f"{item['url']}  ({NAME} {item['observed']} in {ENVIRONMENT})"
    return f"is registered as {NAME}, but nothing of it was seen running"


def make_repository(folder):
    """Make a git repository from examples/ (once) and return its path."""
    if (folder / ".git").is_dir():
        return folder
    aside = folder.with_name(folder.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(SOURCE, aside, ignore=shutil.ignore_patterns("__pycache__"))
    for argv in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "The sample application"],
    ):
        done = subprocess.run(["git", "-C", str(aside), *argv], env={**os.environ, **COMMITTER}, capture_output=True, text=True)
        if done.returncode:
            raise SampleError(f"git {argv[0]}: {done.stderr.strip()}")
    aside.rename(folder)
    return folder
