"""From the bytes of a .beton file to images and labels: what numba compiles.

It keeps the result on disk, beside this file or in the user's cache, so that only the first process on a machine
compiles; hence functions of a module that call FFCV's library by name: what refers to an address cannot be kept.
"""

from collections.abc import Callable

import llvmlite.binding
import numpy as np
from numba import njit, prange, types

from fastscale.data.ffcv import IMAGE_MODES, LIBRARY, IntDecoder, ResizedCropRGBImageDecoder

llvmlite.binding.load_library_permanently(LIBRARY)
_u32, _address = types.uint32, types.uintp
_imdecode = types.ExternalFunction(
    "imdecode", types.void(_address, types.uint64, _u32, _u32, _address, *[_u32] * 6, types.uint8, types.uint8)
)
JPEG = IMAGE_MODES["jpg"]
UNUSED = (1, 1)  # the resolution of a decoder that has not been told one

OPTIONS = {"nogil": True, "error_model": "numpy"}
try:
    KEPT = njit(cache=True, **OPTIONS)(lambda: None) and {"cache": True, **OPTIONS}
except RuntimeError:  # there is no folder in which it could be kept
    KEPT = OPTIONS


@njit(**KEPT)
def taps(before, after):
    """How a line of `before` pixels becomes one of `after`: bilinear with antialiasing, as Pillow and torchvision do.

    Returns for each new pixel the first old one that it depends on, how many do, and their weights (after, most).
    """
    scale = before / after
    reach = max(scale, 1.0)
    firsts, counts = np.empty(after, np.int64), np.empty(after, np.int64)
    weights = np.zeros((after, int(np.ceil(reach)) * 2 + 1), np.float32)
    for i in range(after):
        center = (i + 0.5) * scale
        first, end = max(0, int(center - reach + 0.5)), min(before, int(center + reach + 0.5))
        total = 0.0
        for k in range(first, end):
            weight = max(0.0, 1.0 - abs(k + 0.5 - center) / reach)
            weights[i, k - first] = weight
            total += weight
        weights[i] /= np.float32(total)
        firsts[i], counts[i] = first, end - first
    return firsts, counts, weights


@njit(**KEPT)
def resize(pixels, stride, top, left, height, width, flip, result):
    """Resize (and flip) a part of an image to `result` (rows, columns, 3): first the columns, then the lines.

    `pixels` are the whole image's values, `stride` of them a line of it.
    """
    rows, columns = result.shape[:2]
    row_firsts, row_counts, row_weights = taps(height, rows)
    firsts, counts, weights = taps(width, columns)
    line = np.empty(width * 3, np.float32)
    for y in range(rows):
        line[:] = 0.5  # what follows is cut off, not rounded
        for k in range(row_counts[y]):
            begin = (top + row_firsts[y] + k) * stride + left * 3
            weight, source = row_weights[y, k], pixels[begin : begin + width * 3]
            for x in range(width * 3):
                line[x] += weight * source[x]
        for x in range(columns):
            red = green = blue = np.float32(0)
            for k in range(counts[x]):
                weight, at = weights[x, k], 3 * (firsts[x] + k)
                red += weight * line[at]
                green += weight * line[at + 1]
                blue += weight * line[at + 2]
            to = columns - 1 - x if flip else x
            result[y, to, 0], result[y, to, 1], result[y, to, 2] = red, green, blue


@njit(**KEPT)
def decode_image(data, image, decoded, result):
    """Decode, crop, resize and flip one image, to `result` (side, side, 3); `decoded` has room for all its pixels.

    `image` is its row of the metadata; `data` are its bytes.
    """
    height, width = np.uint32(image["height"]), np.uint32(image["width"])
    pixels = data
    if image["mode"] == JPEG:
        no, zero, one = np.uint8(0), np.uint32(0), np.uint32(1)
        to = decoded.ctypes.data
        _imdecode(data.ctypes.data, data.size, height, width, to, height, width, zero, zero, one, one, no, no)
        pixels = decoded
    top, left = np.int64(image["top"]), np.int64(image["left"])
    crop = np.int64(image["crop_height"]), np.int64(image["crop_width"])
    resize(pixels, 3 * np.int64(width), top, left, crop[0], crop[1], image["flip"], result)


@njit(**KEPT)
def decode_mapped(i, batch, memory, metadata, state):
    """Image `i` of a batch, from a file that is mapped into memory; `memory` is what FFCV has allocated."""
    image = metadata[batch[i]]
    begin = image["data_ptr"]
    decode_image(state[0][begin : begin + image["size"]], image, memory[1][i], memory[0][i])


@njit(**KEPT)
def decode_paged(i, batch, memory, metadata, state):
    """Image `i` of a batch, from those pages of a file that FFCV has read, of 2^`page_bits` bytes."""
    image = metadata[batch[i]]
    bits = np.uint64(image["page_bits"])
    page = image["data_ptr"] >> bits
    begin = image["data_ptr"] - (page << bits)
    decode_image(state[0][state[3][page], begin : begin + image["size"]], image, memory[1][i], memory[0][i])


# A function for each case, as numba's cache does not tell one that is parallel from one that is not.


@njit(**KEPT)
def decode_images(batch, memory, metadata, state):
    """A batch of images from a mapped file."""
    for i in range(len(batch)):
        decode_mapped(i, batch, memory, metadata, state)
    return memory[0][: len(batch)]


@njit(parallel=True, **KEPT)
def decode_images_by_threads(batch, memory, metadata, state):
    """A batch of images from a mapped file, by several threads."""
    for i in prange(len(batch)):
        decode_mapped(i, batch, memory, metadata, state)
    return memory[0][: len(batch)]


@njit(parallel=True, **KEPT)
def decode_paged_images_by_threads(batch, memory, metadata, state):
    """A batch of images from pages, by several threads."""
    for i in prange(len(batch)):
        decode_paged(i, batch, memory, metadata, state)
    return memory[0][: len(batch)]


@njit(**KEPT)
def decode_paged_images(batch, memory, metadata, state):
    """A batch of images from pages."""
    for i in range(len(batch)):
        decode_paged(i, batch, memory, metadata, state)
    return memory[0][: len(batch)]


@njit(**KEPT)
def decode_labels(batch, memory, metadata, state):
    """A batch of labels."""
    for i in range(len(batch)):
        memory[i] = metadata[batch[i]]
    return memory[: len(batch)]


DECODERS = {  # by whether the file is mapped, and whether threads decode
    (True, False): decode_images,
    (True, True): decode_images_by_threads,
    (False, False): decode_paged_images,
    (False, True): decode_paged_images_by_threads,
}


class ImageDecoder(ResizedCropRGBImageDecoder):
    """FFCV's decoder, of the crops that stand in the metadata of each image: `CROP` of `fastscale.data.crops`."""

    get_crop_generator = None

    def __init__(self, mapped: bool, threads: int):
        super().__init__(UNUSED)
        self.decode = DECODERS[mapped, threads > 1]

    def generate_code(self) -> Callable:
        """The compiled function."""
        return self.decode


class LabelDecoder(IntDecoder):
    """FFCV's decoder of labels, compiled before."""

    def generate_code(self) -> Callable:
        """The compiled function."""
        return decode_labels
