"""Repeated POSTs whose first answer was lost with its process: look up what that request had made."""

from controllers.commands.commands import CommandController
from controllers.fleet.preparations import PreparationController
from controllers.releases.releases import ReleaseController
from controllers.rollout.deploys import DeployController

GETTERS = {
    "command": lambda actor, command_id: CommandController(actor).get(command_id),
    "deploy": lambda actor, deploy_id: DeployController(actor).get(deploy_id),
    "preparation": lambda actor, preparation_id: PreparationController(actor).get(preparation_id),
    "release": lambda actor, release_id: ReleaseController(actor).get_by_id(release_id),
}


def again(actor, made):
    """Return, as it is now, what an earlier request made; `made` is [kind, id]."""
    kind, made_id = made
    return GETTERS[kind](actor, made_id)
