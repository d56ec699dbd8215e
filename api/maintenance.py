"""Routes of /applications/<name>/targets/<environment>/maintenance."""

from api import Made, route
from api.schemas.guards import TargetMaintenance, TargetMaintenanceFields
from controllers.rollout.maintenance import MaintenanceController
from utils.decorators import auth, validate

PATH = "/applications/<name>/targets/<environment>/maintenance"


@route("GET", PATH, summary="Show whether a target is in maintenance", returns=TargetMaintenance)
@auth()
def show_maintenance(actor, name, environment):
    """And how far its hosts are."""
    return MaintenanceController(actor).get(name, environment)


@route("PUT", PATH, summary="Put a target into maintenance", returns=TargetMaintenance, also={201: TargetMaintenance})
@auth()
@validate(TargetMaintenanceFields)
def put_maintenance(actor, name, environment, fields, if_match):
    """nginx on all its hosts answers 503 with a page until it is lifted; deploys leave it so. 201 when it was open."""
    found, is_new = MaintenanceController(actor).put(name, environment, fields, if_match)
    return Made(found) if is_new else found


@route("DELETE", PATH, summary="Lift a target's maintenance", returns=TargetMaintenance)
@auth()
def lift_maintenance(actor, name, environment):
    """The hosts follow one by one; 404 when it is in none."""
    return MaintenanceController(actor).delete(name, environment)
