"""The Celery task that builds releases."""

from batch.registration import register
from controllers.releases import build

register(build.KIND)
