"""The oracle: what must hold after any fault, looked at from outside of Windlass wherever that is possible.

    deploy = oracle.check(stack, hosts, name, deploy_id)

The deploy has come to an end (or is paused) within a bound, and tells the truth; what each host runs is complete, byte for
byte, and serves; nobody holds the host's lock and no epoch went backwards; the history has no gap; the `release` process ran
once in each deploy that led to a success, and in none twice; and the target's secret is nowhere to be read. After some of the
cases (tests/selection.py), or after all with `dev.py test --all`: the next deploy and the next rollback need no cleaning up.
"""

import collections
import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from pathlib import Path

from tests.stack import ENDED, UNHURRIED_S

RESTING = (*ENDED, "paused")
BOUND_S = 90
LOCK_BOUND_S = 30
LEFT_OVERS = ("*partial*", ".windlass-new-*", ".windlass-undo-*")
VERSION = re.compile(r"^VERSION = '(.*)'$", re.M)
ROLLBACK_REFUSED = 409
# Whether the next deploy and rollback are tried as well; the fixture `thoroughness` says so for each case.
IS_THOROUGH = True


def check(stack, hosts, name, deploy_id, states=RESTING):
    """Check all that must hold; returns the deploy. `states` are those in which it may rest."""
    deploy = await_rest(stack, deploy_id, states)
    check_history(stack, deploy_id)
    check_truth(stack, hosts, name, deploy)
    check_once(stack, hosts, name, deploy)
    come_to_an_end(stack, deploy)
    if IS_THOROUGH:
        check_going_on(stack, hosts, name, deploy)
    check_no_left_overs(hosts, name)
    check_secret(stack, hosts, name, deploy_id)
    return deploy


def await_rest(stack, deploy_id, states=RESTING):
    """Return the deploy once it is in a state in which it may stay; which must be one of `states`."""
    deploy = stack.wait(f"/deploys/{deploy_id}", lambda deploy: deploy["state"] in RESTING, BOUND_S, UNHURRIED_S)
    log = stack.request("GET", f"/deploys/{deploy_id}/log").text
    assert deploy["state"] in states, f"{deploy['state']}: {deploy['reason']}\n{log}"
    return deploy


def await_true(is_so, what, timeout_s=60):
    """Wait until `is_so()`."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"no {what} within {timeout_s} s"
        time.sleep(0.02)


def history(stack, deploy_id):
    """Return all events of a deploy."""
    events, after = [], 0
    while page := stack.call("GET", f"/deploys/{deploy_id}/events?after={after}&limit=200")["items"]:
        events += page
        after = page[-1]["number"]
    return events


def check_history(stack, deploy_id):
    """Events are numbered without gap or duplicate, and the last change of state is the state."""
    check_events(history(stack, deploy_id), stack.call("GET", f"/deploys/{deploy_id}"))


def check_events(events, deploy):
    """All events of a deploy are there once, in sequence, and the last change of state is its state."""
    numbers = [event["number"] for event in events]
    assert numbers == list(range(1, len(events) + 1)), f"deploy {deploy['id']} has the events {numbers}"
    history = [event["data"]["state"] for event in events if event["kind"] == "deploy"]
    assert history[-1] == deploy["state"], f"deploy {deploy['id']} is {deploy['state']}, its history says {history}"


def check_truth(stack, hosts, name, deploy):
    """What each host runs is complete and serves, and where success is claimed it is what was deployed."""
    release = stack.call("GET", f"/applications/{name}/releases/{deploy['release']}")
    runs = stack.host_runs(deploy)
    for host in hosts:
        run = runs[host.name]
        if deploy["state"] != "paused":
            assert run["state"] not in ("pending", "running"), f"the deploy has ended, its run is {run}"
            await_free_lock(host, name)
        check_epochs(host, name)
        current = check_current(stack, host, name)
        if run["state"] in ("succeeded", "unchanged"):
            assert current == release["digest"], f"{host.name}: success is claimed, but {current} runs"
            check_served(host, name)
    if deploy["state"] == "succeeded":
        assert all(runs[host.name]["state"] not in ("rolled_back",) for host in hosts), runs
        assert any(run["state"] in ("succeeded", "unchanged") for run in runs.values()), runs


def check_current(stack, host, name):
    """`current` is absent or a release that is there byte for byte; returns its digest or None."""
    root, leads_to = host.root / name, current(host, name)
    if leads_to is None:
        return None
    digest = Path(leads_to).name
    manifest = (stack.data / "store" / "manifests" / digest).read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == digest
    tree = root / "releases" / digest
    found = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()}
    entries = json.loads(manifest)
    assert found == {entry[0] for entry in entries}
    for path, *rest in entries:
        if rest[0] == "link":
            assert os.readlink(tree / path) == rest[1]
        else:
            assert hashlib.sha256((tree / path).read_bytes()).hexdigest() == rest[2], f"{path} of {digest} is damaged"
    return digest


def current(host, name):
    """Return where `current` leads on the host, None where it is not there."""
    link = host.root / name / "current"
    return os.readlink(link) if link.is_symlink() else None


def check_served(host, name):
    """The host's nginx answers with the release that `current` names."""
    server = (host.root / name / "current" / "server.py").read_text()
    assert host.get(server_name=f"{name}.example.com") == (200, VERSION.search(server)[1])


def check_epochs(host, name):
    """No run of an older epoch did anything after a newer one had begun."""
    journal = host.root / name / "state" / "journal.jsonl"
    if journal.exists():
        epochs = [json.loads(line)["epoch"] for line in journal.read_text().splitlines()]
        assert epochs == sorted(epochs), epochs


