"""Routes of /inventory."""

from api import route
from api.schemas.lists import InventoryQuery
from api.shapes import Answer
from controllers.fleet.inventory import InventoryController
from utils.decorators import auth, validate


@route("GET", "/inventory/ansible", summary="The hosts as an Ansible dynamic inventory", returns=Answer)
@auth()
@validate(query=InventoryQuery)
def show_ansible_inventory(actor, query):
    """Groups by zone, tag and application_environment; with host, the variables of that host alone."""
    if query["host"] is not None:
        return InventoryController(actor).ansible_host(query["host"])
    return InventoryController(actor).ansible()
