"""Routes of /applications/<name>/targets and their variables."""

from api import Made, route
from api.schemas.targets import Target, TargetFields, VariableChanges, VariableFields, Variables
from api.shapes import ListQuery, Page
from controllers.catalog.variables import VariableController
from controllers.fleet.targets import TargetController
from utils.decorators import auth, validate


@route("GET", "/applications/<name>/targets", summary="List an application's targets", returns=Page[Target])
@auth()
@validate(query=ListQuery)
def list_targets(actor, name, query):
    """One for each environment it is deployed to."""
    return TargetController(actor).listing(name, **query)


@route("GET", "/applications/<name>/targets/<environment>", summary="Show a target", returns=Target)
@auth()
def show_target(actor, name, environment):
    """Where an application goes in an environment, and how."""
    return TargetController(actor).get(name, environment)


@route(
    "PUT",
    "/applications/<name>/targets/<environment>",
    summary="Make or replace a target",
    returns=Target,
    also={201: Target},
)
@auth()
@validate(TargetFields)
def put_target(actor, name, environment, fields, if_match):
    """201 when it is new. What is left out has its default; variables stay."""
    target, is_new = TargetController(actor).put(name, environment, fields, if_match)
    return Made(target) if is_new else target


@route("DELETE", "/applications/<name>/targets/<environment>", summary="Delete a target", status=204)
@auth()
def delete_target(actor, name, environment):
    """With its variables; refused during a deploy. What runs on its hosts is left alone."""
    TargetController(actor).delete(name, environment)


@route("GET", "/applications/<name>/targets/<environment>/variables", summary="Show variables", returns=Variables)
@auth()
def show_variables(actor, name, environment):
    """Of secret ones only that they are there."""
    return VariableController(actor).get(name, environment)


@route("PUT", "/applications/<name>/targets/<environment>/variables", summary="Replace all variables", returns=Variables)
@auth()
@validate(VariableFields)
def replace_variables(actor, name, environment, fields, if_match):
    """They take effect with the next deploy. {"secret": true} without a value keeps the stored one."""
    return VariableController(actor).replace(name, environment, fields, if_match)


@route("PATCH", "/applications/<name>/targets/<environment>/variables", summary="Change some variables", returns=Variables)
@auth()
@validate(VariableChanges)
def change_variables(actor, name, environment, fields, if_match):
    """null removes a variable; those not named stay."""
    return VariableController(actor).update(name, environment, fields, if_match)
