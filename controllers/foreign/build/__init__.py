"""Drivers of the systems that build commits."""
