"""Celery tasks of a few lines: ids in, one controller call. Each may come late, twice or never (see lib/doorbell.py)."""

from controllers import bake, conduct, hostrun, observations, plans, releases, sweep
from controllers.dispatch import celery

task = celery().task


@task(name="windlass.sweep")
def sweep_due():
    """Ring again for whatever is due."""
    sweep.sweep()


@task(name="windlass.conduct")
def conduct_deploy(deploy_id):
    """One tick of a deploy."""
    conduct.conduct(deploy_id)


@task(name="windlass.host_run")
def carry_out_host_run(host_run_id):
    """Drive one host."""
    hostrun.carry_out(host_run_id)


@task(name="windlass.bake_host")
def look_at_baking_host(host_run_id):
    """Look once at a host that has switched and is under watch."""
    bake.look(host_run_id)


@task(name="windlass.plan_host")
def plan_host(plan_host_id):
    """Look at one host of a plan."""
    plans.observe(plan_host_id)


@task(name="windlass.build")
def build_release(release_id):
    """Build one release."""
    releases.build(release_id)


@task(name="windlass.observe_host")
def observe_host(host_id):
    """Look at one host and write down what is there."""
    observations.observe(host_id)


@task(name="windlass.prepare_zone")
def prepare_zone(zone_id):
    """Make a zone's key pair where this worker holds none yet."""
    observations.prepare_zone(zone_id)
