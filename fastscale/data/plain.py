"""The plain reader, without FFCV, by NumPy and threads: the same code decodes the same batches to the bit.

Without libturbojpeg, Pillow decodes JPEGs. They are then converted to RGB before they are resized, not after, so that
pixels are off by some grey levels.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fastscale.data.decoding import JPEG, LIBRARY, decode_alone, resize_alone
from fastscale.data.writer import map_bytes, read_samples

AHEAD = 2  # batches that are decoded while the training uses another


class Reader:
    """A reader of batches of a .beton file, with the methods of `fastscale.data.ffcv_reader.Reader`."""

    def __init__(self, path: Path, batch: int, threads: int):
        self.batch, self.threads = batch, threads
        self.samples = read_samples(path)
        self.data = map_bytes(path)

    def pairs(self, order: np.ndarray, samples: np.ndarray, resolution: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches in the given order: images (batch, 3, resolution, resolution; uint8), labels (batch; int64)."""
        with ThreadPoolExecutor(self.threads) as pool:
            pending = deque[tuple[np.ndarray, np.ndarray, list[Future[None]]]]()
            try:
                for first in range(0, len(order), self.batch):
                    chosen = samples[order[first : first + self.batch]]
                    pixels = np.empty((len(chosen), resolution, resolution, 3), np.uint8)
                    parts = [slice(i, None, self.threads) for i in range(self.threads)]
                    pending.append(
                        (pixels, chosen["f1"], [pool.submit(self._decode, chosen["f0"][p], pixels[p]) for p in parts])
                    )
                    if len(pending) > AHEAD:
                        yield _decoded(*pending.popleft())
                while pending:
                    yield _decoded(*pending.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def compile(self) -> None:
        """Compile the decoders by reading a batch."""
        list(self.pairs(np.arange(1), self.samples, 8))

    def _decode(self, images: np.ndarray, results: np.ndarray) -> None:
        """Decode `images`, rows of the metadata, to `results` (n, side, side, 3)."""
        for image, result in zip(images, results, strict=True):
            stored = self.data[image["data_ptr"] : image["data_ptr"] + image["size"]]
            if LIBRARY:
                decode_alone(stored, image, result)
            elif image["mode"] == JPEG:
                with Image.open(BytesIO(stored.tobytes())) as picture:
                    resize_alone(np.asarray(picture).reshape(-1), image, result)
            else:
                resize_alone(stored, image, result)


def _decoded(pixels: np.ndarray, labels: np.ndarray, parts: list[Future[None]]) -> tuple[Tensor, Tensor]:
    """Wait for all parts of a batch, and return its images and labels."""
    for part in parts:
        part.result()
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(labels.copy())
