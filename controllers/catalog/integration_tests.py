"""Try out an integration: here where it is reached from anywhere, on a worker of each zone where only workers use it."""

import dataclasses

from controllers import foreign
from controllers.jobs import requests
from controllers.jobs.kinds import Kind, declare
from models import Host, Zone

PATIENCE_S = 25


def prove(row, zones, **hints):
    """Return {"ok", "version", "checks"} of trying out an integration's row; hints: as foreign.Driver.prove().

    zones: the query for those whose workers may be asked.
    """
    driver = foreign.drivers().get(row.driver)
    if driver is None:
        check = foreign.Check("driver", False, f"There is no driver {row.driver} any more.")
        return foreign.Proof(None, [check]).describe()
    return on_workers(row, zones) if driver.runs_on_workers else here(row, driver, hints)


def here(row, driver, hints):
    """Try an integration out in this process, also one that is left alone for now."""
    try:
        return driver(dataclasses.replace(foreign.access_of(row), is_trial=True)).prove(**hints).describe()
    except foreign.ForeignError as error:
        return foreign.Proof(None, [foreign.Check("connection", False, error.detail)]).describe()


# On workers.


def on_workers(row, zones):
    """Have a worker of each zone with hosts (of every zone while there is no host) try an integration out."""
    used = Zone.id.in_(Host.select(Host.zone))
    zones = zones.order_by(Zone.name)
    names = [zone.name for zone in zones.where(used)] or [zone.name for zone in zones]
    return together(requests.send("windlass.try_integration", names, PATIENCE_S, integration=row))


def together(done):
    """Return the answers of all zones' workers as one; each check says who looked."""
    checks, versions = [], []
    for worker_request in done:
        if worker_request.answer is None:
            why = requests.unanswered(worker_request, PATIENCE_S)
            checks.append(foreign.Check(f"worker of zone {worker_request.zone}", False, why))
            continue
        versions += [worker_request.answer["version"]] if worker_request.answer["version"] not in (None, *versions) else []
        for check in worker_request.answer["checks"]:
            message = f"{check['message']} (seen by worker {worker_request.worker})"
            checks.append(foreign.Check(f"{check['name']} in zone {worker_request.zone}", check["ok"], message))
    return foreign.Proof(", ".join(versions) or None, checks).describe()


def carry_out(worker_request_id):
    """The worker's side: try an integration out and write down what was found."""
    requests.carry_out(worker_request_id, find_out)


def find_out(worker_request):
    """Return what trying a request's integration out here has shown."""
    return here(worker_request.integration, foreign.drivers()[worker_request.integration.driver], {})


KIND = declare(Kind("windlass.try_integration", run=carry_out))
