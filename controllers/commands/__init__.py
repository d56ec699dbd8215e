"""One-off commands on hosts."""
