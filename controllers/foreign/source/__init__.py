"""Drivers of the code hosts that source code comes from."""
