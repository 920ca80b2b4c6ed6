"""What a sweep asks for: its networks, its measurements, its artefacts. No torch."""
