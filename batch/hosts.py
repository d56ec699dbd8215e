"""Celery tasks of hosts: looking at them, preparing them, making the SSH keys of their zones."""

from batch.registration import register
from controllers.fleet import host_check_run, preparation_run

register(host_check_run.OBSERVE, host_check_run.WATCH, host_check_run.PREPARE_ZONE, preparation_run.KIND)
