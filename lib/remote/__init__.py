"""Reaching hosts: the agent that works on a host, and the sessions through which it is driven."""
