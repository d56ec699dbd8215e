"""Three of ten hosts fail: what becomes of them, of those that were switched and of those that were not, by strategy."""

import pytest

from tests.deploying import applications
from tests.faults import oracle

HOSTS = 10
BAD = (2, 5, 7)
FAILS_ON_BAD_HOSTS = """
import pathlib
(pathlib.Path(os.environ["SOCKET"]).parents[2] / "bad").exists() and sys.exit(3)
"""
ROLLING = {"kind": "rolling", "batch": 3}  # Hosts 0 to 2, 3 to 5, 6 to 8, and 9: a bad one in each of the first three.


@pytest.fixture(scope="module")
def hosts(stack, fleet_factory):
    """Ten hosts, in the order in which a target has them."""
    fleet = sorted(fleet_factory(HOSTS), key=lambda host: host.name)
    for host in fleet:
        stack.add_host(host)
    return fleet


@pytest.fixture
def bad(hosts):
    """The three hosts on which release "two" does not start; at the end all hosts are well."""
    chosen = [hosts[number] for number in BAD]
    for host in chosen:
        (host.root / "bad").touch()
    yield chosen
    heal(chosen)


def heal(hosts):
    """Let release "two" start everywhere."""
    for host in hosts:
        (host.root / "bad").unlink(missing_ok=True)


def versions(hosts, name):
    """Return what each host serves now."""
    return [host.get(server_name=f"{name}.example.com")[1] for host in hosts]


@pytest.mark.fault("host", "3 of 10 fail: {case}", "{seen}")
@pytest.mark.parametrize(
    ("case", "strategy", "state", "two", "seen"),
    [
        (
            "max_failures 2, on_failure stop",
            {"max_failures": 2, "on_failure": "stop"},
            "failed",
            range(9),
            "stopped before the tenth; the six that were switched stay",
        ),
        (
            "max_failures 2, on_failure rollback",
            {"max_failures": 2, "on_failure": "rollback"},
            "rolled_back",
            (),
            "all ten are back on the release before",
        ),
        (
            "max_failures 0, on_failure continue",
            {"max_failures": 0, "on_failure": "continue"},
            "failed",
            range(HOSTS),
            "the other seven run the new release, the deploy has failed and counts the three",
        ),
        (
            "max_failures 30%",
            {"max_failures": "30%", "on_failure": "rollback"},
            "succeeded",
            range(HOSTS),
            "the other seven run the new release, the reason names the three",
        ),
    ],
    ids=["stop", "rollback", "continue", "tolerated"],
)
def test_three_of_ten_hosts_fail(stack, hosts, repository, name, bad, first, case, strategy, state, two, seen):
    repository.commit(applications.plain("two", before=FAILS_ON_BAD_HOSTS))
    version = stack.release(name)["version"]
    deploy = oracle.await_rest(stack, stack.ask(name, version, strategy={**ROLLING, **strategy}), (state,))
    served = versions(hosts, name)
    assert "3 of 10 hosts failed" in deploy["reason"], deploy["reason"]
    assert served == ["two" if number in two and number not in BAD else "one" for number in range(HOSTS)]
    runs = stack.host_runs(deploy)
    assert [hosts[number].name for number in range(HOSTS) if runs[hosts[number].name]["state"] == "failed"] == [
        host.name for host in bad
    ]
    heal(bad)
    oracle.check(stack, hosts, name, deploy["id"], (state,), goes_on=state != "succeeded")
