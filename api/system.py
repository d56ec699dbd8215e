"""Routes about Windlass itself: the index, openapi.json, whether it is alive and ready, its workers."""

from api import Outcome, route
from api.openapi import document
from api.routing import ENDPOINTS, PREFIX
from api.schemas.system import Health, Index, Readiness, Worker
from api.shapes import ListQuery, Page
from controllers import system
from utils.decorators import auth, validate
from version import VERSION


def links():
    """Return {name: path} of everything that can be read without knowing a name."""
    paths = sorted(endpoint.path for endpoint in ENDPOINTS if endpoint.method == "GET" and "<" not in endpoint.path)
    return {path.strip("/").replace("/", ".").removesuffix(".json"): PREFIX + path for path in paths if path.strip("/")}


@route("GET", "", summary="Index", returns=Index)
@route("GET", "/", summary="Index", returns=Index)
def show_index():
    """Links to all there is."""
    return {"name": "windlass", "version": VERSION, "links": links()}


@route("GET", "/openapi.json", summary="This API as an OpenAPI 3.1 document")
def show_openapi():
    """The document is made from the routes and schemas that also do the work."""
    return document()


@route("GET", "/health", summary="Is this process alive", returns=Health)
def show_health():
    """200 as long as requests are answered at all."""
    return {"status": "ok"}


@route("GET", "/ready", summary="Would a deploy be carried out now", returns=Readiness, also={503: Readiness})
def show_readiness():
    """200 if so; else 503, with what each component lacks."""
    readiness = system.readiness()
    return Outcome(readiness, 200 if readiness["ready"] else 503)


@route("GET", "/workers", summary="List workers", returns=Page[Worker])
@auth()
@validate(query=ListQuery)
def list_workers(actor, query):
    """By name, as last seen; one that has said nothing for a day is forgotten."""
    return system.WorkerController(actor).listing(**query)
