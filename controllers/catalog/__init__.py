"""What is configured once and used by everything else: applications, environments, zones, integrations, variables."""
