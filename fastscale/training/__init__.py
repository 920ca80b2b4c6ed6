"""Training: the steps, batch norm's statistics, checkpoints, and the run from images to a record."""
