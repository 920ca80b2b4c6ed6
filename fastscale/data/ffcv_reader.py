"""The reader that uses FFCV, with the compiled decoders of fastscale/data/decoding.py."""

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

UNSET = (1, 1)  # the resolution of a decoder before its first epoch


class Reader:
    """A reader of batches of a .beton file, which is mapped into memory: the system keeps one copy for all ranks.

    `samples` describes the images and labels of the file, (n,) of dtype `fastscale.data.writer.SAMPLE_AND_CROP`. One
    reader serves all resolutions, epochs and trials of a process.
    """

    def __init__(self, path: Path, batch: int, threads: int):
        self.samples = read_samples(path)
        threads = min(threads, len(os.sched_getaffinity(0)))  # numba refuses more
        self.decoder = ImageDecoder(threads)
        pipelines = {"image": [self.decoder, ToTensor(), ToTorchImage()], "label": [LabelDecoder(), ToTensor()]}
        self.loader = MappedLoader(path, batch, threads, pipelines, self.samples, map_bytes(path))

    def pairs(self, order: np.ndarray, samples: np.ndarray, resolution: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches in the given order: images (batch, 3, resolution, resolution; uint8), labels (batch; int64).

        `order` holds indices of images, and `samples` is a copy of the reader's `samples` with the crops of this epoch.
        The state that FFCV keeps between epochs is set when the first batch is taken; a batch is valid until the next
        batch is taken.
        """
        self.decoder.output_size = resolution, resolution
        batches = self.loader.batches(order, samples)
        try:
            for images, labels in batches:
                yield images, labels[:, 0]
        finally:
            batches.close()

    def compile(self) -> None:
        """Compile the decoders by reading a batch, unless a batch has been read before."""
        if self.decoder.output_size == UNSET:
            list(self.pairs(np.arange(1), self.samples, 8))


class ImageDecoder(ResizedCropRGBImageDecoder):
    """FFCV's image decoder for crops that the metadata of each image holds (`CROP` of `fastscale.data.crops`)."""

    get_crop_generator = None

    def __init__(self, threads: int):
        super().__init__(UNSET)
        self.decode = decoding.decode_images_by_threads if threads > 1 else decoding.decode_images

    def declare_state_and_memory(self, previous_state: State) -> tuple[State, AllocationQuery]:
        """Return FFCV's state and memory for the results of a batch, without FFCV's memory for whole images."""
        state, (results, _) = super().declare_state_and_memory(previous_state)
        return state, results

    def generate_code(self) -> Callable:
        """Return the compiled function that decodes a batch of images."""
        return self.decode


class LabelDecoder(IntDecoder):
    """FFCV's label decoder with a compiled function."""

    def generate_code(self) -> Callable:
        """Return the compiled function that copies the labels of a batch."""
        return decoding.decode_labels
