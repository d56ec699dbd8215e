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


def ask_for_two(stack, repository, name, **strategy):
    """Ask for release "two", which does not start on bad hosts; returns the deploy's id."""
    repository.commit(applications.plain("two", before=FAILS_ON_BAD_HOSTS))
    return stack.ask(name, stack.release(name)["version"], strategy={**ROLLING, **strategy})


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
    deploy = oracle.await_rest(stack, ask_for_two(stack, repository, name, **strategy), (state,))
    served = versions(hosts, name)
    assert "3 of 10 hosts failed" in deploy["reason"], deploy["reason"]
    assert served == ["two" if number in two and number not in BAD else "one" for number in range(HOSTS)]
    runs = stack.host_runs(deploy)
    assert [hosts[number].name for number in range(HOSTS) if runs[hosts[number].name]["state"] == "failed"] == [
        host.name for host in bad
    ]
    heal(bad)
    oracle.check(stack, hosts, name, deploy["id"], (state,))


@pytest.mark.fault(
    "host", "3 of 10 fail, healed and retried", "the failed and the one left out run again, the others are left alone"
)
def test_a_rollout_that_stopped_is_retried(stack, hosts, repository, name, bad, first):
    deploy_id = ask_for_two(stack, repository, name, max_failures=2, on_failure="stop")
    before = stack.host_runs(oracle.await_rest(stack, deploy_id, ("failed",)))
    done = [host for host, run in before.items() if run["state"] == "succeeded"]
    assert sorted(run["state"] for host, run in before.items() if host not in done) == [*["failed"] * 3, "skipped"]
    heal(bad)
    stack.call("POST", f"/deploys/{deploy_id}/retry")
    after = stack.host_runs(oracle.await_rest(stack, deploy_id, ("succeeded",)))
    assert {host: after[host] for host in done} == {host: before[host] for host in done}
    assert {run["state"] for run in after.values()} == {"succeeded"}
    assert versions(hosts, name) == ["two"] * HOSTS
    oracle.check(stack, hosts, name, deploy_id, ("succeeded",))


@pytest.mark.fault("host", "the first of 10 fails, healthy_first", "stopped; none of the others was touched")
def test_the_first_host_fails(stack, hosts, repository, name, first):
    bad, others = hosts[:1], hosts[1:]
    before = [journal(host, name) for host in others]
    (bad[0].root / "bad").touch()
    try:
        deploy_id = ask_for_two(stack, repository, name, batch="100%", max_failures=0, on_failure="stop")
        runs = stack.host_runs(oracle.await_rest(stack, deploy_id, ("failed",)))
    finally:
        heal(bad)
    assert [runs[host.name]["state"] for host in hosts] == ["failed", *["skipped"] * (HOSTS - 1)]
    assert [journal(host, name) for host in others] == before
    oracle.check(stack, hosts, name, deploy_id, ("failed",))


def journal(host, name):
    """Return what was ever done to the application on a host."""
    return (host.root / name / "state" / "journal.jsonl").read_text()
