"""What sets hosts up around a deploy."""
