"""Plans: what a deploy will change, host by host, drawn up, shown, and held to."""
