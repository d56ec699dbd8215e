"""Playbooks and manifests of a target: which run before or after which step of a host run. rollout/playbook_run.py runs them.

An entry of the target is {"integration", "run", "before" | "after", "variables", "check"}.
"""

from controllers import foreign
from controllers.catalog.applications import check_integration
from controllers.errors import Invalid, NotFound, StepFailed
from controllers.jobs.history import STEPS

ROLE = "configurator"
# Between which steps the worker has the host run in its hands; `begin` and `activate` are one request to the host each.
AT_CONNECT, AT_SHIP, AT_ENVIRONMENT, AT_CONFIGURE, AT_END = 0, 2, 3, 4, len(STEPS)
PLACES = {
    ("before", "connect"): AT_CONNECT,
    ("after", "preflight"): AT_SHIP,
    ("before", "ship"): AT_SHIP,
    ("after", "ship"): AT_ENVIRONMENT,
    ("before", "environment"): AT_ENVIRONMENT,
    ("after", "environment"): AT_CONFIGURE,
    ("before", "configure"): AT_CONFIGURE,
    ("after", "clean"): AT_END,
}
OFFERED = "before connect, ship, environment or configure, or after preflight, ship, environment or clean"


def check(entries, integrations):
    """Raise Invalid for entries of a target that could not be run; `integrations` is the query for those that may be named."""
    for number, entry in enumerate(entries):
        field = f"configure.{number}"
        if place_of(entry) is None:
            raise Invalid(
                [
                    (
                        field,
                        f"Nothing can run {' '.join(when_of(entry))}: the host does these steps at one go. Use {OFFERED}.",
                    )
                ]
            )
        check_integration(field, entry["integration"], ROLE, integrations)


def when_of(entry):
    """Return ("before" or "after", step) of an entry."""
    when = "before" if entry.get("before") else "after"
    return when, entry[when]


def place_of(entry):
    """Return between which steps an entry runs, as a number; None where nothing can run."""
    return PLACES.get(when_of(entry))


def named_entries(snapshot):
    """Return [(name, entry)] of a deploy's snapshot; each name is that of a step of its own, such as "ansible:site.yml"."""
    found = []
    for entry in snapshot.get("configure") or ():
        name = f"{entry['integration']}:{entry['run']}"
        times = sum(other.partition("#")[0] == name for other, _ in found)
        found.append((f"{name}#{times + 1}" if times else name, entry))
    return found


def has(snapshot, place):
    """Say whether anything runs at a place."""
    return any(place_of(entry) == place for _, entry in named_entries(snapshot))


def step_names(snapshot):
    """Return the names of all steps of a host run, in the order in which they come."""
    names = []
    for place in range(len(STEPS) + 1):
        names += [name for name, entry in named_entries(snapshot) if place_of(entry) == place]
        names += STEPS[place : place + 1]
    return names


def planned(snapshot):
    """Return what a plan says of each entry, with the digest of its folder. Raises StepFailed where that cannot be read."""
    digests, found = {}, []
    for name, entry in named_entries(snapshot):
        integration = entry["integration"]
        if integration not in digests:
            digests[integration] = digest_of(integration, entry["run"], name)
        when, step = when_of(entry)
        about = {"integration": integration, "run": entry["run"], "when": f"{when} {step}"}
        found.append({**about, "check": bool(entry.get("check")), "digest": digests[integration]})
    return found


def digest_of(integration, run, name):
    """Return the digest of an integration's folder, in which `run` is. Raises StepFailed."""
    try:
        driver = foreign.driver_named(integration, ROLE)
        driver.place(run)
        return driver.digest()
    except (foreign.ForeignError, NotFound) as error:
        raise StepFailed("configurator", name, error.detail, "Nothing was touched") from None
