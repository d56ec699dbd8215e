"""Hooks from foreign systems, and the deploys that rules make of them without a person."""
