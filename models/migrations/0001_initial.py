"""The first schema."""
from peewee import *
from models.fields import JSONField
from models.fields import TimeField

def up(migrator, db):
    class Application(Model):
        name = CharField(unique=True)
        source = JSONField()
        team = CharField(null=True)
        processes = JSONField(default=dict)
        build = JSONField(null=True)
        artifacts = JSONField(null=True)
        tracker = JSONField(null=True)
        created_at = TimeField()
        updated_at = TimeField()
        class Meta:
            database = db
            table_name = 'application'
    db.create_tables([Application])

    class Environment(Model):
        name = CharField(unique=True)
        position = IntegerField(default=0)
        approvals = IntegerField(default=0)
        promote_from = ForeignKeyField('self', null=True, on_delete='RESTRICT')
        created_at = TimeField()
        updated_at = TimeField()
        class Meta:
            database = db
            table_name = 'environment'
    db.create_tables([Environment])

    class Release(Model):
        application = ForeignKeyField(Application, on_delete='CASCADE')
        number = IntegerField()
        version = CharField()
        ref = CharField(null=True)
        commit = CharField(null=True)
        package_version = CharField(null=True)
        source = JSONField()
        state = CharField()
        digest = CharField(null=True)
        lock_digest = CharField(null=True)
        lock_kind = CharField(null=True)
        lock = TextField(null=True)
        python_version = CharField(null=True)
        processes = JSONField(default=dict)
        settings = JSONField(default=dict)
        size_bytes = BigIntegerField(null=True)
        error = TextField(null=True)
        partners = JSONField(default=dict)
        foreign_build = JSONField(null=True)
        bundle = JSONField(null=True)
        requested_by = CharField()
        cancel_requested_by = CharField(null=True)
        created_at = TimeField()
        ended_at = TimeField(null=True)
        due_at = TimeField(null=True)
        attempts = IntegerField(default=0)
        missed = IntegerField(default=0)
        lease_owner = CharField(null=True)
        lease_expires_at = TimeField(null=True)
        epoch = IntegerField(default=0)
        class Meta:
            database = db
            table_name = 'release'
            indexes = ((('application', 'number'), True), (('application', 'version'), True), (('state',), False))
    db.create_tables([Release])

    class Plan(Model):
        application = ForeignKeyField(Application, on_delete='CASCADE')
        environment = ForeignKeyField(Environment, on_delete='CASCADE')
        release = ForeignKeyField(Release, on_delete='CASCADE')
        strategy = JSONField()
        snapshot = JSONField()
        skipped = JSONField(default=list)
        is_kept = BooleanField(default=False)
        requested_by = CharField()
        created_at = TimeField()
        class Meta:
            database = db
            table_name = 'plan'
    db.create_tables([Plan])

    class Deploy(Model):
        application = ForeignKeyField(Application, on_delete='CASCADE')
        environment = ForeignKeyField(Environment, on_delete='RESTRICT')
        release = ForeignKeyField(Release, on_delete='CASCADE')
        previous_release = ForeignKeyField(Release, null=True, on_delete='SET NULL')
        rollback_of = ForeignKeyField('self', null=True, on_delete='SET NULL')
        plan = ForeignKeyField(Plan, null=True, on_delete='SET NULL')
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
            database = db
            table_name = 'deploy'
            indexes = ((('state',), False), (('application', 'environment', 'id'), False))
    db.create_tables([Deploy])

    class Approval(Model):
        deploy = ForeignKeyField(Deploy, on_delete='CASCADE')
        approved_by = CharField()
        comment = TextField(null=True)
        digest = CharField()
        created_at = TimeField()
        class Meta:
            database = db
            table_name = 'approval'
            indexes = ((('deploy', 'approved_by'), True),)
    db.create_tables([Approval])

    class AuditEntry(Model):
        number = IntegerField(unique=True)
        at = TimeField()
        actor = CharField()
        action = CharField()
        subject = TextField()
        data = JSONField()
        address = CharField(null=True)
        request_id = CharField(null=True)
        seal = CharField()
        class Meta:
            database = db
            table_name = 'audit_entry'
            indexes = ((('actor', 'number'), False), (('action', 'number'), False))
    db.create_tables([AuditEntry])

    class AuditHead(Model):
        number = IntegerField(default=0)
        seal = CharField(default='')
        class Meta:
            database = db
            table_name = 'audit_head'
    db.create_tables([AuditHead])

    class Target(Model):
        application = ForeignKeyField(Application, on_delete='CASCADE')
        environment = ForeignKeyField(Environment, on_delete='RESTRICT')
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
            database = db
            table_name = 'target'
            indexes = ((('application', 'environment'), True),)
    db.create_tables([Target])

    class Automation(Model):
        target = ForeignKeyField(Target, on_delete='CASCADE')
        release = ForeignKeyField(Release, on_delete='CASCADE')
        deploy = ForeignKeyField(Deploy, null=True, on_delete='SET NULL')
        rule = JSONField()
        reason = CharField()
        state = CharField()
        outcome = TextField(null=True)
        due_at = TimeField(null=True)
        created_at = TimeField()
        ended_at = TimeField(null=True)
        attempts = IntegerField(default=0)
        lease_owner = CharField(null=True)
        lease_expires_at = TimeField(null=True)
        epoch = IntegerField(default=0)
        class Meta:
            database = db
            table_name = 'automation'
            indexes = ((('target', 'release'), True), (('state', 'due_at'), False))
    db.create_tables([Automation])

    class BuiltEnvironment(Model):
        name = CharField(unique=True)
        lock_digest = CharField(index=True)
        platform = CharField()
        digest = CharField()
        size_bytes = BigIntegerField()
        created_at = TimeField()
        class Meta:
            database = db
            table_name = 'built_environment'
    db.create_tables([BuiltEnvironment])

    class Maintenance(Model):
        target = ForeignKeyField(Target, unique=True, on_delete='CASCADE')
        is_on = BooleanField()
        number = IntegerField()
        holder = CharField()
        reason = TextField(null=True)
        message = TextField(null=True)
        retry_after_s = IntegerField(null=True)
        since = TimeField()
        class Meta:
            database = db
            table_name = 'maintenance'
    db.create_tables([Maintenance])

    class Zone(Model):
        name = CharField(unique=True)
        public_key = TextField(null=True)
        created_at = TimeField()
        updated_at = TimeField()
        class Meta:
            database = db
            table_name = 'zone'
    db.create_tables([Zone])

    class Host(Model):
        name = CharField(unique=True)
        zone = ForeignKeyField(Zone, on_delete='RESTRICT')
        address = CharField()
        port = IntegerField(default=22)
        user = CharField()
        transport = CharField(default='ssh')
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
        look_rung_at = TimeField(null=True)
        created_at = TimeField()
        updated_at = TimeField()
        class Meta:
            database = db
            table_name = 'host'
    db.create_tables([Host])

    class Closure(Model):
        maintenance = ForeignKeyField(Maintenance, on_delete='CASCADE')
        host = ForeignKeyField(Host, on_delete='CASCADE')
        number = IntegerField(default=0)
        attempt = IntegerField(default=0)
        has_failed = BooleanField(default=False)
        message = TextField(null=True)
        changed_at = TimeField(null=True)
        due_at = TimeField(null=True)
        rung_at = TimeField(null=True)
        lease_owner = CharField(null=True)
        lease_expires_at = TimeField(null=True)
        epoch = IntegerField(default=0)
        class Meta:
            database = db
            table_name = 'closure'
            indexes = ((('maintenance', 'host'), True),)
    db.create_tables([Closure])

    class Command(Model):
        key = CharField(unique=True)
        argv = JSONField()
        sealed_argv = TextField(null=True)
        application = CharField(null=True)
        environment = CharField(null=True)
        time_limit_s = IntegerField()
        state = CharField()
        cancel_requested_by = CharField(null=True)
        requested_by = CharField()
        created_at = TimeField()
        ended_at = TimeField(null=True)
        class Meta:
            database = db
            table_name = 'command'
            indexes = ((('state',), False), (('application', 'environment', 'id'), False))
    db.create_tables([Command])

    class CommandRun(Model):
        command = ForeignKeyField(Command, on_delete='CASCADE')
        host = ForeignKeyField(Host, null=True, on_delete='SET NULL')
        host_name = CharField()
        state = CharField()
        exit_code = IntegerField(null=True)
        message = TextField(null=True)
        told_bytes = BigIntegerField(default=0)
        attempt = IntegerField(default=0)
        asked_at = TimeField(null=True)
        ended_at = TimeField(null=True)
        due_at = TimeField(null=True)
        rung_at = TimeField(null=True)
        lease_owner = CharField(null=True)
        lease_expires_at = TimeField(null=True)
        epoch = IntegerField(default=0)
        class Meta:
            database = db
            table_name = 'command_run'
            indexes = ((('command', 'host_name'), True), (('state',), False))
    db.create_tables([CommandRun])

    class Delivery(Model):
        key = CharField(unique=True)
        deploy = ForeignKeyField(Deploy, null=True, on_delete='CASCADE')
        release = ForeignKeyField(Release, null=True, on_delete='CASCADE')
        integration = CharField(null=True)
        action = CharField()
        subject = CharField(null=True)
        payload = JSONField(default=dict)
        state = CharField()
        attempts = IntegerField(default=0)
        error = TextField(null=True)
        answer = JSONField(null=True)
        due_at = TimeField(null=True)
        created_at = TimeField()
        ended_at = TimeField(null=True)
        lease_owner = CharField(null=True)
        lease_expires_at = TimeField(null=True)
        epoch = IntegerField(default=0)
        class Meta:
            database = db
            table_name = 'delivery'
            indexes = ((('state', 'due_at'), False), (('deploy',), False), (('integration', 'id'), False))
    db.create_tables([Delivery])

    class Integration(Model):
        name = CharField(unique=True)
        driver = CharField()
        url = CharField(null=True)
        credentials = TextField(null=True)
        hook_secret = TextField(null=True)
        settings = JSONField(default=dict)
        circuit = JSONField(null=True)
        created_at = TimeField()
        updated_at = TimeField()
        class Meta:
            database = db
            table_name = 'integration'
    db.create_tables([Integration])

    class Errand(Model):
        zone = CharField()
        host = ForeignKeyField(Host, null=True, on_delete='CASCADE')
        integration = ForeignKeyField(Integration, null=True, on_delete='CASCADE')
        request = JSONField(null=True)
        worker = CharField(null=True)
        answer = JSONField(null=True)
        created_at = TimeField()
        class Meta:
            database = db
            table_name = 'errand'
    db.create_tables([Errand])

    class Event(Model):
        topic = CharField()
        number = IntegerField()
        at = TimeField()
        kind = CharField()
        host = CharField(null=True)
        step = CharField(null=True)
        text = TextField(null=True)
        data = JSONField(null=True)
        class Meta:
            database = db
            table_name = 'event'
            indexes = ((('topic', 'number'), True),)
    db.create_tables([Event])

    class Fence(Model):
        application = ForeignKeyField(Application, on_delete='CASCADE')
        host = ForeignKeyField(Host, on_delete='CASCADE')
        epoch = IntegerField(default=0)
        class Meta:
            database = db
            table_name = 'fence'
            indexes = ((('application', 'host'), True),)
    db.create_tables([Fence])

    class Freeze(Model):
        name = CharField(unique=True)
        reason = TextField()
        starts_at = TimeField(null=True)
        ends_at = TimeField(null=True)
        weekly = JSONField(null=True)
        applications = JSONField(null=True)
        environments = JSONField(null=True)
        created_by = CharField()
        created_at = TimeField()
        updated_at = TimeField()
        class Meta:
            database = db
            table_name = 'freeze'
    db.create_tables([Freeze])

    class Hook(Model):
        integration = ForeignKeyField(Integration, on_delete='CASCADE')
        delivery = CharField()
        event = CharField()
        news = JSONField()
        state = CharField()
        outcome = TextField(null=True)
        received_at = TimeField()
        ended_at = TimeField(null=True)
        attempts = IntegerField(default=0)
        lease_owner = CharField(null=True)
        lease_expires_at = TimeField(null=True)
        epoch = IntegerField(default=0)
        class Meta:
            database = db
            table_name = 'hook'
            indexes = ((('integration', 'delivery'), True), (('state',), False))
    db.create_tables([Hook])

    class HostRun(Model):
        deploy = ForeignKeyField(Deploy, on_delete='CASCADE')
        host = ForeignKeyField(Host, null=True, on_delete='SET NULL')
        host_name = CharField(null=True)
        state = CharField()
        goal = CharField(default='deploy')
        wave = IntegerField()
        attempt = IntegerField(default=0)
        before = JSONField(null=True)
        bytes_sent = BigIntegerField(default=0)
        message = TextField(null=True)
        code = CharField(null=True)
        started_at = TimeField(null=True)
        ended_at = TimeField(null=True)
        due_at = TimeField(null=True)
        rung_at = TimeField(null=True)
        lease_owner = CharField(null=True)
        lease_expires_at = TimeField(null=True)
        epoch = IntegerField(default=0)
        was_switched = BooleanField(default=False)
        away = JSONField(null=True)
        looked_at = TimeField(null=True)
        tried_at = TimeField(null=True)
        watched = JSONField(null=True)
        class Meta:
            database = db
            table_name = 'host_run'
            indexes = ((('deploy', 'host'), True), (('state',), False), (('deploy', 'state', 'wave'), False), (('deploy', 'rung_at'), False))
    db.create_tables([HostRun])

    class User(Model):
        name = CharField(unique=True)
        password_hash = CharField(null=True)
        is_administrator = BooleanField(default=False)
        created_at = TimeField()
        class Meta:
            database = db
            table_name = 'user'
    db.create_tables([User])

    class IdempotencyKey(Model):
        user = ForeignKeyField(User, on_delete='CASCADE')
        key = CharField()
        request_hash = CharField()
        status = IntegerField(null=True)
        response = TextField(null=True)
        made = JSONField(null=True)
        created_at = TimeField(index=True)
        class Meta:
            database = db
            table_name = 'idempotency_key'
            indexes = ((('user', 'key'), True),)
    db.create_tables([IdempotencyKey])

    class Lock(Model):
        target = ForeignKeyField(Target, unique=True, on_delete='CASCADE')
        holder = CharField()
        reason = TextField()
        created_at = TimeField()
        expires_at = TimeField(null=True)
        class Meta:
            database = db
            table_name = 'lock'
    db.create_tables([Lock])

    class Placement(Model):
        application = ForeignKeyField(Application, on_delete='CASCADE')
        environment = ForeignKeyField(Environment, on_delete='CASCADE')
        host = ForeignKeyField(Host, on_delete='CASCADE')
        digest = CharField(null=True)
        release = ForeignKeyField(Release, null=True, on_delete='SET NULL')
        is_healthy = BooleanField(null=True)
        address = CharField(null=True)
        detail = JSONField(null=True)
        recorded = JSONField(null=True)
        drift = JSONField(default=list)
        drifted_since = TimeField(null=True)
        verified_at = TimeField(null=True)
        observed_at = TimeField()
        class Meta:
            database = db
            table_name = 'placement'
            indexes = ((('application', 'host'), True),)
    db.create_tables([Placement])

    class PlanHost(Model):
        plan = ForeignKeyField(Plan, on_delete='CASCADE')
        host = ForeignKeyField(Host, null=True, on_delete='SET NULL')
        host_name = CharField()
        state = CharField(default='observing')
        changes = JSONField(null=True)
        digest = CharField(null=True)
        texts = JSONField(null=True)
        error = JSONField(null=True)
        rung_at = TimeField(null=True)
        class Meta:
            database = db
            table_name = 'plan_host'
            indexes = ((('plan', 'host'), True), (('state',), False))
    db.create_tables([PlanHost])

    class Preparation(Model):
        host = ForeignKeyField(Host, null=True, on_delete='SET NULL')
        host_name = CharField()
        login_user = CharField()
        is_check = BooleanField()
        state = CharField()
        changed = JSONField(null=True)
        message = TextField(null=True)
        requested_by = CharField()
        cancel_requested_by = CharField(null=True)
        created_at = TimeField()
        started_at = TimeField(null=True)
        ended_at = TimeField(null=True)
        attempt = IntegerField(default=0)
        due_at = TimeField(null=True)
        rung_at = TimeField(null=True)
        lease_owner = CharField(null=True)
        lease_expires_at = TimeField(null=True)
        epoch = IntegerField(default=0)
        class Meta:
            database = db
            table_name = 'preparation'
            indexes = ((('host_name', 'id'), False), (('state',), False))
    db.create_tables([Preparation])

    class Session(Model):
        user = ForeignKeyField(User, on_delete='CASCADE')
        secret_hash = CharField(unique=True)
        csrf_token = CharField()
        created_at = TimeField()
        expires_at = TimeField(index=True)
        class Meta:
            database = db
            table_name = 'session'
    db.create_tables([Session])

    class Step(Model):
        host_run = ForeignKeyField(HostRun, on_delete='CASCADE')
        attempt = IntegerField()
        position = IntegerField()
        name = CharField()
        state = CharField()
        message = TextField(null=True)
        started_at = TimeField()
        ended_at = TimeField(null=True)
        class Meta:
            database = db
            table_name = 'step'
            indexes = ((('host_run', 'attempt', 'name'), True),)
    db.create_tables([Step])

    class Token(Model):
        user = ForeignKeyField(User, on_delete='CASCADE')
        name = CharField()
        secret_hash = CharField(unique=True)
        created_at = TimeField()
        expires_at = TimeField(null=True)
        last_used_at = TimeField(null=True)
        class Meta:
            database = db
            table_name = 'token'
    db.create_tables([Token])

    class Topic(Model):
        name = CharField(unique=True)
        newest = IntegerField(default=0)
        class Meta:
            database = db
            table_name = 'topic'
    db.create_tables([Topic])

    class Tree(Model):
        digest = CharField(unique=True)
        entries = BlobField()
        class Meta:
            database = db
            table_name = 'tree'
    db.create_tables([Tree])

    class Variable(Model):
        target = ForeignKeyField(Target, on_delete='CASCADE')
        name = CharField()
        value = TextField()
        is_secret = BooleanField(default=False)
        updated_at = TimeField()
        class Meta:
            database = db
            table_name = 'variable'
            indexes = ((('target', 'name'), True),)
    db.create_tables([Variable])

    class Worker(Model):
        name = CharField(unique=True)
        zones = JSONField()
        version = CharField()
        seen_at = TimeField()
        class Meta:
            database = db
            table_name = 'worker'
    db.create_tables([Worker])


