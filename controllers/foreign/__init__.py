"""Foreign systems: one small base class a role, one module a driver. A driver is registered by being there.

    controllers/foreign/<role>/<driver>.py      source: where code comes from; artifacts: where packages come from

A driver class has `name`, `role`, `Settings` and `Credentials` (pydantic models), and is made from an Access.
"""

import functools
import importlib
import json
import pkgutil
from dataclasses import dataclass, field

from pydantic import ValidationError

import secretbox
from controllers.errors import NotFound, WindlassError
from models import Integration

ROLES = ("source", "artifacts")


class ForeignError(WindlassError):
    """A foreign system did not do what it was asked; the message says what happened and what to do about it."""

    status, code, title = 502, "foreign-system-failed", "A foreign system did not do what it was asked"


@dataclass(frozen=True)
class Access:
    """What is configured of a foreign system; an empty one is nobody's: no URL, no credentials."""

    name: str | None = None
    url: str | None = None
    settings: dict = field(default_factory=dict)
    credentials: dict = field(default_factory=dict, repr=False)

    def secrets(self):
        """Return the values that must never be shown."""
        return [value for key, value in self.credentials.items() if key != "username"]


class Driver:
    """What every driver is: a class made with an Access."""

    name = None
    role = None
    Settings = None
    Credentials = None

    def __init__(self, access):
        self.access = access

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """Return [(field, message)] for what does not fit together although each part is right."""
        raise NotImplementedError


@functools.cache
def drivers():
    """Return {name: driver class} of every driver there is."""
    found = {}
    for role in ROLES:
        package = importlib.import_module(f"{__name__}.{role}")
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            for item in vars(importlib.import_module(module.name)).values():
                if isinstance(item, type) and issubclass(item, Driver) and item.name and item.__module__ == module.name:
                    found[item.name] = item
    return dict(sorted(found.items()))


def describe_drivers():
    """Return what there is to choose from: each driver's name, role, and JSON schemas of its settings and credentials."""
    return [
        {
            "name": driver.name,
            "role": driver.role,
            "summary": driver.__doc__.splitlines()[0],
            "settings": driver.Settings.model_json_schema(),
            "credentials": driver.Credentials.model_json_schema(),
        }
        for driver in drivers().values()
    ]


def mistakes_in(driver_name, url, settings, credentials):
    """Return [(field, message)] for what a driver cannot use; the messages never repeat a value."""
    driver = drivers().get(driver_name)
    if driver is None:
        return [("driver", f"There is no driver of this name; there are {', '.join(drivers())}.")]
    mistakes = []
    for name, model, values in (
        ("settings", driver.Settings, settings),
        ("credentials", driver.Credentials, credentials),
    ):
        try:
            model.model_validate(values or {})
        except ValidationError as error:
            mistakes += [
                (".".join([name, *map(str, item["loc"])]), item["msg"].removeprefix("Value error, "))
                for item in error.errors()
            ]
    return mistakes or driver.mistakes_together(url, settings or {}, credentials or {})


def access_to(integration_name):
    """Return the Access of a configured integration, credentials opened; an empty one for None. Raises NotFound, ForeignError."""
    if integration_name is None:
        return Access()
    row = Integration.get_or_none(Integration.name == integration_name)
    if row is None:
        raise NotFound(f"There is no integration '{integration_name}' any more: the application's source names it.")
    try:
        credentials = json.loads(secretbox.open_sealed(row.credentials)) if row.credentials else {}
    except secretbox.SecretBoxError as error:
        raise ForeignError(f"The integration '{integration_name}' cannot be used: {error}") from None
    return Access(row.name, row.url, row.settings or {}, credentials)


def driver_for(source):
    """Return the driver that serves an application's source, made with what is configured. Raises NotFound, ForeignError."""
    role_driver = "package-index" if source.get("package") else "git"
    name = source.get("integration")
    if name is not None:
        row = Integration.get_or_none(Integration.name == name)
        role_driver = row.driver if row else role_driver
    wanted = "artifacts" if source.get("package") else "source"
    driver = drivers().get(role_driver)
    if driver is None or driver.role != wanted:
        raise ForeignError(
            f"The integration '{name}' is of driver {role_driver}, which cannot give {wanted}; "
            "choose another in the application's source."
        )
    return driver(access_to(name))
