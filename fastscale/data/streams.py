"""Streams of random numbers: each thing that is drawn has one for each seed and epoch, and no two are alike."""

import numpy as np

DRAWN = ("crops", "augmentations", "mixup", "lighting", "order")


def stream(drawn: str, seed: int, epoch: int) -> np.random.Generator:
    """The generator from which one of `DRAWN` is drawn for all of an epoch."""
    # A list of words would not do: [seed, epoch] and [seed, epoch, 0] are the same to numpy, as it pads with zeros.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch, DRAWN.index(drawn))))
