"""The fleet's own tests use its fixtures."""

from .fixtures import fleet, fleet_factory, host, postgresql_url, redis_url

__all__ = ["fleet", "fleet_factory", "host", "postgresql_url", "redis_url"]
