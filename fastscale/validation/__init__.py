"""Reading what a user wrote, and saying in a sentence what is wrong with it. No torch."""
