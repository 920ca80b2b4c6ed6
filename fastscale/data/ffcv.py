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
from ffcv.fields.rgb_image import CenterCropRGBImageDecoder, RandomResizedCropRGBImageDecoder  # noqa: E402
from ffcv.loader import OrderOption  # noqa: E402
from ffcv.loader.epoch_iterator import EpochIterator  # noqa: E402
from ffcv.transforms import ToTensor, ToTorchImage  # noqa: E402

__all__ = [
    "CenterCropRGBImageDecoder",
    "DatasetWriter",
    "EpochIterator",
    "IntDecoder",
    "IntField",
    "Loader",
    "OrderOption",
    "RGBImageField",
    "RandomResizedCropRGBImageDecoder",
    "ToTensor",
    "ToTorchImage",
]
