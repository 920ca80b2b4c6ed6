"""How fast networks are on this device: their steps, their largest batches, and the device's peaks."""
