"""A stand-in for the API, for tests of the pages in a browser."""

from tests.browser.standin.server import COOKIE, TOKEN, StandIn

__all__ = ["COOKIE", "TOKEN", "StandIn"]
