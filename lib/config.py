"""Configuration: one declarative table of settings, read from one JSON file per role and from the environment.

    from config import settings
    settings.ssh.connect_timeout_s

`load()` fills `settings` once at the start of a process. A value comes from, last wins: the default in `SETTINGS`, the
JSON file, the variable WINDLASS_<NAME> (dots become underscores). An unknown key is an error that names the nearest one.
"""

import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path

from utils.stringkit import nearest

ROOT = Path(__file__).resolve().parent.parent
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


class ConfigError(Exception):
    """The configuration cannot be used; the message names the setting and says what to do."""


@dataclass(frozen=True)
class Setting:
    """One line of the table: dotted name, default (its type is the setting's type) and what it means."""

    name: str
    default: object
    help: str
    choices: tuple = ()
    secret: bool = False

    @property
    def variable(self):
        """The environment variable that overrides this setting."""
        return "WINDLASS_" + self.name.upper().replace(".", "_")


SETTINGS = (
    Setting(
        "data",
        "var",
        "Folder for everything Windlass keeps: database, keys, builds. A relative path starts at the checkout.",
    ),
    Setting(
        "admin.token",
        "",
        "Token of the first administrator; empty: one is generated. Kept in <data>/admin.token.",
        secret=True,
    ),
    Setting(
        "database.url",
        "",
        "postgresql://user:password@host/name or sqlite:///path; empty: SQLite in <data>.",
        secret=True,
    ),
    Setting("database.pool", 20, "Most database connections a process keeps."),
    Setting(
        "broker.url",
        "",
        "Celery's broker: redis://… or amqp://…; empty: folders in <data>, no server needed.",
        secret=True,
    ),
    Setting(
        "redis.url",
        "",
        "Redis for the shared cache and for waking up streams; empty: neither is shared between processes.",
        secret=True,
    ),
    Setting(
        "secret.key_file",
        "",
        "File with the key that encrypts stored secrets; empty: <data>/secret.key, made on first use.",
    ),
    Setting("web.host", "127.0.0.1", "Address the web server listens on."),
    Setting("web.port", 8080, "Port the web server listens on."),
    Setting("web.workers", 1, "Web server processes; each answers many requests at the same time."),
    Setting("web.url", "", "Where people reach the dashboard, for links; empty: http://<web.host>:<web.port>."),
    Setting("web.max_body_bytes", 1_048_576, "Largest request body accepted, in bytes."),
    Setting("web.max_hook_bytes", 5_242_880, "Largest hook accepted from a foreign system, in bytes."),
    Setting("web.session_hours", 12, "Hours after which a browser session ends."),
    Setting("web.secure_cookies", False, "Mark session cookies Secure; switch on wherever the dashboard is behind TLS."),
    Setting("log.level", "info", "Least severe message written.", choices=("debug", "info", "warning", "error")),
    Setting("log.format", "plain", "One line a message for people, or one JSON object a line.", choices=("plain", "json")),
    Setting(
        "ssh.key_file",
        "",
        "Private key for all zones this process serves; empty: one pair a zone in <data>/ssh/, made on first use.",
    ),
    Setting("ssh.connect_timeout_s", 10, "Seconds to reach a host, agree on keys and log in."),
    Setting("ssh.keepalive_s", 5, "Seconds between keep-alives on an SSH connection."),
    Setting(
        "ssh.silence_timeout_s",
        60,
        "Seconds without a sign of life from a host's agent after which the connection is given up.",
    ),
    Setting("worker.zones", ["*"], "Zones whose hosts this worker reaches; * for all of them."),
    Setting("worker.central", True, "Also reconcile deploys and build releases here, beside reaching hosts."),
    Setting("worker.concurrency", 16, "Tasks a worker process carries out at the same time."),
    Setting("worker.lease_s", 15, "Seconds a worker's claim on a host run lasts without a heartbeat."),
    Setting("worker.sweep_s", 2, "Seconds between two looks for work that is due and that nobody was told of."),
    Setting(
        "build.index_url",
        "",
        "Package index for builds without an integration of their own; empty: uv's own configuration.",
        secret=True,
    ),
    Setting("build.timeout_s", 1800, "Seconds a release may take to build."),
    Setting("build.foreign_timeout_s", 7200, "Seconds a build in another system, such as Jenkins, may take."),
    Setting("git.local_paths", [], "Folders from which a repository may be read by path or file:// URL."),
    Setting("artifacts.local_paths", [], "Folders below which integrations of driver directory may keep releases."),
    Setting(
        "artifacts.patience_s",
        600,
        "Seconds a deploy waits for the place that keeps its release, when that is away and a worker needs it.",
    ),
    Setting("ansible.playbooks", [], "Folders on the workers below which integrations of driver ansible may have playbooks."),
    Setting(
        "ansible.python",
        "",
        "Python that has ansible-core and ansible-runner, for playbooks; empty: the one that runs Windlass.",
    ),
    Setting("puppet.manifests", [], "Folders on the workers below which integrations of driver puppet may have manifests."),
    Setting("git.timeout_s", 300, "Seconds one git command may take."),
    Setting(
        "network.allow",
        list(PRIVATE_NETWORKS),
        "Networks (CIDR) integrations and repositories may reach beside public addresses.",
    ),
    Setting("foreign.connect_timeout_s", 10, "Seconds to connect to a foreign system."),
    Setting("foreign.read_timeout_s", 30, "Seconds a foreign system may be silent within an answer."),
    Setting("foreign.total_timeout_s", 60, "Seconds one request to a foreign system may take in all."),
    Setting("foreign.transfer_timeout_s", 900, "Seconds a file may take from or to a foreign system."),
    Setting("foreign.concurrency", 4, "Requests a process makes to one integration at the same time."),
    Setting("foreign.max_answer_bytes", 16_777_216, "Largest answer taken from a foreign system, files apart, in bytes."),
    Setting("command.time_limit_s", 3600, "Longest time limit a one-off command may be given, in seconds."),
    Setting("prepare.time_limit_s", 1800, "Seconds the preparation of a host may take."),
    Setting("deploy.retention", 5, "Successful releases kept on each host."),
    Setting("deploy.time_limit_s", 1800, "Seconds one host may take for its part of a deploy."),
    Setting("drift.interval_s", 300, "Seconds between two looks at a host for drift; 0: only when somebody asks for one."),
    Setting(
        "drift.verify_s",
        86_400,
        "Seconds after which a look for drift also reads every deployed file; 0: only when somebody asks for it.",
    ),
)
TABLE = {setting.name: setting for setting in SETTINGS}


