"""Routes of /plans."""

from api import route
from api.schemas.plans import Plan, PlanFields
from controllers.rollout.planning.plans import PlanController
from utils.decorators import auth, validate


@route("POST", "/plans", summary="Plan a deploy", status=201, returns=Plan, location="/plans/{id}")
@auth()
@validate(PlanFields)
def create_plan(actor, fields):
    """Looks at every host and changes none; a plan that is still observing when it is answered is complete later."""
    return PlanController(actor).create(fields)


@route("GET", "/plans/<number:int>", summary="Show a plan", returns=Plan)
@auth()
def show_plan(actor, number):
    """What will change on each host, or has changed where a deploy kept it."""
    return PlanController(actor).get(number)
