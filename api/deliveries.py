"""Routes of /deliveries, and of a deploy's deliveries and changelog."""

from api import route
from api.schemas.deliveries import Changelog, Delivery, DeliveryQuery
from api.schemas.deploys import NoFields
from api.shapes import ListQuery, Page
from controllers.notifications.changelogs import ChangelogController
from controllers.notifications.deliveries import DeliveryController
from utils.decorators import auth, validate


@route("GET", "/deliveries", summary="List deliveries to foreign systems", returns=Page[Delivery])
@auth()
@validate(query=DeliveryQuery)
def list_deliveries(actor, query):
    """Newest first."""
    return DeliveryController(actor).listing(**query)


@route("GET", "/deliveries/<number:int>", summary="Show a delivery", returns=Delivery)
@auth()
def show_delivery(actor, number):
    """With what is said."""
    return DeliveryController(actor).get(number)


@route("POST", "/deliveries/<number:int>/resend", summary="Send a delivery again", returns=Delivery)
@auth()
@validate(NoFields)
def resend_delivery(actor, number, fields):
    """Now, also when it was given up or has been delivered."""
    return DeliveryController(actor).resend(number)


@route("GET", "/deploys/<number:int>/deliveries", summary="List a deploy's deliveries", returns=Page[Delivery])
@auth()
@validate(query=ListQuery)
def list_deploy_deliveries(actor, number, query):
    """What foreign systems were told because of it, newest first."""
    return DeliveryController(actor).of_deploy(number, **query)


@route("GET", "/deploys/<number:int>/changelog", summary="Show a deploy's changelog", returns=Changelog)
@auth()
def show_deploy_changelog(actor, number):
    """Commits, authors, issues and pull requests between what ran before and what it brings."""
    return ChangelogController(actor).get(number)
