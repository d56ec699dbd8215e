"""What tests of foreign systems share: a fence open to loopback, short time-outs, circuits that remember nothing."""

import pytest

from controllers.foreign import circuits
from tests.conftest import opened_database
from tests.controllers.conftest import integration, repositories, repository, work

__all__ = ["integration", "repositories", "repository", "work"]


@pytest.fixture
def database(request, settings):
    """SQLite alone: what drivers do is the same on both databases."""
    yield from opened_database(request, settings, "sqlite")


@pytest.fixture(autouse=True)
def foreign_settings(settings):
    """Settings with which a silent system is given up quickly."""
    settings.network.allow = ["127.0.0.1/32"]
    settings.foreign.read_timeout_s = 2
    settings.foreign.total_timeout_s = 5
    circuits.forget()
    yield settings
    circuits.forget()
