"""Builds: from a commit or a package version to a release and its virtualenvs."""
