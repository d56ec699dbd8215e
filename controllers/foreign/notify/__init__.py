"""Drivers of the ways to notify people and programs: e-mail, Slack, webhooks."""
