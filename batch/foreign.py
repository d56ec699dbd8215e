"""Celery tasks of foreign systems: their hooks, deliveries to them, and whether they can be reached from here."""

from batch.registration import register
from controllers.automation import automation_run, hook_run
from controllers.catalog import integration_tests
from controllers.notifications import delivery_run

register(hook_run.KIND, automation_run.KIND, delivery_run.KIND, integration_tests.KIND)