def down(migrator, db):
    migrator.migrate(migrator.drop_table('worker'))
    migrator.migrate(migrator.drop_table('variable'))
    migrator.migrate(migrator.drop_table('tree'))
    migrator.migrate(migrator.drop_table('topic'))
    migrator.migrate(migrator.drop_table('token'))
    migrator.migrate(migrator.drop_table('step'))
    migrator.migrate(migrator.drop_table('session'))
    migrator.migrate(migrator.drop_table('preparation'))
    migrator.migrate(migrator.drop_table('plan_host'))
    migrator.migrate(migrator.drop_table('placement'))
    migrator.migrate(migrator.drop_table('lock'))
    migrator.migrate(migrator.drop_table('idempotency_key'))
    migrator.migrate(migrator.drop_table('user'))
    migrator.migrate(migrator.drop_table('host_run'))
    migrator.migrate(migrator.drop_table('hook'))
    migrator.migrate(migrator.drop_table('freeze'))
    migrator.migrate(migrator.drop_table('fence'))
    migrator.migrate(migrator.drop_table('event'))
    migrator.migrate(migrator.drop_table('errand'))
    migrator.migrate(migrator.drop_table('integration'))
    migrator.migrate(migrator.drop_table('delivery'))
    migrator.migrate(migrator.drop_table('command_run'))
    migrator.migrate(migrator.drop_table('command'))
    migrator.migrate(migrator.drop_table('closure'))
    migrator.migrate(migrator.drop_table('host'))
    migrator.migrate(migrator.drop_table('zone'))
    migrator.migrate(migrator.drop_table('maintenance'))
    migrator.migrate(migrator.drop_table('built_environment'))
    migrator.migrate(migrator.drop_table('automation'))
    migrator.migrate(migrator.drop_table('target'))
    migrator.migrate(migrator.drop_table('audit_head'))
    migrator.migrate(migrator.drop_table('audit_entry'))
    migrator.migrate(migrator.drop_table('approval'))
    migrator.migrate(migrator.drop_table('deploy'))
    migrator.migrate(migrator.drop_table('plan'))
    migrator.migrate(migrator.drop_table('release'))
    migrator.migrate(migrator.drop_table('environment'))
    migrator.migrate(migrator.drop_table('application'))
