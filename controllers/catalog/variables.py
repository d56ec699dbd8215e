"""Variables: what an application finds in its environment in one target; the values of secret ones are write-only."""

import secretbox
from controllers import etags
from controllers.controller import Controller
from controllers.errors import Invalid, Unavailable
from models import Variable
from models.db import clock
from utils.datekit import rfc3339

RESERVED = frozenset({"SOCKET", "PORT", "PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"})
SHELLS_OWN = frozenset({"IFS", "PPID", "UID", "EUID", "SHELLOPTS", "BASHOPTS", "BASH_ENV", "ENV"})
OWN_PREFIX = "WINDLASS_"


def describe(found):
    """Return variables in the API's shape: plain values, and of secret ones only that they are there."""
    return {
        "variables": {name: {"secret": True} if row.is_secret else row.value for name, row in sorted(found.items())},
        "updated_at": rfc3339(max((row.updated_at for row in found.values()), default=None)),
    }


def by_name(target):
    """Return {name: row} of a target's variables."""
    return {row.name: row for row in Variable.select().where(Variable.target == target)}


def names_in(changes):
    """Return which variables a change sets and removes; never a value."""
    return {
        "set": sorted(name for name, value in changes.items() if value is not None),
        "removed": sorted(name for name, value in changes.items() if value is None),
    }


def check(changes, found):
    """Raise Invalid for names that Windlass or the shell sets, and for secrets of which no value is known."""
    errors = [
        (f"variables.{name}", trouble)
        for name, value in changes.items()
        if value is not None and (trouble := trouble_with(name, value, found))
    ]
    if errors:
        raise Invalid(errors)


def trouble_with(name, value, found):
    """Return what is wrong with a variable, None if nothing is."""
    if name in RESERVED or name.startswith(OWN_PREFIX):
        return "Windlass sets this one itself for every process; choose another name."
    if name in SHELLS_OWN:
        return "The shell that starts the process uses this one itself; choose another name."
    if isinstance(value, dict) and "value" not in value and name not in found:
        return "No value is stored yet; give one."
    return None


def write(target, name, desired, row):
    """Make one variable's row what is desired; `row` is the present one or None."""
    if desired is None:
        if row is not None:
            row.delete_instance()
        return
    desired = {"value": desired} if isinstance(desired, str) else desired
    is_secret = bool(desired.get("secret"))
    value = desired["value"] if "value" in desired else plain(row)
    stored = secretbox.seal(value) if is_secret else value
    if row is None:
        Variable.create(target=target, name=name, value=stored, is_secret=is_secret, updated_at=clock())
        return
    if not is_secret and (row.is_secret, row.value) == (False, value):
        return
    # A version must differ from the one before even when both were made within one millisecond.
    row.value, row.is_secret, row.updated_at = stored, is_secret, max(clock(), row.updated_at + 1)
    row.save()


def plain(row):
    """Return the value of a variable's row, unsealed; raises Unavailable when the key it was sealed with is gone."""
    if not row.is_secret:
        return row.value
    try:
        return secretbox.open_sealed(row.value)
    except secretbox.SecretBoxError as error:
        raise Unavailable(f"Variable {row.name}: {error}", code="secret-unreadable") from None


def environment_of(target):
    """Return a target's variables as {name: value}, secret ones included; internal, never for an answer."""
    return {name: plain(row) for name, row in sorted(by_name(target).items())}


def secrets_of(target):
    """Return the set of a target's secret values, so that they can be masked in output; internal."""
    return {plain(row) for row in by_name(target).values() if row.is_secret}


class VariableController(Controller):
    """The variables of a target, as people see and change them."""

    def get(self, application, environment):
        """Return the variables of a target."""
        return describe(by_name(self.target(application, environment)))

    def replace(self, application, environment, fields, if_match=None):
        """Set all variables of a target, removing those not named; returns them. Raises Invalid and PreconditionFailed."""
        given = fields["variables"]
        return self.alter(application, environment, if_match, lambda found: {**dict.fromkeys(found), **given})

    def update(self, application, environment, changes, if_match=None):
        """Set some variables and remove those that are None; returns all of them. Raises Invalid and PreconditionFailed."""
        return self.alter(application, environment, if_match, lambda found: changes["variables"])

    def alter(self, application, environment, if_match, changes_of):
        """Carry out `changes_of(rows by name)`, {name: value or None}, on a target's variables in one transaction."""
        with self.change("variables.change", f"{application}/{environment}") as more:
            target = self.target(application, environment, to_change=True)
            found = by_name(target)
            etags.require_match(if_match, describe(found))
            changes = changes_of(found)
            check(changes, found)
            more.update(names_in(changes))
            for name, value in changes.items():
                write(target, name, value, found.get(name))
            return describe(by_name(target))
