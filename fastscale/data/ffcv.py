"""FFCV, imported in seconds less: the parts of it that are used here."""

import numba.np.linalg
import numba.typed
from numba import set_num_threads, set_parallel_chunksize
from numba.core.dispatcher import Dispatcher


def _no_blas() -> None:
    raise ImportError


# numba imports SciPy to see whether it may multiply matrices, which nothing here does.
_ensure_blas, numba.np.linalg.ensure_blas = numba.np.linalg.ensure_blas, _no_blas
try:
    import numba.np.arraymath
finally:
    numba.np.linalg.ensure_blas = _ensure_blas

# FFCV keeps two constants in a numba dictionary, which costs 4 s of compilation at import; a plain one does as well.
_numba_dict, numba.typed.Dict = numba.typed.Dict, dict
try:
    import ffcv.fields.rgb_image  # noqa: F401
finally:
    numba.typed.Dict = _numba_dict

from ffcv import Loader, _libffcv  # noqa: E402
from ffcv.fields.basics import IntDecoder  # noqa: E402
from ffcv.fields.rgb_image import ResizedCropRGBImageDecoder  # noqa: E402
from ffcv.loader.epoch_iterator import EpochIterator  # noqa: E402
from ffcv.memory_managers import OSCacheManager  # noqa: E402
from ffcv.pipeline.allocation_query import AllocationQuery  # noqa: E402
from ffcv.pipeline.compiler import Compiler  # noqa: E402
from ffcv.pipeline.state import State  # noqa: E402
from ffcv.transforms import ToTensor, ToTorchImage  # noqa: E402

LIBRARY = _libffcv.__file__

# Decoders are compiled already (fastscale/data/decoding.py), and read the file themselves: no loader is to compile them
# again, or a reader of its own, which takes a second even where nobody calls it.
_compile = Compiler.compile
Compiler.compile = lambda code, signature=None: code if isinstance(code, Dispatcher) else _compile(code, signature)
OSCacheManager.compile_reader = lambda self: None


def _set_threads(cls: type[Compiler], threads: int) -> None:
    """Those of a loader: FFCV sets torch's as well, which a training has set for itself."""
    cls.num_threads = threads
    set_num_threads(threads)
    set_parallel_chunksize(1)  # of images: who is kept waiting for a core leaves the others' share to them


Compiler.set_num_threads = classmethod(_set_threads)

__all__ = [
    "LIBRARY",
    "AllocationQuery",
    "EpochIterator",
    "IntDecoder",
    "Loader",
    "ResizedCropRGBImageDecoder",
    "State",
    "ToTensor",
    "ToTorchImage",
]
