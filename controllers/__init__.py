"""All behaviour of Windlass: controllers, which routes call and which are made with the actor who asks, and what workers do."""
