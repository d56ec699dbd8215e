"""Make a declared kind of work a Celery task."""

from controllers.jobs.queue import celery


def register(*kinds):
    """Register what these kinds run with this process's Celery application; returns the tasks."""
    return [celery().task(kind.carry_out, name=kind.task) for kind in kinds]
