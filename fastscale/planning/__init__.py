"""What is left to do and what it would cost, and which network to choose. No torch."""
