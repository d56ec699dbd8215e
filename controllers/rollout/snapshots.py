"""What a deploy uses is kept on its row, as it was when the deploy was asked for; variables are sealed there."""

import json

import secretbox
from controllers.catalog import variables
from controllers.desired.spec import RELEASE_PROCESS
from controllers.fleet import targets


def take(target):
    """Return the target as a deploy needs it, its variables sealed inside."""
    content = {"values": variables.environment_of(target), "secrets": sorted(variables.secrets_of(target))}
    return {**targets.snapshot(target), "variables": secretbox.seal(json.dumps(content))}


def open_variables(snapshot):
    """Return (plain values by name, the secret ones among the values) of a snapshot."""
    content = json.loads(secretbox.open_sealed(snapshot["variables"]))
    return content["values"], content["secrets"]


def commands(release, snapshot):
    """Return the processes of a release as the target runs them: overlaid by the target's, null switching one off."""
    merged = {**release.processes, **snapshot["processes"]}
    return {name: command for name, command in merged.items() if command}


def has_release_process(deploy):
    """Say whether a deploy runs a `release` process on its first host; a rollback runs none."""
    return deploy.rollback_of_id is None and RELEASE_PROCESS in commands(deploy.release, deploy.snapshot)
