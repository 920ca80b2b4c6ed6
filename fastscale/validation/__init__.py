"""Readers and checks of what users write; each mistake becomes one sentence. No torch."""
