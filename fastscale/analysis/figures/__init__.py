"""Figures, drawn by matplotlib from the rows of results."""
