"""Hosts and what was last seen of them, and the targets that applications are deployed to."""