class Struct:
    """Settings by attribute, one level of it for each dot in a name."""

    def __init__(self, **values):
        self.__dict__.update(values)

    def __repr__(self):
        return f"Struct({', '.join(sorted(vars(self)))})"  # Names only: values may be secrets.

    def place(self, name, value):
        """Set the value of a dotted name."""
        first, _, rest = name.partition(".")
        if rest:
            vars(self).setdefault(first, Struct()).place(rest, value)
        else:
            setattr(self, first, value)


settings = Struct()


def flatten(document, prefix=""):
    """Yield (dotted name, value) for each leaf of a nested JSON object."""
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flatten(value, name + ".")
        else:
            yield name, value


def unknown(name, where):
    """Return the error for a setting that does not exist, with the nearest one that does."""
    near = nearest(name, TABLE)
    hint = f"; did you mean '{near}'?" if near else "; docs/configuration.md lists them all."
    return ConfigError(f"{where}: there is no setting '{name}'{hint}")


def checked(setting, value, where):
    """Return a JSON value if it has the setting's type and is one of its choices; raise ConfigError otherwise."""
    kind = type(setting.default)
    kinds = {str: "a string", int: "a whole number", bool: "true or false", list: "a list of strings"}
    right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if kind is list:
        right = right and all(isinstance(item, str) for item in value)
    if not right:
        raise ConfigError(f"{where}: '{setting.name}' must be {kinds[kind]}.")
    if setting.choices and value not in setting.choices:
        raise ConfigError(f"{where}: '{setting.name}' must be one of {', '.join(setting.choices)}.")
    if kind is int and value < 0:
        raise ConfigError(f"{where}: '{setting.name}' must not be negative.")
    if setting.name == "network.allow":
        check_networks(value, where)
    return value


def check_networks(networks, where):
    """Raise ConfigError for the first item that is no CIDR."""
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigError(f"{where}: 'network.allow' must hold networks such as 10.0.0.0/8: {error}.") from None


def parsed(setting, text):
    """Return the value that an environment variable's text stands for; lists are JSON or comma-separated."""
    where = f"environment variable {setting.variable}"
    kind = type(setting.default)
    try:
        if kind is list:
            value = (
                json.loads(text) if text.lstrip().startswith("[") else [part.strip() for part in text.split(",") if part.strip()]
            )
        elif kind is bool:
            value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.strip().lower()]
        else:
            value = kind(text)
    except (ValueError, KeyError):
        value = None
    return checked(setting, value, where)


def read_file(path):
    """Return {dotted name: value} of a JSON configuration file; raise ConfigError naming file and place."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: must hold one JSON object.")
    values = {}
    for name, value in flatten(document):
        if name not in TABLE:
            raise unknown(name, path)
        values[name] = checked(TABLE[name], value, path)
    return values


def load(path=None, environ=None):
    """Fill `settings` from the file at `path` (default: $WINDLASS_CONFIG, else etc/config.json) and the environment.

    Returns `settings`. Raises ConfigError for anything that is unknown or of the wrong type; `settings` is unchanged then.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get("WINDLASS_CONFIG") or ROOT / "etc" / "config.json"
    values = {setting.name: setting.default for setting in SETTINGS}
    values.update(read_file(path))
    values.update(
        {setting.name: parsed(setting, environ[setting.variable]) for setting in SETTINGS if setting.variable in environ}
    )
    fresh = Struct()
    for name, value in values.items():
        fresh.place(name, value)
    derive(fresh)
    vars(settings).clear()
    vars(settings).update(vars(fresh))
    return settings


def derive(fresh):
    """Fill in what is left empty and follows from other settings."""
    fresh.data = str((ROOT / fresh.data).resolve())
    fresh.database.url = fresh.database.url or f"sqlite:///{fresh.data}/windlass.db"
    fresh.secret.key_file = fresh.secret.key_file or f"{fresh.data}/secret.key"
    fresh.web.url = fresh.web.url or f"http://{fresh.web.host}:{fresh.web.port}"


def data_path(*parts):
    """Return a path below the data folder, its parent folders made, private to this user."""
    path = Path(settings.data, *parts)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
