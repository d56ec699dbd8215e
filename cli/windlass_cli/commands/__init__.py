"""The commands, one file per group; each reads its arguments, calls the client, and shows what came."""
