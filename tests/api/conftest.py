"""Fixtures of the API's tests."""

import pytest

from tests import factories


@pytest.fixture
def target(api):
    """shop in production on two hosts, one after the other, and a release that is ready."""
    factories.application("shop")
    factories.environment("production")
    for name in ("web-1", "web-2"):
        factories.host(name)
    factories.release()
    strategy = {"kind": "rolling", "batch": 1, "pause_s": 3}
    made = api.put("/applications/shop/targets/production", {"hosts": ["web-1", "web-2"], "strategy": strategy})
    assert made.status_code == 201
