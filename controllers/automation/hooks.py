"""Hooks from foreign systems: checked, stored and answered at once; worked on later, once, however often one comes."""

import dataclasses
import logging
import secrets

from peewee import IntegrityError

import secretbox
from controllers import foreign, paging
from controllers.catalog import integrations
from controllers.controller import Controller
from controllers.errors import BadRequest, Conflict, NotFound, Unauthenticated
from controllers.foreign.hooks import BuildFinished, Published, Push
from controllers.jobs import queue
from models import Hook, Integration
from models.db import clock, database, now
from utils.datekit import rfc3339

KINDS = {"push": Push, "build": BuildFinished, "published": Published}
MOST_NEWS = 200
RETENTION_MS = 14 * 86_400_000

log = logging.getLogger(__name__)


class HookController(Controller):
    """The hooks of integrations, for whoever opens, closes or looks at them."""

    def open(self, name):
        """Make the secret with which a system signs its hooks, in place of the one before; returns it, this once."""
        with self.change("hook.open", name):
            integration = self.named(Integration, name, "integration", to_change=True)
            driver = driver_of(integration)
            if driver is None:
                raise Conflict(f"Driver {integration.driver} sends no hooks.", code="no-hooks")
            secret = secrets.token_urlsafe(32)
            keep_secret(integration, secretbox.seal(secret))
        hook = integrations.hook_of(integration, driver)
        return {"url": hook["url"], "secret": secret, "setup": hook["setup"]}

    def close(self, name):
        """Take no more hooks for an integration."""
        with self.change("hook.close", name):
            keep_secret(self.named(Integration, name, "integration", to_change=True), None)

    def listing(self, name, limit=paging.LIMIT, after=None):
        """Return a page of the hooks an integration received, newest first. Raises NotFound."""
        integration = self.named(Integration, name, "integration")
        query = self.visible(Hook).where(Hook.integration == integration)
        return paging.page(query, Hook.id, describe, limit, after, newest_first=True)


def keep_secret(integration, sealed):
    """Write an integration's sealed hook secret, None for none; its row is held."""
    integration.hook_secret = sealed
    integration.updated_at = max(clock(), integration.updated_at + 1)
    integration.save()


def describe(row):
    """Return a hook in the API's shape."""
    return {
        "id": row.id,
        "delivery": row.delivery,
        "event": row.event,
        "news": row.news,
        "state": row.state,
        "outcome": row.outcome,
        "received_at": rfc3339(row.received_at),
        "ended_at": rfc3339(row.ended_at),
    }


def driver_of(integration):
    """Return an integration's driver class if it sends hooks, else None."""
    driver = foreign.drivers().get(integration.driver)
    return driver if driver is not None and driver.takes_hooks else None


# Receiving.


def receive(name, headers, body):
    """Take a hook for an integration; returns {"state"}: accepted, duplicate or ignored.

    `headers` has lower-case names, `body` is the bytes as they came. Raises NotFound where no hook is open, Unauthenticated
    for one that is not signed with the integration's secret, BadRequest for one that cannot be read.
    """
    integration = None if "\0" in name else Integration.get_or_none(Integration.name == name)
    driver_class = driver_of(integration) if integration and integration.hook_secret else None
    if driver_class is None:
        raise NotFound("No hook is open here: an administrator opens one with POST /api/v1/integrations/<name>/hook.")
    driver = driver_class(foreign.Access(integration.name, integration.url, integration.settings or {}))
    if driver.is_ping(headers):
        return {"state": "ignored"}
    if not driver.verify_hook(headers, body, secretbox.open_sealed(integration.hook_secret)):
        raise Unauthenticated("The hook is not signed with this integration's secret.", code="hook-not-verified")
    try:
        found = driver.read_hook(headers, body)
    except ValueError as error:
        raise BadRequest(f"The hook cannot be read: {error}", code="hook-malformed") from None
    if not found.news:
        return {"state": "ignored"}
    return keep(integration, found)


def keep(integration, found):
    """Write a hook down, unless it came before, and enqueue it."""
    news = [as_row(item) for item in found.news[:MOST_NEWS]]
    columns = {"delivery": found.delivery[:255], "event": found.event[:255], "news": news}
    try:
        with database.atomic():
            Hook.delete().where(Hook.received_at < now() - RETENTION_MS).execute()
            row = Hook.create(integration=integration, state="waiting", received_at=now(), **columns)
    except IntegrityError:
        return {"state": "duplicate"}
    queue.enqueue("windlass.hook", row.id)
    return {"state": "accepted"}


def as_row(item):
    """Return one reported event as JSON."""
    kind = next(name for name, made in KINDS.items() if isinstance(item, made))
    return {"type": kind, **dataclasses.asdict(item)}
