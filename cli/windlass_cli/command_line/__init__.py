"""What all commands share: their options, where values come from, and one run of the command line."""
