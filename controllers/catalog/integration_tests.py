"""Try out an integration: here where it is reached from anywhere, on a worker of each zone where only workers use it."""

import dataclasses

from controllers import foreign
from controllers.jobs import requests
from models import Host, Zone

PATIENCE_S = 25


def prove(row, **hints):
    """Return {"ok", "version", "checks"} of trying out an integration's row; hints: as foreign.Driver.prove()."""
    driver = foreign.drivers().get(row.driver)
    if driver is None:
        check = foreign.Check("driver", False, f"There is no driver {row.driver} any more.")
        return foreign.Proof(None, [check]).describe()
    return on_workers(row) if driver.runs_on_workers else here(row, driver, hints)


def here(row, driver, hints):
    """Try an integration out in this process, also one that is left alone for now."""
    try:
        return driver(dataclasses.replace(foreign.access_of(row), is_trial=True)).prove(**hints).describe()
    except foreign.ForeignError as error:
        return foreign.Proof(None, [foreign.Check("connection", False, error.detail)]).describe()


# On workers.


def on_workers(row):
    """Have a worker of each zone with hosts (of every zone while there is no host) try an integration out."""
    used = Zone.id.in_(Host.select(Host.zone))
    zones = Zone.select(Zone.name).order_by(Zone.name)
    names = [zone.name for zone in zones.where(used)] or [zone.name for zone in zones]
    return together(requests.send("windlass.try_integration", names, PATIENCE_S, integration=row))


def together(done):
    """Return the answers of all zones' workers as one; each check says who looked."""
    checks, versions = [], []
    for errand in done:
        if errand.answer is None:
            why = requests.unanswered(errand, PATIENCE_S)
            checks.append(foreign.Check(f"worker of zone {errand.zone}", False, why))
            continue
        versions += [errand.answer["version"]] if errand.answer["version"] not in (None, *versions) else []
        for check in errand.answer["checks"]:
            message = f"{check['message']} (seen by worker {errand.worker})"
            checks.append(foreign.Check(f"{check['name']} in zone {errand.zone}", check["ok"], message))
    return foreign.Proof(", ".join(versions) or None, checks).describe()


def carry_out(errand_id):
    """The worker's side: try an integration out and write down what was found."""
    requests.carry_out(errand_id, find_out)


def find_out(errand):
    """Return what trying an errand's integration out here has shown."""
    return here(errand.integration, foreign.drivers()[errand.integration.driver], {})
