"""Benchmarks: what a deploy costs, beside the same work done by hand."""
