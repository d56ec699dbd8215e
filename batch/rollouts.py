"""Celery tasks of rollouts: a deploy's next step, its hosts, its plan, hosts under watch, maintenance of a target."""

from batch.registration import register
from controllers.rollout import bake, host_run, maintenance_run, plan_run, reconcile

register(reconcile.KIND, host_run.KIND, bake.KIND, plan_run.KIND, maintenance_run.KIND)
