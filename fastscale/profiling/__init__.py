"""How fast networks are on this device: steps, batch sizes, peaks."""
