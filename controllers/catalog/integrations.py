"""Integrations: configured foreign systems. Credentials go in, sealed, and never come out in an answer."""

import json

import secretbox
from config import settings as config
from controllers import etags, foreign, paging, rows
from controllers.catalog import integration_tests
from controllers.catalog.applications import PARTNERS
from controllers.controller import Controller
from controllers.errors import Invalid, Unavailable
from controllers.foreign import circuits
from models import Application, Integration, Zone
from models.db import clock
from utils.datekit import rfc3339

ON_HOSTS = (
    {"role": "supervisor", "name": "supervisord", "summary": "Programs of a supervisord.",
     "host_settings": {"supervisor": {"kind": "supervisord", "programs": "<folder>", "command": ["supervisorctl"]}}},
    {"role": "supervisor", "name": "systemd", "summary": "Units of the system's or the user's systemd.",
     "host_settings": {"supervisor": {"kind": "systemd", "units": "<folder>", "command": ["systemctl"]}}},
    {"role": "webserver", "name": "nginx", "summary": "Sites of an nginx.",
     "host_settings": {"nginx": {"sites": "<folder>", "command": ["nginx"], "listen": "80"}}},
    {"role": "webserver", "name": "none", "summary": "Nothing is served through a web server.", "host_settings": {"nginx": None}},
)  # fmt: skip
RESERVED = frozenset({"drivers"})  # /integrations/drivers is the list of what there is to choose from.


def describe(integration):
    """Return an integration in the API's shape: of its credentials only the names, kept beside the sealed values."""
    driver = foreign.drivers().get(integration.driver)
    return {
        "name": integration.name,
        "driver": integration.driver,
        "roles": [driver.role] if driver else [],
        "url": integration.url,
        "credentials": credential_names(integration),
        "settings": integration.settings,
        "circuit": circuits.describe(integration.circuit),
        "hook": hook_of(integration, driver),
        "created_at": rfc3339(integration.created_at),
        "updated_at": rfc3339(integration.updated_at),
    }


def hook_of(integration, driver):
    """Return where a system sends its hooks, where to enter that, and whether they are taken; None if it sends none."""
    if driver is None or not driver.takes_hooks:
        return None
    return {
        "url": f"{config.web.url.rstrip('/')}/api/v1/hooks/{integration.name}",
        "setup": driver.hook_setup,
        "is_open": integration.hook_secret is not None,
    }


def credential_names(integration):
    """Return the names of the credentials that are set; None when their key is gone and they must be entered again."""
    try:
        return sorted(credentials_of(integration))
    except Unavailable:
        return None


def credentials_of(integration):
    """Return {name: value}; internal, never for an answer. Raises Unavailable when they cannot be opened."""
    if not integration.credentials:
        return {}
    try:
        return json.loads(secretbox.open_sealed(integration.credentials))
    except secretbox.SecretBoxError as error:
        raise Unavailable(f"The credentials of integration {integration.name}: {error}", code="secret-unreadable") from None


def sealed(credentials):
    """Return credentials as they are stored, None where there are none."""
    return secretbox.seal(json.dumps(credentials)) if credentials else None


def without_values(fields):
    """Return what of an integration's fields may be written down: credentials by their names alone."""
    return {**fields, **({"credentials": sorted(fields["credentials"] or {})} if "credentials" in fields else {})}


def check(driver, url, settings, credentials):
    """Raise Invalid for everything the driver cannot use; its messages never repeat a value."""
    mistakes = foreign.mistakes_in(driver, url, settings, credentials)
    if mistakes:
        raise Invalid(mistakes)


def demand_secret_again(integration, changes):
    """Raise Invalid when credentials would follow an integration to another place, or be shown to another authority's server."""
    before = integration.settings or {}
    after = (changes["settings"] or {}) if "settings" in changes else before
    driver = foreign.drivers().get(integration.driver)
    is_elsewhere = "url" in changes and changes["url"] != integration.url
    is_elsewhere |= after.get("ca") not in (None, before.get("ca"))
    is_elsewhere |= any(after.get(name) != before.get(name) for name in (driver.places if driver else ()))
    if is_elsewhere and integration.credentials and "credentials" not in changes:
        raise Invalid([("credentials", "Enter the credentials again, or null: they are not sent to another place unasked.")])


