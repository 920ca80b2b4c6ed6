"""The order in which images are written, and in which an epoch draws them: the same for every loader and machine."""

from dataclasses import dataclass

import numpy as np

from fastscale.data.streams import stream

WRITTEN_SEED = 2103_06877  # of the order in a file, the same for all data sets
RUN = 32  # neighbouring images of the file that are read together
SMALLEST_WINDOW = 1 << 14  # images that are mixed with each other, or 8 batches if that is more


@dataclass(frozen=True)
class Share:
    """The share of one rank in the images: `index` is the rank's number, `ranks` the number of ranks."""

    index: int
    ranks: int

    def take(self, drawn: np.ndarray, batch: int) -> np.ndarray:
        """Return this rank's part of each batch of the images `drawn`, in their order."""
        return drawn.reshape(-1, self.ranks, batch // self.ranks)[:, self.index].reshape(-1)


WHOLE = Share(0, 1)


def written_order(images: int) -> np.ndarray:
    """Draw the order in which training images are written: place i holds image `written_order(images)[i]`.

    The images of a class must not lie together, as `draw_order` mixes only the images of one window.
    """
    return np.random.default_rng(WRITTEN_SEED).permutation(images)


def draw_order(images: int, window: int, seed: int, epoch: int) -> np.ndarray:
    """Draw the order of an epoch: all images of a shuffled file, each once.

    The file is cut into runs of RUN neighbours, at other places in each epoch; the runs are put into random order, and
    then the images of each `window` of images are mixed. So a file that does not fit into memory is read in large
    pieces, and each piece once. A file of at most `window` images is in wholly random order. The order depends neither
    on memory nor on the number of ranks.
    """
    uniform = stream("order", seed, epoch)
    runs = uniform.permutation(-(-images // RUN))
    places = (runs[:, None] * RUN + np.arange(RUN)).reshape(-1)
    places = (places[places < images] + uniform.integers(images)) % images
    for first in range(0, images, window):
        uniform.shuffle(places[first : first + window])
    return places


def window(batch: int) -> int:
    """Return how many images are mixed with each other, for batches of `batch` images (of all ranks).

    The images of one window of ImageNet take 4 GB.
    """
    return max(SMALLEST_WINDOW, 8 * batch)
