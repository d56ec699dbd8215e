"""Real hosts and services for tests: nothing here is a stand-in, and nothing outlives the test that started it."""

from .fleet import Fleet
from .hammer import Hammer
from .host import Host
from .keeper import FleetError, Keeper, NotAvailable
from .services import postgresql, rabbitmq, redis_server

__all__ = ["Fleet", "FleetError", "Hammer", "Host", "Keeper", "NotAvailable", "postgresql", "rabbitmq", "redis_server"]