def users_of(integration):
    """Return the applications and targets that name an integration, as [(row, short text)]."""
    name = integration.name
    return [
        (application, f"the {field} of application {application.name}")
        for application in Application.select().order_by(Application.name)
        for field in ("source", *PARTNERS)
        if (getattr(application, field) or {}).get("integration") == name
    ] + [
        (target, f"the target of {target.application.name} in {target.environment.name}")
        for target in rows.target_query()
        if name in [entry["integration"] for entry in target.configure]
    ]


class IntegrationController(Controller):
    """Integrations as people make, change, try and delete them."""

    def listing(self, limit=paging.LIMIT, after=None):
        """Return a page of integrations by name."""
        return paging.page(self.visible(Integration), Integration.name, describe, limit, after)

    def get(self, name):
        """Return one integration."""
        return describe(self.named(Integration, name, "integration"))

    def drivers(self):
        """Return {"items", "on_hosts"}: the drivers there are, with the schemas of their settings and credentials.

        What keeps processes up and serves the web on a host is chosen in the host's settings and needs no integration.
        """
        return {"items": foreign.describe_drivers(), "on_hosts": ON_HOSTS}

    def create(self, fields):
        """Make an integration from name, driver, url, credentials and settings; returns it. Raises Invalid and Conflict."""
        if fields["name"] in RESERVED:
            raise Invalid([("name", f"'{fields['name']}' is taken by the API itself; choose another name.")])
        url, settings, credentials = fields.get("url"), fields.get("settings") or {}, fields.get("credentials") or {}
        check(fields["driver"], url, settings, credentials)
        with (
            self.change("integration.create", fields["name"], **without_values(fields)),
            rows.once("an integration", fields["name"]),
        ):
            made_at = clock()
            return describe(
                Integration.create(
                    name=fields["name"],
                    driver=fields["driver"],
                    url=url,
                    settings=settings,
                    credentials=sealed(credentials),
                    created_at=made_at,
                    updated_at=made_at,
                )
            )

    def update(self, name, changes, if_match=None):
        """Change url, settings or credentials, each as a whole, None removes it; returns the integration.

        Raises Invalid, PreconditionFailed, and Unavailable when credentials that stay cannot be opened to be checked.
        """
        with self.change("integration.update", name, **without_values(changes)):
            integration = self.named(Integration, name, "integration", to_change=True)
            etags.require_match(if_match, describe(integration))
            demand_secret_again(integration, changes)
            integration.url = changes.get("url", integration.url)
            integration.settings = changes.get("settings", integration.settings) or {}
            credentials = (changes["credentials"] or {}) if "credentials" in changes else credentials_of(integration)
            check(integration.driver, integration.url, integration.settings, credentials)
            if "credentials" in changes:
                integration.credentials = sealed(credentials)
            integration.circuit = None  # What is asked now may be another system, or the same with other credentials.
            # Answers show no credentials, so this time is all that tells two versions with different ones apart.
            integration.updated_at = max(clock(), integration.updated_at + 1)
            integration.save()
            return describe(integration)

    def prove(self, name, repository=None):
        """Try an integration out, also one that is left alone for now; returns {"ok", "version", "checks"}.

        repository: one to look at with the credentials, where the integration is a source. Raises NotFound.
        """
        row = self.named(Integration, name, "integration")
        hints = {"repository": repository} if repository else {}
        return integration_tests.prove(row, self.visible(Zone), **hints)

    def delete(self, name):
        """Delete an integration; refused with Conflict while an application or a target names it."""
        with self.change("integration.delete", name):
            integration = self.named(Integration, name, "integration", to_change=True)
            self.refuse_while_used(f"Integration {name}", users_of(integration))
            integration.delete_instance()
