"""Try out an integration: here where it is reached from anywhere, on a worker of each zone where only workers use it."""

import dataclasses
import time

from controllers import dispatch, foreign, workers
from models import Host, Trial, Zone
from models.db import clock

PATIENCE_S = 25
LOOK_EVERY_S = 0.1
FORGET_AFTER_MS = 3600 * 1000  # Trials that nobody waits for any more, because the web process ended meanwhile.


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
    Trial.delete().where(Trial.created_at < clock() - FORGET_AFTER_MS).execute()
    used = Zone.id.in_(Host.select(Host.zone))
    zones = Zone.select(Zone.name).order_by(Zone.name)
    names = [zone.name for zone in zones.where(used)] or [zone.name for zone in zones]
    rows = [Trial.create(integration=row, zone=name, created_at=clock()) for name in names]
    for trial in rows:
        dispatch.ring("windlass.try_integration", trial.id, zone=trial.zone)
    mine = Trial.id.in_([trial.id for trial in rows])
    try:
        await_answers(mine)
        return together(list(Trial.select().where(mine).order_by(Trial.zone)))
    finally:
        Trial.delete().where(mine).execute()


def await_answers(mine):
    """Wait until all trials were carried out, or for as long as a request may take."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and Trial.select().where(mine, Trial.answer.is_null()).exists():
        time.sleep(LOOK_EVERY_S)


def together(rows):
    """Return the answers of all zones' workers as one; each check says who looked."""
    checks, versions = [], []
    for row in rows:
        if row.answer is None:
            why = f"No worker of zone {row.zone} answered within {PATIENCE_S} s: start one there, or see what keeps it busy."
            checks.append(foreign.Check(f"worker of zone {row.zone}", False, why))
            continue
        versions += [row.answer["version"]] if row.answer["version"] not in (None, *versions) else []
        for check in row.answer["checks"]:
            message = f"{check['message']} (seen by worker {row.answer['worker']})"
            checks.append(foreign.Check(f"{check['name']} in zone {row.zone}", check["ok"], message))
    return foreign.Proof(", ".join(versions) or None, checks).describe()


def carry_out(trial_id):
    """The worker's side: try an integration out and write down what was found."""
    trial = Trial.get_or_none(Trial.id == trial_id)
    if trial is None or trial.answer is not None:
        return
    driver = foreign.drivers()[trial.integration.driver]
    answer = {**here(trial.integration, driver, {}), "worker": workers.NAME}
    Trial.update(answer=answer).where(Trial.id == trial.id).execute()
