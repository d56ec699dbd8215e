"""What other systems are told of deploys and releases."""
