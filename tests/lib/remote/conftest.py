"""Hosts for the agent's tests: most share one, each with an application of its own; who breaks a host takes `host`."""

import contextlib
import itertools

import pytest

from tests.lib.remote.driver import Controller

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def shared_host(fleet_factory):
    """A host that a module's tests share and leave as they found it."""
    return fleet_factory(1)[0]


@pytest.fixture
def controllers(shared_host):
    """`controllers(binding="socket")` makes a Controller of a new application on the shared host; it is withdrawn at the end."""
    with contextlib.ExitStack() as stack:

        def make(**changes):
            controller = Controller(shared_host, app=f"shop{next(NUMBERS)}", **changes)
            stack.callback(withdraw, controller)
            return controller

        yield make


@pytest.fixture
def controller(controllers):
    """A Controller of a new application on the shared host."""
    return controllers()


def withdraw(controller):
    """Take an application off its host, whatever a test has done to it."""
    controller.close()
    controller.epoch = 1_000_000
    controller.restore(None)
