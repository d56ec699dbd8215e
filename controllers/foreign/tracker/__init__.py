"""Where issues are kept."""
