"""Routes of /inventory."""

from api import route
from api.schemas.lists import InventoryQuery
from api.shapes import Answer
from controllers.fleet import inventory
from utils.decorators import auth, validate


@route("GET", "/inventory/ansible", summary="The hosts as an Ansible dynamic inventory", returns=Answer)
@auth()
@validate(query=InventoryQuery)
def show_ansible_inventory(actor, query):
    """Groups by zone, tag and application_environment; with host, the variables of that host alone."""
    if query["host"] is not None:
        return inventory.ansible_host(actor, query["host"])
    return inventory.ansible(actor)
