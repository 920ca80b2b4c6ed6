"""Use FFCV, and replace private parts of it: no other module imports it.

FFCV looks the replaced parts up by their names, so they are replaced for the whole process. Another version than that
of `fastscale.runtime.upstream` is not used at all: the plain loader reads the same images.

- While FFCV is imported, `numba.typed.Dict` is `dict`: FFCV keeps two constants in such a dictionary, which takes
  seconds of compilation at each import. This ends when `IMAGE_MODES` of ffcv/fields/rgb_image.py is a plain dictionary.
- `Compiler.compile` returns what is compiled already, as the decoders of fastscale/data/decoding.py are, which numba
  keeps on disk: FFCV would refuse them, and compile others anew in each process. This ends when FFCV takes compiled
  functions.
- `OSCacheManager.compile_reader` compiles nothing: those decoders read the file themselves. FFCV's own reader takes a
  second, even where nobody calls it. This ends when FFCV compiles its reader at the first call.
- `Compiler.set_num_threads` sets the threads of FFCV alone, not torch's, which a training has set for itself; to import
  FFCV does not set them either. This ends when libffcv/ffcv#13, which asked for it, is undone.
- `MappedLoader` hands an epoch its order, its crops (as columns of the metadata) and the mapped file. FFCV draws crops
  itself, from numba's random numbers, and so by batch and thread. This ends when its samples may have parameters.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba.typed
import numpy as np
import torch
from numba import set_num_threads, set_parallel_chunksize
from numba.extending import is_jitted

from fastscale.runtime.upstream import WRITTEN_FOR, is_known


@contextmanager
def _harmless_import() -> Iterator[None]:
    compiled, numba.typed.Dict, threads = numba.typed.Dict, dict, torch.get_num_threads()
    try:
        yield
    finally:
        numba.typed.Dict = compiled
        torch.set_num_threads(threads)


with _harmless_import():
    from ffcv import Loader, _libffcv
    from ffcv.fields.basics import IntDecoder
    from ffcv.fields.rgb_image import ResizedCropRGBImageDecoder
    from ffcv.loader.epoch_iterator import EpochIterator
    from ffcv.memory_managers import OSCacheManager
    from ffcv.pipeline.allocation_query import AllocationQuery
    from ffcv.pipeline.compiler import Compiler
    from ffcv.pipeline.state import State
    from ffcv.transforms import ToTensor, ToTorchImage

if not is_known("ffcv"):
    raise ImportError(f"its version is {version('ffcv')}, and fastscale was written for {WRITTEN_FOR['ffcv']}")

LIBRARY = _libffcv.__file__
_compile = Compiler.compile


def _set_threads(cls: type[Compiler], threads: int) -> None:
    cls.num_threads = threads
    set_num_threads(threads)
    set_parallel_chunksize(1)  # of images: who is kept waiting for a core leaves the others' share to them


Compiler.compile = lambda code, signature=None: code if is_jitted(code) else _compile(code, signature)
Compiler.set_num_threads = classmethod(_set_threads)
OSCacheManager.compile_reader = lambda self: None


class MappedLoader(Loader):
    """FFCV's loader of a file that is mapped into memory, with an order and metadata of one's own for each epoch."""

    def __init__(
        self,
        path: Path,
        batch: int,
        threads: int,
        pipelines: Mapping[str, Sequence[Any]],
        samples: np.ndarray,
        data: np.ndarray,
    ):
        """Make a loader of batches of `batch` images.

        `samples`, (n,), are the metadata that the decoders of the `pipelines` get, `data` all bytes of the file.
        """
        super().__init__(str(path), batch_size=batch, num_workers=threads, os_cache=True, seed=0, pipelines=pipelines)
        self.reader.metadata = samples
        self.memory_manager.context.mmap = data

    def batches(self, order: np.ndarray, samples: np.ndarray) -> EpochIterator:
        """Begin an epoch in this order, (m,), with these metadata; to be closed."""
        self.reader.metadata = samples
        return EpochIterator(self, order)


__all__ = [
    "LIBRARY",
    "AllocationQuery",
    "IntDecoder",
    "MappedLoader",
    "ResizedCropRGBImageDecoder",
    "State",
    "ToTensor",
    "ToTorchImage",
]
