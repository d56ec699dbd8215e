"""What a rollout is made of: waves, the specification of one host's state, and shipping content to it."""
