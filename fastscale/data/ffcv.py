"""FFCV, imported in seconds less: the parts of it that are used here."""

import numba.typed

# FFCV keeps two constants in a numba dictionary, which costs 4 s of compilation at import; a plain one does as well.
_numba_dict, numba.typed.Dict = numba.typed.Dict, dict
try:
    import ffcv.fields.rgb_image  # noqa: F401
finally:
    numba.typed.Dict = _numba_dict

from ffcv import DatasetWriter, Loader  # noqa: E402
from ffcv.fields import IntField, RGBImageField  # noqa: E402
from ffcv.fields.basics import IntDecoder  # noqa: E402
from ffcv.fields.rgb_image import (  # noqa: E402
    IMAGE_MODES,
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    ResizedCropRGBImageDecoder,
)
from ffcv.libffcv import imdecode, resize_crop  # noqa: E402
from ffcv.loader import OrderOption  # noqa: E402
from ffcv.loader.epoch_iterator import EpochIterator  # noqa: E402
from ffcv.pipeline.compiler import Compiler  # noqa: E402
from ffcv.transforms import ToTensor, ToTorchImage  # noqa: E402
from ffcv.traversal_order import QuasiRandom  # noqa: E402

__all__ = [
    "IMAGE_MODES",
    "CenterCropRGBImageDecoder",
    "Compiler",
    "DatasetWriter",
    "EpochIterator",
    "IntDecoder",
    "IntField",
    "Loader",
    "OrderOption",
    "QuasiRandom",
    "RGBImageField",
    "RandomResizedCropRGBImageDecoder",
    "ResizedCropRGBImageDecoder",
    "ToTensor",
    "ToTorchImage",
    "imdecode",
    "resize_crop",
]
