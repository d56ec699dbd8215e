"""Drivers of foreign systems (code hosts, build systems, trackers, …): a base class for each role, a module for each system.

    controllers/foreign/<role>/base.py          what every driver of the role can do
    controllers/foreign/<role>/<driver>.py      a driver, registered by being there

A driver class has `name`, `role`, `Settings` and `Credentials` (pydantic models), and is made from an Access.
"""

import functools
import importlib
import inspect
import ipaddress
import json
import pkgutil
import ssl
import time
from dataclasses import asdict, dataclass, field, replace
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import egress
import secretbox
from controllers.errors import NotFound, WindlassError
from controllers.foreign import answers, circuits
from controllers.foreign import credentials as kinds
from controllers.foreign.errors import ForeignError
from models import Integration

# They read what comes in, and report what is wrong with it by ValueError.
ABOUT_HOOKS = ("is_ping", "verify_hook", "read_hook")
ROLES = ("source", "build", "artifacts", "tracker", "configurator", "notify")
__all__ = ["ROLES", "Access", "Check", "Driver", "DriverSettings", "ForeignError", "Proof", "WindlassError"]


@dataclass(frozen=True)
class Access:
    """What is configured of a foreign system; an empty one is nobody's: no URL, no credentials.

    circuit: the state of its circuit (circuits.py) when this was read; keep_circuit(state) keeps another one; is_trial:
    somebody wants to know, so it is asked whatever that state is. until: when whoever asks waits no longer, as
    time.monotonic() has it.
    """

    name: str | None = None
    url: str | None = None
    settings: dict = field(default_factory=dict)
    credentials: dict = field(default_factory=dict, repr=False)
    driver: str | None = None
    circuit: dict | None = None
    keep_circuit: object = field(default=None, repr=False, compare=False)
    is_trial: bool = False
    until: float | None = None

    @functools.cached_property
    def breaker(self):
        """The circuit of the integration, which all that is asked of it with this Access goes through."""
        return circuits.Circuit(self)

    def sharing(self, **changes):
        """Return this Access with some fields changed, for what is the same system; the circuit is the same one."""
        made = replace(self, **changes)
        made.__dict__["breaker"] = self.breaker
        return made

    def secrets(self):
        """Return the values that must never be shown."""
        return [value for key, value in self.credentials.items() if key not in kinds.NOT_SECRET]

    def left_s(self, usual_s):
        """Return the seconds that something may take which usually may take `usual_s`; 0 when nobody waits any longer."""
        return usual_s if self.until is None else max(0, min(usual_s, self.until - time.monotonic()))


@dataclass(frozen=True)
class Check:
    """One thing that was tried of an integration: whether it works, and what to do where it does not."""

    name: str
    ok: bool
    message: str


@answers.record
class Proof:
    """What trying an integration showed: the version that answered, where it has one, and each Check."""

    version: str | None
    checks: list

    def describe(self):
        """Return it in the API's shape."""
        return {
            "ok": all(check.ok for check in self.checks),
            "version": self.version,
            "checks": [asdict(check) for check in self.checks],
        }


class DriverSettings(BaseModel):
    """Settings of a system reached by HTTPS."""

    model_config = ConfigDict(extra="forbid", strict=True)
    ca: str | None = Field(
        default=None, description="Certificate (PEM) of the authority that the system's own certificate is from."
    )


class Driver:
    """What every driver is: a class made with an Access. Its docstring's first line says what it is for.

    needs_url, needs_credentials: whether an integration without them is refused; default_url: for a system that is in
    one place only. places: settings that, like the URL, say where credentials are sent. takes_hooks and hook_setup: whether
    it sends hooks, and how to have it send them. runs_on_workers: it works on the workers' machines, and only they can try
    it out.
    """

    name = None
    role = None
    Settings = DriverSettings
    Credentials = kinds.one_of()
    needs_url = True
    needs_credentials = False
    default_url = None
    places = ()
    takes_hooks = False
    hook_setup = None
    runs_on_workers = False

    def __init__(self, access):
        self.access = access

    def __init_subclass__(cls, **options):
        """Have every driver's methods raise a ForeignError for answers that they cannot read (answers.py)."""
        super().__init_subclass__(**options)
        if cls.runs_on_workers:  # It speaks to programs of this machine and to no foreign system.
            return
        for name, method in list(vars(cls).items()):
            if inspect.isfunction(method) and not name.startswith("_") and name not in ABOUT_HOOKS:
                setattr(cls, name, answers.is_read_by(method))

    @classmethod
    def mistakes_together(cls, url, settings, credentials):
        """Return [(field, message)] for what does not fit together although each part is right."""
        mistakes = []
        if cls.needs_url and not cls.default_url and not (url or "").startswith(("https://", "http://")):
            mistakes.append(("url", f"Driver {cls.name} needs the system's URL, such as https://{cls.name}.example.net."))
        if cls.needs_credentials and not kinds.given(credentials):
            mistakes.append(("credentials", f"Give {', or '.join(map(str, cls.Credentials.kinds))}."))
        return mistakes + kinds.mistakes_in(credentials, cls.Credentials.kinds)

    def prove(self, **hints):
        """Try out whether the URL and the credentials work, changing nothing; returns a Proof.

        hints: what people gave to try with, such as `repository`. Raises ForeignError for an answer that proves nothing.
        """
        raise NotImplementedError

    # Hooks, where takes_hooks. Headers have lower-case names, the body is bytes as they came.

    def is_ping(self, headers):
        """Say whether a hook only tries out that we are here; some systems do not sign these."""
        return False

    def verify_hook(self, headers, body, secret):
        """Say whether a hook comes from who knows the secret; in constant time, before anything is parsed."""
        raise NotImplementedError

    def read_hook(self, headers, body):
        """Return a hook's Hook (foreign.hooks). Raises ValueError for a body that cannot be read."""
        raise NotImplementedError


