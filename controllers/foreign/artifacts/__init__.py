"""Drivers of the systems that packages and release bundles come from."""
