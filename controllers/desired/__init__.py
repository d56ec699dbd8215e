"""What a host is to be: pure functions from facts and settings to the state that a rollout brings about there."""
