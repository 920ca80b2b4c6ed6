"""Streams of random numbers: one for each purpose, seed and epoch, no two of them alike."""

import numpy as np

PURPOSES = ("crops", "augmentations", "mixup", "lighting", "order")


def stream(purpose: str, seed: int, epoch: int) -> np.random.Generator:
    """Return the random generator for one of the `PURPOSES` in an epoch."""
    # Not a list of numbers as the seed: NumPy pads lists with zeros, so that [seed, epoch] equals [seed, epoch, 0].
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch, PURPOSES.index(purpose))))
