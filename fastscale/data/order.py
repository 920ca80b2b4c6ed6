"""In which order images are written, and drawn in an epoch: pure functions, the same for every loader and machine."""

from dataclasses import dataclass

import numpy as np

from fastscale.data.streams import stream

WRITTEN = 2103_06877  # the seed by which a file is shuffled, once for all
RUN = 32  # images that lie together in the file and are read together
FEWEST = 1 << 14  # images that are mixed with each other, or 8 batches where that is more


@dataclass(frozen=True)
class Share:
    """The part of all images that is one rank's."""

    index: int
    ranks: int

    def take(self, drawn: np.ndarray, batch: int) -> np.ndarray:
        """This rank's part of each batch of the images `drawn`, in their order."""
        return drawn.reshape(-1, self.ranks, batch // self.ranks)[:, self.index].reshape(-1)


WHOLE = Share(0, 1)


def written_order(images: int) -> np.ndarray:
    """Draw the order in which training images are written: place i holds image `written_order(images)[i]`.

    Classes must not lie together, as only what lies within one window of `draw_order` is mixed.
    """
    return np.random.default_rng(WRITTEN).permutation(images)


def draw_order(images: int, window: int, seed: int, epoch: int) -> np.ndarray:
    """Draw the order of an epoch: all images of a shuffled file, each one once.

    Runs of RUN neighbours are drawn at random, wherever they begin in this epoch, and as many as are in a `window` of
    images are mixed: so a file that does not fit into memory is read in large pieces, and each of them once. Up to
    `window` images are in wholly random order. It does not depend on memory, nor on how many ranks share the epoch.
    """
    uniform = stream("order", seed, epoch)
    runs = uniform.permutation(-(-images // RUN))
    places = (runs[:, None] * RUN + np.arange(RUN)).reshape(-1)
    places = (places[places < images] + uniform.integers(images)) % images
    for first in range(0, images, window):
        uniform.shuffle(places[first : first + window])
    return places


def window(batch: int) -> int:
    """Tell how many images are mixed with each other, by the images of a batch (of all ranks); of ImageNet's, 4 GB."""
    return max(FEWEST, 8 * batch)
