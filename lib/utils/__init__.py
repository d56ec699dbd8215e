"""Small things that more than one layer needs; nothing here knows what Windlass is about."""
