"""Requests to workers: questions that only a worker can answer, while somebody waits."""

from peewee import CharField, ForeignKeyField

from models.db import BaseModel
from models.fields import JSONField, TimeField
from models.inventory import Host, Integration


class WorkerRequest(BaseModel):
    """Something that a worker of a zone is to find out; `worker` is the one that took it. Gone once somebody has its answer."""

    zone = CharField()
    host = ForeignKeyField(Host, null=True, on_delete="CASCADE")
    integration = ForeignKeyField(Integration, null=True, on_delete="CASCADE")
    payload = JSONField(null=True)
    worker = CharField(null=True)
    answer = JSONField(null=True)
    created_at = TimeField()
