"""One application of a soak: asks for deploys and rollbacks, one after the other or before the one before has ended."""

import random
import threading
import time
import uuid

import requests

from tests.faults import oracle
from tests.stack import ENDED

PATIENCE_S = 300
OVERLAPPING, ROLLING_BACK = 0.25, 0.3
CHECK_PY = """\
import os, time
with open({marks!r}, "a") as marks:
    marks.write(os.readlink("/proc/self/fd/1") + "\\n")
time.sleep(0.3)
"""


class Peace:
    """The time in which nothing is killed any more. Only in it does patience end.

    Before, on a busy machine, a process may be killed again and again before it has started, and that is no fault of it.
    """

    def __init__(self):
        self.since = None

    def begin(self):
        """Nothing is killed from now on."""
        self.since = time.monotonic()

    def has_lasted(self, asked_at):
        """Say whether what was asked for at a time.monotonic() had PATIENCE_S seconds of peace."""
        return self.since is not None and time.monotonic() > max(asked_at, self.since) + PATIENCE_S


class Client:
    """An API client that repeats a request until it is answered, with an Idempotency-Key, as a careful script does.

    It can stand for a tests.stack.Stack where the oracle only looks.
    """

    def __init__(self, stack, peace):
        self.url, self.data, self.peace = stack.url, stack.data, peace
        self.http = requests.Session()
        self.http.headers.update(stack.http.headers)
        self.repeats, self.strange = 0, []

    def request(self, method, path, json=None):
        """Return the first answer that is one; what a killed server leaves unanswered is asked again."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        asked_at = time.monotonic()
        while True:
            try:
                answer = self.http.request(method, f"{self.url}/api/v1{path}", json=json, headers=headers, timeout=30)
                if not self.is_to_be_repeated(method, path, answer):
                    return answer
                problem = f"{answer.status_code} {answer.text}"
            except requests.RequestException as error:
                problem = error
            assert not self.peace.has_lasted(asked_at), f"{method} {path} is not answered: {problem}"
            self.repeats += 1
            time.sleep(0.2)

    def is_to_be_repeated(self, method, path, answer):
        """Say whether an answer asks for patience; one that no client should ever get is noted."""
        if answer.status_code >= 500 and answer.status_code != 503:
            self.strange.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.status_code >= 500 or (answer.status_code == 409 and answer.json()["code"] == "request-in-flight")

    def call(self, method, path, body=None):
        """Make a request that must succeed and return its JSON."""
        answer = self.request(method, path, json=body)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def host_runs(self, deploy):
        """Return a deploy's host runs by host name."""
        return {run["host"]: run for run in self.call("GET", f"/deploys/{deploy['id']}/hosts")["items"]}


class Lane(threading.Thread):
    """Asks for `count` deploys of application `name` between now and `within_s` seconds later.

    Afterwards `asked` are the ids in the order they were asked for, `deploys` what became of them, `broken` what must not be.
    """

    def __init__(self, stack, name, hosts, versions, count, within_s, seed, peace):
        super().__init__(daemon=True, name=f"lane-{name}")
        self.client, self.app, self.hosts, self.versions = Client(stack, peace), name, hosts, versions
        self.count, self.within_s, self.random = count, within_s, random.Random(f"{seed}-{name}")
        self.asked, self.deploys, self.broken = [], {}, []

    def run(self):
        """Ask for them all, then wait for the last one."""
        begun, every_s = time.monotonic(), self.within_s / self.count
        offset = self.random.random()
        try:
            for number in range(self.count):
                time.sleep(max(0, begun + (number + offset) * every_s - time.monotonic()))
                self.ask()
            self.settle()
        except Exception as problem:  # Whatever it is, the soak is to say so in the end.
            self.broken.append(f"{self.app}: {type(problem).__name__}: {problem}")

    def has_asked(self):
        """Say whether everything has been asked for, or nothing more will be."""
        return len(self.asked) == self.count or not self.is_alive()

    def ask(self):
        """Ask for one more rollout."""
        going_on = self.asked and self.asked[-1] not in self.deploys
        if going_on and self.random.random() < OVERLAPPING and not self.is_rollback(self.asked[-1]):
            self.deploy()  # It has to queue.
            return
        self.settle()
        last = self.deploys.get(self.asked[-1]) if self.asked else None
        if last and last["state"] == "succeeded" and last["previous_release"] and self.random.random() < ROLLING_BACK:
            self.asked.append(self.client.call("POST", f"/deploys/{last['id']}/rollback")["id"])
        else:
            self.deploy()

    def is_rollback(self, deploy_id):
        """Say whether a deploy is a rollback, which others are refused beside."""
        return bool(self.client.call("GET", f"/deploys/{deploy_id}")["rollback_of"])

    def deploy(self):
        """Ask for a deploy of a random release."""
        body = {"application": self.app, "environment": "production", "release": self.random.choice(self.versions)}
        self.asked.append(self.client.call("POST", "/deploys", body)["id"])

    def settle(self):
        """Wait until all that was asked for has ended; then the hosts must be as the last of it says."""
        for deploy_id in self.asked:
            if deploy_id not in self.deploys:
                self.deploys[deploy_id] = self.await_end(deploy_id)
        if self.asked:
            self.noting(oracle.check_truth, self.client, self.hosts, self.app, self.deploys[self.asked[-1]])

    def await_end(self, deploy_id):
        """Return a deploy once it has ended."""
        asked_at = time.monotonic()
        while (deploy := self.client.call("GET", f"/deploys/{deploy_id}"))["state"] not in ENDED:
            assert not self.client.peace.has_lasted(asked_at), (
                f"deploy {deploy_id} is still {deploy['state']} after {PATIENCE_S} s in which nothing was killed"
            )
            time.sleep(0.2)
        return deploy

    def noting(self, check, *arguments):
        """Make a check of the oracle; what it finds is noted and does not stop the soak."""
        try:
            check(*arguments)
        except (AssertionError, OSError) as problem:
            self.broken.append(f"{self.app}: {problem}")
