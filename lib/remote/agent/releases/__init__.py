"""Releases on a host: brought there, made the one that answers, taken away."""
