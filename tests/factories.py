"""Rows for tests, made explicitly: each function fills in what a test does not care about."""

import itertools

from controllers.desired import waves
from models import (
    Application,
    Automation,
    Command,
    CommandRun,
    Delivery,
    Deploy,
    Environment,
    Freeze,
    Hook,
    Host,
    HostRun,
    Integration,
    Lock,
    Maintenance,
    MaintenanceHost,
    Plan,
    PlanHost,
    Preparation,
    Release,
    Target,
    Zone,
)
from models.db import now

_numbers = itertools.count(1)


def zone(name="default"):
    """Return the zone of a name, made if it is not there."""
    return Zone.get_or_none(Zone.name == name) or Zone.create(name=name, created_at=now(), updated_at=now())


def environment(name="production", position=2):
    """Return the environment of a name, made if it is not there."""
    return Environment.get_or_none(Environment.name == name) or Environment.create(
        name=name, position=position, created_at=now(), updated_at=now()
    )


def application(name="shop", **columns):
    """Return an application, made if it is not there."""
    source = {"repository": "https://git.example.com/shop.git", "branch": "main"}
    return Application.get_or_none(Application.name == name) or Application.create(
        **{"name": name, "source": source, "created_at": now(), "updated_at": now(), **columns}
    )


def host(name=None, **columns):
    """Return a new host."""
    return Host.create(
        **{
            "name": name or f"host{next(_numbers)}",
            "zone": zone(),
            "address": "192.0.2.1",
            "user": "deploy",
            "root": "/srv/windlass",
            "settings": {
                "python": "python3",
                "nginx": None,
                "supervisor": {
                    "kind": "supervisord",
                    "programs": "/etc/supervisor/conf.d",
                    "command": ["supervisorctl"],
                },
            },
            "created_at": now(),
            "updated_at": now(),
            **columns,
        }
    )


def release(of=None, state="ready", **columns):
    """Return a new release of an application."""
    of = of or application()
    number = (Release.select().where(Release.application == of).count()) + 1
    return Release.create(
        **{
            "application": of,
            "number": number,
            "version": f"v{number}",
            "source": of.source,
            "state": state,
            "digest": f"{number:064x}",
            "lock_digest": f"{number:064x}",
            "processes": {"web": "serve $SOCKET"},
            "requested_by": "tester",
            "created_at": now(),
            **columns,
        }
    )


def deploy(hosts, strategy=None, state="queued", lead_host=False, **columns):
    """Return a new deploy with its host runs, in the waves of its strategy."""
    of = columns.pop("release", None) or release()
    plan = waves.complete(strategy)
    made = Deploy.create(
        **{
            "application": of.application,
            "environment": environment(),
            "release": of,
            "state": state,
            "strategy": plan,
            "snapshot": {"processes": {}},
            "requested_by": "tester",
            "created_at": now(),
            **columns,
        }
    )
    for wave, members in enumerate(waves.batches(hosts, plan, lead_host)):
        for member in members:
            HostRun.create(deploy=made, host=member, state="pending", wave=wave)
    return made


def preparation(of, **columns):
    """Return a new preparation of a host."""
    return Preparation.create(
        **{
            "host": of,
            "host_name": of.name,
            "login_user": "root",
            "is_check": True,
            "state": "pending",
            "requested_by": "admin",
            "created_at": now(),
            **columns,
        }
    )


def integration(name="hub", driver="github", **columns):
    """Return a new integration."""
    return Integration.create(**{"name": name, "driver": driver, "created_at": now(), "updated_at": now(), **columns})


def target(hosts, of=None, where=None, **columns):
    """Return a new target of an application in an environment on hosts."""
    return Target.create(
        **{
            "application": of or application(),
            "environment": where or environment(),
            "hosts": [each.name for each in hosts],
            "strategy": waves.complete(None),
            "health": {"path": "/", "timeout_s": 30, "expect_status": None},
            "created_at": now(),
            "updated_at": now(),
            **columns,
        }
    )


def plan(of, release, snapshot, hosts, **columns):
    """Return a new plan of a release for a target, which still looks at its hosts."""
    made = Plan.create(
        **{
            "application": of.application,
            "environment": of.environment,
            "release": release,
            "strategy": of.strategy,
            "snapshot": snapshot,
            "requested_by": "tester",
            "created_at": now(),
            **columns,
        }
    )
    for member in hosts:
        PlanHost.create(plan=made, host=member, host_name=member.name)
    return made


def command(hosts, **columns):
    """Return a new command, running on hosts."""
    made = Command.create(
        **{
            "key": f"key-{next(_numbers)}",
            "argv": ["uptime"],
            "time_limit_s": 60,
            "state": "running",
            "requested_by": "tester",
            "created_at": now(),
            **columns,
        }
    )
    for member in hosts:
        CommandRun.create(command=made, host=member, host_name=member.name, state="pending")
    return made


def delivery(of, **columns):
    """Return a new delivery because of a deploy."""
    return Delivery.create(
        **{
            "key": f"key-{next(_numbers)}",
            "deploy": of,
            "action": "message",
            "state": "waiting",
            "created_at": now(),
            **columns,
        }
    )


def hook(of, **columns):
    """Return a new hook that an integration received."""
    return Hook.create(
        **{
            "integration": of,
            "delivery": f"delivery-{next(_numbers)}",
            "event": "push",
            "news": [],
            "state": "waiting",
            "received_at": now(),
            **columns,
        }
    )


def automation(of, release, **columns):
    """Return a new automatic deploy of a release to a target."""
    return Automation.create(
        **{
            "target": of,
            "release": release,
            "rule": {"branch": "main"},
            "reason": "push to branch main",
            "state": "waiting",
            "created_at": now(),
            **columns,
        }
    )


def lock(of, **columns):
    """Return a new lock on a target."""
    return Lock.create(**{"target": of, "holder": "ann", "reason": "inventory", "created_at": now(), **columns})


def freeze(name="xmas", **columns):
    """Return a new freeze, in a time to come."""
    return Freeze.create(
        **{
            "name": name,
            "reason": "holidays",
            "starts_at": 4_100_000_000_000,
            "ends_at": 4_100_100_000_000,
            "created_by": "ann",
            "created_at": now(),
            "updated_at": now(),
            **columns,
        }
    )


def maintenance(of, hosts, **columns):
    """Return a new maintenance of a target, which its hosts are still to follow."""
    made = Maintenance.create(**{"target": of, "is_on": True, "number": 1, "holder": "ann", "since": now(), **columns})
    for member in hosts:
        MaintenanceHost.create(maintenance=made, host=member)
    return made
