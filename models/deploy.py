"""Rollouts: deploys, their host runs with steps, and the fence that keeps stale workers off a host."""

from peewee import BigIntegerField, BooleanField, CharField, ForeignKeyField, IntegerField, TextField, fn

from models.db import BaseModel
from models.fields import JSONField, TimeField
from models.inventory import Application, Environment, Host
from models.leased import LeasedModel
from models.plan import Plan
from models.release import Release


class Deploy(BaseModel):
    """One rollout of a release to a target; `snapshot` is the target as it was when the deploy was asked for.

    `start_at` is when a scheduled one is to begin, `override` why freezes do not hold it back. `resumed_wave` is the last
    wave that somebody let begin by resuming a paused deploy. `changelog` is what it brings: commits, authors, issues.
    `issues_check` is whether these issues are in the states its application requires, and until when (milliseconds) that
    counts: {"ok", "told", "until"}.
    """

    application = ForeignKeyField(Application, backref="deploys", on_delete="CASCADE")
    environment = ForeignKeyField(Environment, backref="deploys", on_delete="RESTRICT")
    release = ForeignKeyField(Release, backref="deploys", on_delete="CASCADE")
    previous_release = ForeignKeyField(Release, null=True, on_delete="SET NULL")
    rollback_of = ForeignKeyField("self", null=True, on_delete="SET NULL")
    plan = ForeignKeyField(Plan, null=True, backref="deploys", on_delete="SET NULL")
    state = CharField()
    strategy = JSONField()
    snapshot = JSONField()
    comment = TextField(null=True)
    reason = TextField(null=True)
    cancel_requested_by = CharField(null=True)
    start_at = TimeField(null=True)
    override = TextField(null=True)
    approvals_needed = IntegerField(default=0)
    resumed_wave = IntegerField(default=0)
    warnings = JSONField(default=list)
    changelog = JSONField(null=True)
    issues_check = JSONField(null=True)
    retries = IntegerField(default=0)
    requested_by = CharField()
    created_at = TimeField()
    started_at = TimeField(null=True)
    ended_at = TimeField(null=True)

    class Meta:
        indexes = (
            (("state",), False),
            (("application", "environment", "id"), False),
            (("application", "id"), False),
        )


# The deploys of a target in the order in which they began: the newest one is found without looking at the others.
Deploy.add_index(
    Deploy.index(
        Deploy.application,
        Deploy.environment,
        fn.COALESCE(Deploy.started_at, Deploy.created_at),
        Deploy.id,
        name="deploy_newest",
    )
)


class HostRun(LeasedModel):
    """One deploy on one host. `goal` is "deploy", or "restore" once the host is to go back to `before`.

    `before` is what the host answered when it was first observed by this run; a restore goes back to it.
    `host_name` is filled when the host is deleted, so that its history keeps its name. `was_switched` marks a failed run
    whose host does run the new release: it failed under watch. `away` is since when (milliseconds) and how often the place
    that keeps the release was away when this run wanted it: {"since", "missed"}. `code` says for programs what `message`
    says for people of a failure, such as "plan-stale"; null where there is none.
    """

    deploy = ForeignKeyField(Deploy, backref="host_runs", on_delete="CASCADE")
    host = ForeignKeyField(Host, null=True, backref="runs", on_delete="SET NULL")
    host_name = CharField(null=True)
    state = CharField()
    goal = CharField(default="deploy")
    wave = IntegerField()
    before = JSONField(null=True)
    bytes_sent = BigIntegerField(default=0)
    message = TextField(null=True)
    code = CharField(null=True)
    started_at = TimeField(null=True)
    ended_at = TimeField(null=True)
    was_switched = BooleanField(default=False)
    away = JSONField(null=True)

    class Meta:
        indexes = (
            (("deploy", "host"), True),
            (("state",), False),
            (("deploy", "state", "wave"), False),
            (("deploy", "enqueued_at"), False),
        )


class HostWatch(BaseModel):
    """What the looks at a host under watch have found, once its run has succeeded.

    `looked_at` is when the newest look began that reached it, `tried_at` when the newest look of all did, `missed` how many in
    a row have not reached it since. `pids` are those of its processes as the first look found them.
    """

    host_run = ForeignKeyField(HostRun, backref="watch", unique=True, on_delete="CASCADE")
    looked_at = TimeField(null=True)
    tried_at = TimeField()
    missed = IntegerField(default=0)
    pids = JSONField(null=True)


class Step(BaseModel):
    """One step of one attempt of a host run, recorded before and after."""

    host_run = ForeignKeyField(HostRun, backref="steps", on_delete="CASCADE")
    attempt = IntegerField()
    position = IntegerField()
    name = CharField()
    state = CharField()
    message = TextField(null=True)
    started_at = TimeField()
    ended_at = TimeField(null=True)

    class Meta:
        indexes = ((("host_run", "attempt", "name"), True),)


class Fence(BaseModel):
    """The newest epoch given out for an application on a host; a host refuses any lower one."""

    application = ForeignKeyField(Application, on_delete="CASCADE")
    host = ForeignKeyField(Host, on_delete="CASCADE")
    epoch = IntegerField(default=0)

    class Meta:
        indexes = ((("application", "host"), True),)


class Placement(BaseModel):
    """What was last seen of an application on a host: the observed side of /status.

    `recorded` is what the last rollout left behind there, null when it took the application away; `drift` is how the host
    was last seen to differ from it, since `drifted_since`. `verified_at` is when every file was last read and found right
    or wrong.
    """

    application = ForeignKeyField(Application, backref="placements", on_delete="CASCADE")
    environment = ForeignKeyField(Environment, on_delete="CASCADE")
    host = ForeignKeyField(Host, backref="placements", on_delete="CASCADE")
    digest = CharField(null=True)
    release = ForeignKeyField(Release, null=True, on_delete="SET NULL")
    is_healthy = BooleanField(null=True)
    address = CharField(null=True)
    detail = JSONField(null=True)
    recorded = JSONField(null=True)
    drift = JSONField(default=list)
    drifted_since = TimeField(null=True)
    verified_at = TimeField(null=True)
    observed_at = TimeField()

    class Meta:
        indexes = ((("application", "host"), True),)
