"""Celery tasks of a few lines: ids in, one controller call. Each may come late, twice or never (see lib/broker.py)."""

from controllers.automation import hooks, rules
from controllers.catalog import integration_tests
from controllers.commands import command_run
from controllers.fleet import host_check_run, preparation_run
from controllers.jobs.queue import celery
from controllers.notifications import deliveries
from controllers.releases import releases
from controllers.rollout import bake, host_run, maintenance_run, plans, reconcile

task = celery().task


@task(name="windlass.reconcile")
def reconcile_deploy(deploy_id):
    """One tick of a deploy."""
    reconcile.reconcile(deploy_id)


@task(name="windlass.host_run")
def carry_out_host_run(host_run_id):
    """Drive one host."""
    host_run.carry_out(host_run_id)


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
def observe_host(worker_request_id):
    """Look at one host for somebody who waits."""
    host_check_run.observe(worker_request_id)


@task(name="windlass.watch_host")
def watch_host(host_id):
    """Look at one host whose time has come."""
    host_check_run.watch(host_id)


@task(name="windlass.maintain_host")
def maintain_host(maintenance_host_id):
    """Close or open one host of a target for maintenance."""
    maintenance_run.carry_out(maintenance_host_id)


@task(name="windlass.run_command")
def run_command(command_run_id):
    """Run a command on one host, or follow it there."""
    command_run.carry_out(command_run_id)


@task(name="windlass.prepare_host")
def prepare_host(preparation_id):
    """Prepare one host, or go on with it."""
    preparation_run.carry_out(preparation_id)


@task(name="windlass.deliver")
def deliver(delivery_id):
    """Say one thing to a foreign system."""
    deliveries.carry_out(delivery_id)


@task(name="windlass.hook")
def work_on_hook(hook_id):
    """Do what follows from a foreign system's hook."""
    hooks.work(hook_id)


@task(name="windlass.automation")
def advance_automation(automation_id):
    """Carry an automatic deploy one step further."""
    rules.advance(automation_id)


@task(name="windlass.prepare_zone")
def prepare_zone(zone_id):
    """Make a zone's key pair where this worker holds none yet."""
    host_check_run.prepare_zone(zone_id)


@task(name="windlass.try_integration")
def try_integration(worker_request_id):
    """Try an integration out on this worker."""
    integration_tests.carry_out(worker_request_id)
