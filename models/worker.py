"""Workers as last seen."""

from peewee import CharField

from models.db import BaseModel
from models.fields import JSONField, TimeField


class Worker(BaseModel):
    """A Celery worker process: `zones` it serves and when it last said so."""

    name = CharField(unique=True)
    zones = JSONField()
    version = CharField()
    seen_at = TimeField()
