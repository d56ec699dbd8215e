"""The desired state of a host: pure functions from facts and settings to what a rollout brings about there."""
