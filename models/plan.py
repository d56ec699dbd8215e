"""Plans: what deploying a release to a target will change, host by host."""

from peewee import BooleanField, CharField, ForeignKeyField

from models.db import BaseModel
from models.fields import JSONField, TimeField
from models.inventory import Application, Environment, Host
from models.release import Release


class Plan(BaseModel):
    """What was asked for; `snapshot` is the target as it was then, its variables sealed inside.

    `is_kept` marks one that a deploy without a plan keeps of itself, to show what it did; any other binds the deploys of it.
    `skipped` are the hosts that were out of service: [{"host", "reason"}]; they have no row of their own.
    """

    application = ForeignKeyField(Application, backref="plans", on_delete="CASCADE")
    environment = ForeignKeyField(Environment, backref="plans", on_delete="CASCADE")
    release = ForeignKeyField(Release, backref="plans", on_delete="CASCADE")
    strategy = JSONField()
    snapshot = JSONField()
    skipped = JSONField(default=list)
    is_kept = BooleanField(default=False)
    requested_by = CharField()
    created_at = TimeField()


class PlanHost(BaseModel):
    """One host of a plan: "observing", then "ready" with its changes or "failed" with an error; written once.

    `texts` are the configuration files as they were found there, to show later what moved.
    """

    plan = ForeignKeyField(Plan, backref="plan_hosts", on_delete="CASCADE")
    host = ForeignKeyField(Host, null=True, on_delete="SET NULL")
    host_name = CharField()
    state = CharField(default="observing")
    changes = JSONField(null=True)
    digest = CharField(null=True)
    texts = JSONField(null=True)
    error = JSONField(null=True)
    enqueued_at = TimeField(null=True)

    class Meta:
        indexes = ((("plan", "host"), True), (("state",), False))
