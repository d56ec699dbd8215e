"""Drivers of the systems that keep issues."""
