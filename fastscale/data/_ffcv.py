"""FFCV with some of its private parts replaced: the only module that imports FFCV.

FFCV looks the replaced parts up by name, so they are replaced for the whole process. A version of FFCV other than that
in `fastscale.runtime.upstream` is not used: the plain loader reads the same images.

- While FFCV is imported, `numba.typed.Dict` is `dict`: FFCV keeps two constants in such a dictionary, and numba takes
  seconds at each import to compile it. This ends when `IMAGE_MODES` of ffcv/fields/rgb_image.py is a plain dictionary.
- `Compiler.compile` returns compiled functions unchanged. The decoders of fastscale/data/decoding.py are compiled, and
  numba caches them on disk; FFCV would refuse compiled functions, and compiles all others anew in each process. This
  ends when FFCV accepts compiled functions.
- `OSCacheManager.compile_reader` compiles nothing, as our decoders read the file themselves: to compile FFCV's own
  reader takes a second, even if nobody calls that reader. This ends when FFCV compiles its reader at the first call.
- `Compiler.set_num_threads` sets the threads of FFCV alone. FFCV's original also sets torch's threads, which a training
  has chosen for itself; so does the import of FFCV, after which torch's threads are restored. This ends when the change
  that libffcv/ffcv#13 asked for is undone.
- `MappedLoader` gives each epoch its order, its crops (columns of the metadata) and the mapped file. FFCV draws crops
  from numba's random numbers, so that its crops depend on batch and thread. This ends when FFCV's samples may carry
  parameters.
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
    """Import FFCV without compiling its constants, and with torch's number of threads restored afterwards."""
    typed_dict, numba.typed.Dict, threads = numba.typed.Dict, dict, torch.get_num_threads()
    try:
        yield
    finally:
        numba.typed.Dict = typed_dict
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
    set_parallel_chunksize(1)  # image per piece: a thread that waits for a core delays no other thread's images


Compiler.compile = lambda code, signature=None: code if is_jitted(code) else _compile(code, signature)
Compiler.set_num_threads = classmethod(_set_threads)
OSCacheManager.compile_reader = lambda self: None


class MappedLoader(Loader):
    """A loader of FFCV that reads a file mapped into memory, and takes an order and metadata for each epoch."""

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

        `samples`, (n,), is the metadata that FFCV passes to the decoders of the `pipelines`; `data` holds all bytes of
        the file.
        """
        super().__init__(str(path), batch_size=batch, num_workers=threads, os_cache=True, seed=0, pipelines=pipelines)
        self.reader.metadata = samples
        self.memory_manager.context.mmap = data

    def batches(self, order: np.ndarray, samples: np.ndarray) -> EpochIterator:
        """Begin an epoch: yield the samples in `order`, (m,), with the metadata `samples`; the caller closes it."""
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
