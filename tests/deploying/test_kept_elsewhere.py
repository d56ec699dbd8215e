"""A worker that has no file of a release fetches it from the artifact store, and says what is wrong with that place."""

import contextlib
import dataclasses
import json
import os
import shutil

import pytest

from devkit import serve
from tests.controllers.servers import package_index, wheel
from tests.deploying import applications
from tests.deploying.story import allowed, names_of, world
from tests.fleet.keeper import Keeper
from tests.stack import ENDED, ROOT, running_stack

__all__ = ["world"]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folder of the packages that the index has."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def index(packages):
    """The package index of all builds."""
    with package_index(packages) as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory, index):
    """A Windlass that may go to the stand-ins on this machine, and to the index."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, {**allowed(folder), "WINDLASS_BUILD_INDEX_URL": index.url}) as running:
        yield running


def test_a_worker_with_a_folder_of_its_own_fetches_releases_from_where_they_are_kept(
    stack, world, fleet_factory, index, packages
):
    with Keeper() as keeper:
        start_worker(keeper, stack, "dmz")
        stack.call("POST", "/zones", {"name": "dmz"})
        zone = stack.wait("/zones/dmz", lambda zone: zone["public_key"])
        (host,) = fleet_factory(1)
        host.authorize(zone["public_key"])
        stack.call("POST", "/hosts", host.api_payload(zone="dmz"))
        stack.call("POST", f"/hosts/{host.name}/trust", {"fingerprint": host.fingerprint})
        world.application()
        stack.call("PATCH", f"/applications/{world.name}", {"build": None, "tracker": None})
        stack.set_target([host], world.name, "production", server_names=names_of(world))
        release = stack.release(world.name)["version"]
        shown = stack.wait(f"/applications/{world.name}/releases/{release}", lambda shown: shown["bundle"])
        place = f"releases/{shown['bundle']['path']}"

        bundle = world.artifactory.files.pop(place)
        assert f"'{world.of('artifactory')}'" in refused(stack, world, release)
        world.artifactory.files[place] = dataclasses.replace(bundle, content=b"another" + bundle.content)
        assert "changed or damaged" in refused(stack, world, release)
        world.artifactory.files[place] = bundle
        world.artifactory.fault("status", on=f"^GET .*{world.name}", status=429, retry_after=86_400)
        assert "artifacts.patience_s" in refused(stack, world, release), "it is not waited for a day"
        plan = same_plan_of_both(stack, world, host, release)
        world.artifactory.recover()
        with faulty(world.artifactory, on=f"^GET .*{world.name}", status=503):
            deploy = asked_while_away(stack, world, release, f"'{world.of('artifactory')}'", plan=plan)
            assert not os.path.lexists(f"{host.root}/{world.name}/current"), "nothing was done to the host"
        stack.await_end(deploy, "succeeded")
        assert host.get(server_name=f"{world.name}.example.com") == (200, "one")
        log = stack.request("GET", f"/deploys/{deploy}/log").text
        assert f"Fetching {release} from {world.of('artifactory')}" in log
        tried = stack.call("POST", f"/integrations/{world.of('site')}/test", {})["checks"]
        assert any(check["name"] == "folder in zone dmz" and "seen by worker" in check["message"] for check in tried), tried

        world.repository.commit(applications.plain("two"))
        later = stack.release(world.name)["version"]
        stack.wait(f"/applications/{world.name}/releases/{later}", lambda shown: shown["bundle"])
        stack.deploy(later, world.name, plan=same_plan_of_both(stack, world, host, later))
        assert host.get(server_name=f"{world.name}.example.com") == (200, "two")
        wait_for_the_index(stack, world, host, index, packages)
        # What the host has still needs nobody who keeps it.
        world.artifactory.fault("status", status=503)
        shutil.rmtree(stack.folder / "data-dmz" / "store")
        stack.deploy(release, world.name)
        assert host.get(server_name=f"{world.name}.example.com") == (200, "one")


def same_plan_of_both(stack, world, host, release):
    """Plan by the worker that has no files of the release and by the one that built it; returns the latter's number."""
    host.authorize(stack.call("GET", "/zones/default")["public_key"])
    plans = []
    for zone in ("dmz", "default"):
        stack.call("PATCH", f"/hosts/{host.name}", {"zone": zone})
        made = stack.call("POST", "/plans", wish(world, release))
        plans.append(stack.wait(f"/plans/{made['id']}", lambda plan: plan["state"] != "observing"))
    stack.call("PATCH", f"/hosts/{host.name}", {"zone": "dmz"})
    one, other = plans
    assert one["state"] == "ready" and one["hosts"][0]["bytes_to_send"] > 0, one
    assert (one["digest"], one["hosts"]) == (other["digest"], other["hosts"])
    return other["id"]


