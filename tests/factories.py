"""Rows for tests, made explicitly: each function fills in what a test does not care about."""

import itertools

from controllers.desired import waves
from models import Application, Deploy, Environment, Host, HostRun, Preparation, Release, Zone
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
