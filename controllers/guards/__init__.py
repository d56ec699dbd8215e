"""What may hold a deploy back: locks, freezes, releases known to be bad, the order of promotion."""