def wait_for_the_index(stack, world, host, index, packages):
    """Deploy what needs a virtualenv that this worker has to build while the package index is away, until it is back."""
    digest = wheel(packages, "helper")
    files = {**applications.plain("three"), "requirements.txt": f"helper==1.0 --hash=sha256:{digest}\n"}
    world.repository.commit(files)
    release = stack.release(world.name)["version"]
    stack.wait(f"/applications/{world.name}/releases/{release}", lambda shown: shown["bundle"])
    index.away = "503 Service Unavailable"
    deploy = asked_while_away(stack, world, release, "503 Service Unavailable")
    assert host.get(server_name=f"{world.name}.example.com") == (200, "two")
    index.away = None
    stack.await_end(deploy, "succeeded")
    assert host.get(server_name=f"{world.name}.example.com") == (200, "three")


@contextlib.contextmanager
def faulty(standin, **fault):
    """Let a stand-in answer with a status for the length of a block."""
    standin.fault("status", **fault)
    yield
    standin.recover()


def asked_while_away(stack, world, release, named, **more):
    """Ask for a deploy while what its release comes from is away; returns its number once it waits, and says for what."""
    made = stack.call("POST", "/deploys", {**wish(world, release), **more})
    path = f"/deploys/{made['id']}/hosts"
    page = stack.wait(path, lambda page: "cannot be had now" in (page["items"][0]["message"] or ""))
    assert named in page["items"][0]["message"]
    assert stack.call("GET", f"/deploys/{made['id']}")["state"] == "running"
    return made["id"]


def wish(world, release):
    """Return what is asked for when a release is to go to production."""
    return {"application": world.name, "release": release, "environment": "production"}


def start_worker(keeper, stack, zone):
    """Start a worker that serves one zone and shares the database and the queue with the others, but no file of a release."""
    folder = stack.folder / f"data-{zone}"
    folder.mkdir()
    (folder / "broker").symlink_to(stack.data / "broker")
    variables = {
        "WINDLASS_DATA": str(folder),
        "WINDLASS_DATABASE_URL": f"sqlite:///{stack.data}/windlass.db",
        "WINDLASS_SECRET_KEY_FILE": str(stack.data / "secret.key"),
        "WINDLASS_WORKER_ZONES": json.dumps([zone]),
        "WINDLASS_WORKER_CENTRAL": "false",
    }
    return keeper.start(
        serve.worker_command(), stack.folder / f"worker-{zone}.log", env={**stack.environment, **variables}, cwd=ROOT
    )


def refused(stack, world, release):
    """Deploy what cannot be had; returns what is said of it, once nothing was touched."""
    made = stack.call("POST", "/deploys", wish(world, release))
    ended = stack.wait(f"/deploys/{made['id']}", lambda deploy: deploy["state"] in ENDED)
    log = stack.request("GET", f"/deploys/{made['id']}/log").text
    assert ended["state"] in ("failed", "rolled_back") and "Nothing was touched" in log, log
    return log
