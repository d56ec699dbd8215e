"""Fault tests use the same Windlass and hosts as the deploy tests."""

from tests.deploying.conftest import cli, hosts, name, repository, stack

__all__ = ["cli", "hosts", "name", "repository", "stack"]
