"""What a network costs on a device: time, memory and what bounds them, by timings of others. No torch."""
