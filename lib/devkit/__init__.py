"""What dev.py does: set the project up, start it on one machine, run its tests. Standard library only."""
