"""Celery tasks of rollouts: a deploy's next step, its hosts, its plan, hosts under watch, maintenance of a target."""

from batch.registration import register
from controllers.rollout import bake, host_run, maintenance_run, reconcile
from controllers.rollout.planning import plan_run

register(reconcile.KIND, host_run.KIND, bake.KIND, plan_run.KIND, maintenance_run.KIND)
