"""Reading by FFCV, with decoders that fastscale/data/decoding.py has compiled already."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from fastscale.data import decoding
from fastscale.data._ffcv import (
    AllocationQuery,
    IntDecoder,
    MappedLoader,
    ResizedCropRGBImageDecoder,
    State,
    ToTensor,
    ToTorchImage,
)
from fastscale.data.writer import map_bytes, read_samples

UNUSED = (1, 1)  # the resolution of a decoder that has not been told one


class Reader:
    """Reads batches of a .beton file, which is mapped into memory: the system keeps what is used, once for all ranks.

    `samples` are its images and labels, (n,) of dtype `fastscale.data.writer.READ`. One reader serves every resolution,
    epoch and trial of a process.
    """

    def __init__(self, path: Path, batch: int, threads: int):
        self.samples = read_samples(path)
        threads = min(threads, len(os.sched_getaffinity(0)))  # numba refuses more
        self.decoder = ImageDecoder(threads)
        pipelines = {"image": [self.decoder, ToTensor(), ToTorchImage()], "label": [LabelDecoder(), ToTensor()]}
        self.loader = MappedLoader(path, batch, threads, pipelines, self.samples, map_bytes(path))

    def pairs(self, order: np.ndarray, samples: np.ndarray, resolution: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (batch, 3, resolution, resolution; uint8) and labels (batch; int64) in that order.

        `samples` are the reader's own, with the crops of this epoch. What FFCV keeps between epochs is set when the
        first pair is drawn; a pair is valid until the next one.
        """
        self.decoder.output_size = resolution, resolution
        batches = self.loader.batches(order, samples)
        try:
            for images, labels in batches:
                yield images, labels[:, 0]
        finally:
            batches.close()

    def compile(self) -> None:
        """Have it compiled, where this process has not done so yet: the first batch does."""
        if self.decoder.output_size == UNUSED:
            list(self.pairs(np.arange(1), self.samples, 8))


class ImageDecoder(ResizedCropRGBImageDecoder):
    """FFCV's decoder, of the crops that stand in the metadata of each image: `CROP` of `fastscale.data.crops`."""

    get_crop_generator = None

    def __init__(self, threads: int):
        super().__init__(UNUSED)
        self.decode = decoding.decode_images_by_threads if threads > 1 else decoding.decode_images

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        """Memory for the results of a batch. FFCV's decoders take some for all images whole as well."""
        state, (results, _) = super().declare_state_and_memory(previous_state)
        return state, results

    def generate_code(self) -> Callable:
        """The compiled function."""
        return self.decode


class LabelDecoder(IntDecoder):
    """FFCV's decoder of labels, compiled before."""

    def generate_code(self) -> Callable:
        """The compiled function."""
        return decoding.decode_labels
