"""Costs of a network on a device: time and memory predicted from timings, and what bounds the time. No torch."""
