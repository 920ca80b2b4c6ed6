"""Training a network, from a checkpoint if there is one, to its record."""
