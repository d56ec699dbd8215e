"""The fleet and the services as pytest fixtures; tests/conftest.py imports them by name.

A test whose machine lacks something is skipped with a reason that starts with "needs: ", which .ci/run does not let pass.
"""

import contextlib

import pytest

from .fleet import Fleet
from .keeper import NotAvailable
from .services import postgresql, redis_server


@contextlib.contextmanager
def skipped_if_unavailable():
    """Turn NotAvailable into a skip."""
    try:
        yield
    except NotAvailable as missing:
        pytest.skip(f"needs: {missing}")


@pytest.fixture(scope="module")
def fleet_factory():
    """`fleet_factory(size, python=None)` starts a fleet that runs until the end of the module, with all that was deployed there.

    Fleets claim loopback networks of their own, so the workers of pytest-xdist and other runs do not meet.
    """
    with contextlib.ExitStack() as fleets:

        def start(size=1, python=None):
            with skipped_if_unavailable():
                return fleets.enter_context(Fleet(size=size, python=python))

        yield start


@pytest.fixture
def host():
    """One running host for one test, which may break it as it likes."""
    with contextlib.ExitStack() as fleets, skipped_if_unavailable():
        yield fleets.enter_context(Fleet(size=1))[0]


@pytest.fixture
def fleet():
    """Two running hosts for one test."""
    with contextlib.ExitStack() as fleets, skipped_if_unavailable():
        yield fleets.enter_context(Fleet(size=2))


@pytest.fixture(scope="session")
def postgresql_url():
    """The URL of an empty PostgreSQL database of this session."""
    with contextlib.ExitStack() as services:
        with skipped_if_unavailable():
            url = services.enter_context(postgresql())
        yield url


@pytest.fixture(scope="session")
def redis_url():
    """The URL of a Redis of this session."""
    with contextlib.ExitStack() as services:
        with skipped_if_unavailable():
            url = services.enter_context(redis_server())
        yield url
