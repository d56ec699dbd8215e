"""What the stand-in knows, as plain dicts that a test changes, and what it was asked."""

from dataclasses import dataclass, field

from tests import shapes


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    query: dict
    body: object
    headers: dict


@dataclass
class World:
    """What the stand-in answers with."""

    me: dict = field(
        default_factory=lambda: {
            "name": "admin",
            "is_administrator": True,
            "permissions": ["read", "deploy", "configure"],
        }
    )
    environments: list = field(default_factory=lambda: [shapes.environment("staging", 1), shapes.environment("production", 2)])
    zones: list = field(default_factory=lambda: [shapes.zone()])
    applications: list = field(default_factory=list)
    targets: dict = field(default_factory=dict)
    status: list = field(default_factory=list)
    releases: dict = field(default_factory=dict)
    choices: list = field(default_factory=list)
    hosts: list = field(default_factory=list)
    deploys: dict = field(default_factory=dict)
    runs: dict = field(default_factory=dict)
    plans: dict = field(default_factory=dict)
    commands: dict = field(default_factory=dict)
    freezes: list = field(default_factory=list)
    integrations: list = field(default_factory=list)
    hooks: list = field(default_factory=list)
    webhooks: list = field(default_factory=list)
    audit: list = field(default_factory=list)
    automations: list = field(default_factory=list)
    tokens: list = field(default_factory=list)
    variables: dict = field(default_factory=dict)
    changelog: dict = field(default_factory=shapes.changelog)
    deliveries: list = field(default_factory=list)
    key_shown: dict = field(default_factory=shapes.shown_key)
