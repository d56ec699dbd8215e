"""Deliveries to other systems about deploys and releases: messages, commit statuses, issues, bundles; and changelogs."""