def attempt(name, do, message):
    """Return the Check of trying something: do() may raise ForeignError, message(result) is its text when it does not."""
    try:
        return Check(name, True, message(do()))
    except ForeignError as error:
        return Check(name, False, error.detail)


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
            "default_url": driver.default_url,
            "settings": driver.Settings.model_json_schema(),
            "credentials": driver.Credentials.model_json_schema(),
            "credential_kinds": [{"name": kind.name, "fields": kind.fields} for kind in driver.Credentials.kinds],
            "needs_credentials": driver.needs_credentials,
            "takes_hooks": driver.takes_hooks,
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
                (".".join([name, *map(str, item["loc"])]), item["msg"].removeprefix("Value error, ")) for item in error.errors()
            ]
    if mistakes:
        return mistakes
    return [
        *forbidden_places(url),
        *bad_authorities(settings or {}),
        *driver.mistakes_together(url, settings or {}, credentials or {}),
    ]


def forbidden_places(url):
    """Return the mistake of a URL with an address where Windlass may not go; names are judged when they are used."""
    try:
        egress.check_address(str(ipaddress.ip_address(urlsplit(url or "").hostname or "")))
    except egress.Refused as error:
        return [("url", str(error))]
    except ValueError:
        pass
    return []


def bad_authorities(settings):
    """Return the mistake of a setting `ca` that is no certificate."""
    if not settings.get("ca"):
        return []
    try:
        ssl.create_default_context(cadata=settings["ca"])
    except (ssl.SSLError, ValueError):
        return [("settings.ca", "This is no certificate: give one as PEM, beginning with -----BEGIN CERTIFICATE-----.")]
    return []


# What is configured.


def access_of(row):
    """Return the Access of an integration's row, credentials opened. Raises ForeignError."""
    try:
        opened = json.loads(secretbox.open_sealed(row.credentials)) if row.credentials else {}
    except secretbox.SecretBoxError as error:
        raise ForeignError(f"The integration '{row.name}' cannot be used: {error}") from None
    driver = drivers().get(row.driver)

    def keep_circuit(state):
        """Write the circuit's state down; credentials that were changed meanwhile are not blamed for those before them."""
        Integration.update(circuit=state).where(Integration.id == row.id, Integration.updated_at == row.updated_at).execute()

    return Access(
        row.name,
        row.url or (driver.default_url if driver else None),
        row.settings or {},
        opened,
        row.driver,
        row.circuit,
        keep_circuit,
    )


def row_of(integration_name):
    """Return an integration's row. Raises NotFound."""
    row = Integration.get_or_none(Integration.name == integration_name)
    if row is None:
        raise NotFound(f"There is no integration '{integration_name}' any more, and something still names it.")
    return row


def driver_named(integration_name, role, patience_s=None):
    """Return the driver of an integration, which must have the role. Raises NotFound, ForeignError.

    patience_s: seconds after which whoever asks waits no longer for what the driver does, all of it together.
    """
    row = row_of(integration_name)
    driver = drivers().get(row.driver)
    if driver is None or driver.role != role:
        raise ForeignError(
            f"The integration '{integration_name}' is of driver {row.driver}, which cannot give {role}; choose another."
        )
    return driver(hurried(access_of(row), patience_s))


def hurried(access, patience_s):
    """Return an Access that ends in `patience_s` seconds; None: when the settings have it."""
    return access if patience_s is None else replace(access, until=time.monotonic() + patience_s)


def driver_for(source, patience_s=None):
    """Return the driver that serves an application's source, made with what is configured. Raises NotFound, ForeignError.

    patience_s: as driver_named has it.
    """
    role, own = ("artifacts", "package-index") if source.get("package") else ("source", "git")
    name = source.get("integration")
    return drivers()[own](hurried(Access(), patience_s)) if name is None else driver_named(name, role, patience_s)
