"""Readers and checks of what a user writes; a mistake is told in a sentence. No torch."""
