"""What builds commits."""
