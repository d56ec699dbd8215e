"""Celery tasks of one-off commands."""

from batch.registration import register
from controllers.commands import command_run

register(command_run.KIND)
