"""The same helpers over Redis, so that all processes share what one of them knows."""
