"""What a person or a program gets to see on stdout and stderr."""
