"""What was measured, in JSON files, and by which code. No torch."""
