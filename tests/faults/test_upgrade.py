"""Windlass is replaced by a newer version in the middle of a rollout, which goes on under the new one."""

import shutil
import signal

import pytest

from tests.deploying import applications
from tests.faults import oracle
from tests.faults.stack import PartedStack, running_fault_stack
from tests.fleet.keeper import is_running
from tests.fleet.reaper import send
from tests.stack import ROOT

PARTS = ("api", "batch", "controllers", "etc", "lib", "models", "routes", "views")
LINKED = ("env", "lib/vendor", "static")
NEW_VERSION = "99.0.0"
MIGRATION = """
def up(migrator, db):
    db.execute_sql("CREATE TABLE of_the_newer_version (id INTEGER PRIMARY KEY)")
    db.execute_sql("ALTER TABLE deploy ADD COLUMN of_the_newer_version TEXT")
    db.execute_sql("ALTER TABLE host_run ADD COLUMN of_the_newer_version TEXT")

def down(migrator, db):
    pass
"""
SLOW_START_S = 4


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Windlass whose parts are started one by one."""
    with running_fault_stack(tmp_path_factory.mktemp("stack"), kind=PartedStack) as running:
        yield running


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """The program's folder of a newer Windlass: another version, another agent, one migration more."""
    tree = tmp_path_factory.mktemp("newer") / "windlass"
    for part in PARTS:
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("vendor", "__pycache__"))
    for part in LINKED:
        (tree / part).symlink_to(ROOT / part)
    for part in ("app.py", "tasks.py"):
        shutil.copy(ROOT / part, tree / part)
    version = tree / "lib" / "version.py"
    version.write_text(version.read_text() + f"VERSION = {NEW_VERSION!r}\n")
    agent = tree / "lib" / "remote" / "agent" / "__init__.py"
    text = agent.read_text()
    assert "\nVERSION = 1\n" in text
    agent.write_text(text.replace("\nVERSION = 1\n", "\nVERSION = 2\n"))
    last = max(path.name for path in (tree / "models" / "migrations").glob("[0-9]*.py"))
    (tree / "models" / "migrations" / f"{int(last[:4]) + 1:04d}_newer.py").write_text(MIGRATION)
    return tree


@pytest.mark.fault(
    "upgrade", "Another version of Windlass in the middle of a rollout", "the new version ends what the old one began"
)
def test_an_upgrade_in_the_middle_of_a_rollout(stack, hosts, repository, name, first, newer):
    slow = applications.plain(
        "two",
        before=f"import time; time.sleep({SLOW_START_S})",
        processes={"release": oracle.leave_mark(hosts, name)},
    )
    repository.commit(slow)
    deploy_id = stack.ask(name, stack.release(name)["version"])
    stack.step_of(deploy_id, "check")
    assert oracle.times_run(hosts, name) == {(deploy_id, 0): 1}
    old = stack.worker
    send(old.pid, signal.SIGTERM)
    oracle.await_true(lambda: not is_running(old.pid), "end of the old worker")
    stack.worker = stack.start_worker(tree=newer)
    deploy = oracle.await_rest(stack, deploy_id, ("succeeded",))
    stack.process.stop(signal.SIGTERM)
    stack.start_web(tree=newer)
    stack.await_ready()
    assert stack.call("GET", "/")["version"] == NEW_VERSION
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    first.await_requests(3)
    assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 1
    assert facts_of(stack, hosts[0])["agent"] == 2


def facts_of(stack, host):
    """Return what is known of a host, looked at anew."""
    stack.call("POST", f"/hosts/{host.name}/check")
    return stack.call("GET", f"/hosts/{host.name}")["facts"]
