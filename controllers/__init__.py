"""All behaviour of Windlass: every public function takes who is asking (an Actor) first and returns plain data."""
