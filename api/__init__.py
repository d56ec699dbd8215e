"""The JSON API, version 1. Routes only: what they take, who may call them, which controller answers."""

from api.answers import Made, Outcome, Stream, Text
from api.routing import FOREIGN, PREFIX, load, route, site

__all__ = ["FOREIGN", "PREFIX", "Made", "Outcome", "Stream", "Text", "load", "route", "site"]
