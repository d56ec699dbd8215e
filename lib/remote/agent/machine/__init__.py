"""What the agent uses of a host: its files, commands, ports, nginx."""
