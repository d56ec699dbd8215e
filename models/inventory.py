"""What can be deployed and where to: integrations, applications, environments, zones, hosts, targets."""

from peewee import BooleanField, CharField, ForeignKeyField, IntegerField, TextField

from models.db import BaseModel
from models.fields import JSONField, TimeField


class Integration(BaseModel):
    """A configured foreign system; `credentials` is an encrypted JSON object, `hook_secret` an encrypted text.

    `circuit` is why it is left alone for now (controllers.foreign.circuits), null where it is not.
    """

    name = CharField(unique=True)
    driver = CharField()
    url = CharField(null=True)
    credentials = TextField(null=True)
    hook_secret = TextField(null=True)
    settings = JSONField(default=dict)
    circuit = JSONField(null=True)
    created_at = TimeField()
    updated_at = TimeField()


class Application(BaseModel):
    """Something deployed; `source` and `processes` have the shapes of the API.

    `build`, `artifacts` and `tracker` name integrations and what to do with them; null: builds are made here, releases are
    kept here alone, and no tracker is told.
    """

    name = CharField(unique=True)
    source = JSONField()
    team = CharField(null=True)
    processes = JSONField(default=dict)
    build = JSONField(null=True)
    artifacts = JSONField(null=True)
    tracker = JSONField(null=True)
    created_at = TimeField()
    updated_at = TimeField()


class Environment(BaseModel):
    """staging, production, …: `position` orders them for promotion.

    `approvals` is how many other people must agree to a deploy; `promote_from` is where a release must have succeeded before.
    """

    name = CharField(unique=True)
    position = IntegerField(default=0)
    approvals = IntegerField(default=0)
    promote_from = ForeignKeyField("self", null=True, on_delete="RESTRICT")
    created_at = TimeField()
    updated_at = TimeField()


class Zone(BaseModel):
    """A network segment; the public key is told by the worker that holds the private one."""

    name = CharField(unique=True)
    public_key = TextField(null=True)
    created_at = TimeField()
    updated_at = TimeField()


class Host(BaseModel):
    """A machine; `facts` and `problems` are what was last observed there.

    `look_due_at` is when it is to be looked at next without anybody asking, `look_enqueued_at` when a worker was last told so.
    """

    name = CharField(unique=True)
    zone = ForeignKeyField(Zone, backref="hosts", on_delete="RESTRICT")
    address = CharField()
    port = IntegerField(default=22)
    user = CharField()
    transport = CharField(default="ssh")
    root = CharField()
    tags = JSONField(default=list)
    settings = JSONField(default=dict)
    host_key = TextField(null=True)
    maintenance_reason = CharField(null=True)
    facts = JSONField(null=True)
    problems = JSONField(null=True)
    is_reachable = BooleanField(null=True)
    observed_at = TimeField(null=True)
    look_due_at = TimeField(null=True)
    look_enqueued_at = TimeField(null=True)
    created_at = TimeField()
    updated_at = TimeField()

    @property
    def why_left_out(self):
        """Why rollouts and commands leave this host out while it is out of service, as people read it."""
        return f"in maintenance: {self.maintenance_reason}"


class Target(BaseModel):
    """An application in an environment: where it goes and how.

    `rules` say what is deployed there without anybody asking, `configure` which playbooks and manifests run at which steps.
    `drain_s` is how long the old slot's connections may take to end; `keep_warm` leaves it running for a quick rollback.
    """

    application = ForeignKeyField(Application, backref="targets", on_delete="CASCADE")
    environment = ForeignKeyField(Environment, backref="targets", on_delete="RESTRICT")
    hosts = JSONField()
    strategy = JSONField()
    health = JSONField()
    processes = JSONField(default=dict)
    server_names = JSONField(default=list)
    rules = JSONField(default=list)
    configure = JSONField(default=list)
    drain_s = IntegerField(default=30)
    keep_warm = BooleanField(default=True)
    created_at = TimeField()
    updated_at = TimeField()

    class Meta:
        indexes = ((("application", "environment"), True),)


class Variable(BaseModel):
    """An environment variable of a target; the value of a secret one is encrypted."""

    target = ForeignKeyField(Target, backref="variables", on_delete="CASCADE")
    name = CharField()
    value = TextField()
    is_secret = BooleanField(default=False)
    updated_at = TimeField()

    class Meta:
        indexes = ((("target", "name"), True),)
