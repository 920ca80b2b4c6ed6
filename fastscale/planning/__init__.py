"""Plans and choices: the work left in a sweep and its cost, the best network of a search or budget. No torch."""