def await_free_lock(host, name):
    """Wait until no agent holds the application's lock on the host."""
    lock = host.root / name / "state" / "lock"
    deadline = time.monotonic() + LOCK_BOUND_S
    while lock.exists() and not is_free(lock):
        assert time.monotonic() < deadline, f"{lock} is still held: {lock.read_text()}"
        time.sleep(0.02)


def is_free(lock):
    """Say whether nobody holds a lock file."""
    with open(lock) as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def holder(host, name):
    """Return what the agent that holds the application's lock on the host says of itself."""
    return json.loads((host.root / name / "state" / "lock").read_text())


def marks(hosts, name):
    """Return the file, outside of all that Windlass knows of, in which the `release` process leaves its marks."""
    return hosts[0].folder / f"{name}.ran"


def leave_mark(hosts, name):
    """Return the command with which a `release` process leaves a mark: the path of its script, named for the deploy."""
    return f'echo "$0" >> {marks(hosts, name)}'


def times_run(hosts, name):
    """Return how often each deploy ran its `release` process, by (the deploy's id, the number of retries before)."""
    path = marks(hosts, name)
    keys = [Path(line).name.split("-")[:2] for line in path.read_text().splitlines()] if path.exists() else []
    return collections.Counter((int(deploy), int(retries)) for deploy, retries in keys)


def check_once(stack, hosts, name, deploy):
    """No deploy ran its `release` process twice, and none of its hosts was led to the release without it."""
    ran = times_run(hosts, name)
    assert all(times == 1 for times in ran.values()), f"the release process ran more than once: {ran}"
    release = stack.call("GET", f"/applications/{name}/releases/{deploy['release']}")
    if deploy["rollback_of"] or str(marks(hosts, name)) not in release["processes"].get("release", ""):
        assert all(deploy_id != deploy["id"] for deploy_id, _ in ran), "a deploy ran a release process that it has not"
    elif any(run["state"] == "succeeded" for run in stack.host_runs(deploy).values()):
        assert any(deploy_id == deploy["id"] for deploy_id, _ in ran), "a host was switched without the release process"


def come_to_an_end(stack, deploy):
    """A deploy that rests in a pause can be cancelled, and holds nothing from then on."""
    if deploy["state"] == "paused":
        stack.call("POST", f"/deploys/{deploy['id']}/cancel")
        await_rest(stack, deploy["id"], ENDED)


def check_going_on(stack, hosts, name, deploy):
    """The next deploy works without cleaning up, and so does its rollback."""
    following = stack.deploy(other_release(stack, hosts, name), name)
    check_truth(stack, hosts, name, following)
    check_once(stack, hosts, name, following)
    if following["previous_release"] and following["previous_release"] != following["release"]:
        check_truth(stack, hosts, name, stack.rollback(following))


def other_release(stack, hosts, name):
    """Return the newest release that is not the one the first host runs, or that one if there is no other."""
    runs = Path(current(hosts[0], name) or "").name
    ready = stack.call("GET", f"/applications/{name}/releases?state=ready")["items"]
    return next((release["version"] for release in ready if release["digest"] != runs), ready[0]["version"])


def check_no_left_overs(hosts, name):
    """Nothing half-made is left on the hosts."""
    for host in hosts:
        folders = [host.root / name, host.folder / "nginx" / "sites", host.folder / "supervisor" / "programs"]
        left = [path for folder in folders for pattern in LEFT_OVERS for path in folder.rglob(pattern)]
        assert not left, left


def check_secret(stack, hosts, name, deploy_id):
    """The target's secret is in no answer, event, log, argument or file but the few private ones that hold the variables."""
    for path in (
        f"/deploys/{deploy_id}",
        f"/deploys/{deploy_id}/hosts",
        f"/deploys/{deploy_id}/log",
        f"/applications/{name}/targets/production",
        f"/applications/{name}/targets/production/variables",
        f"/status?application={name}",
    ):
        answer = stack.request("GET", path)
        assert answer.status_code == 200 and stack.secret not in answer.text, path
    assert stack.secret not in json.dumps(history(stack, deploy_id))
    secret = stack.secret.encode()
    for path in (*files_of(stack), *files_on(hosts, name)):
        with contextlib.suppress(FileNotFoundError):
            assert not path.is_file() or secret not in path.read_bytes(), path
    for path in (path for host in hosts for path in holding_variables(host, name)):
        with contextlib.suppress(FileNotFoundError):
            assert path.stat().st_mode & 0o077 == 0, f"others can read {path}, which holds the variables"
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert secret not in line.read_bytes(), line


def files_of(stack):
    """Return Windlass's own files in which a secret might be: the database, what it logged and what its processes said."""
    return [*stack.data.glob("*"), *(stack.data / "log").rglob("*"), *stack.folder.glob("*.log")]


def holding_variables(host, name):
    """Return the files on a host that hold an application's variables: what starts processes, and what both slots run."""
    root = host.root / name
    return [*(root / "run").glob("[ab]-*"), *(root / "state").glob("slot-?.json"), *(root / "state/once").glob("*.sh")]


def files_on(hosts, name):
    """Return the files that Windlass writes on the hosts, without those that hold the variables."""
    for host in hosts:
        root, exempt = host.root / name, set(holding_variables(host, name))
        folders = (
            root / "run",
            root / "state",
            host.folder / "nginx" / "sites",
            host.folder / "supervisor" / "programs",
        )
        yield from (path for folder in folders for path in folder.rglob("*") if path not in exempt)
