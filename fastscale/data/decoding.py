"""Functions that numba compiles: from the bytes of a .beton file to images and labels.

numba caches compiled functions on disk, beside this file or in the user's cache, so that only the first process on a
machine compiles them. Hence module-level functions: numba cannot cache a closure that refers to an address. And hence
all in this file: after a change numba compiles the functions of the changed file anew, but not those of other files
that call them.
"""

import sys
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from numba import njit, prange, types

from fastscale.data._numba import leave_scipy_out
from fastscale.data.pictures import MODES

leave_scipy_out()
try:  # FFCV's library is linked to libturbojpeg; without FFCV, libturbojpeg itself, which setup.sh may have unpacked
    from fastscale.data._ffcv import LIBRARY
except (ImportError, OSError):
    unpacked = Path(sys.prefix, "debian/usr/lib").glob("*/libturbojpeg.so.0")
    LIBRARY = find_library("turbojpeg") or next(map(str, unpacked), None)

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
try:
    CACHED = njit(cache=True, **OPTIONS)(lambda: None) and {"cache": True, **OPTIONS}
except RuntimeError:  # numba finds no folder to which it may write its cache
    CACHED = OPTIONS

# Functions of libturbojpeg. Without it, the functions below that decode JPEGs cannot be compiled.
if LIBRARY:
    llvmlite.binding.load_library_permanently(LIBRARY)
_int, _size, _address = types.intc, types.ulong, types.uintp
_start: Any = types.ExternalFunction("tjInitDecompress", _address())
_end: Any = types.ExternalFunction("tjDestroy", _int(_address))
_read_header: Any = types.ExternalFunction(
    "tjDecompressHeader3", _int(_address, _address, _size, _address, _address, _address, _address)
)
_plane_width: Any = types.ExternalFunction("tjPlaneWidth", _int(_int, _int, _int))
_plane_height: Any = types.ExternalFunction("tjPlaneHeight", _int(_int, _int, _int))
_decode: Any = types.ExternalFunction(
    "tjDecompressToYUVPlanes", _int(_address, _address, _size, _address, _int, _address, _int, _int)
)
ACCURATE_DCT = 4096  # as Pillow decodes; FFCV's own choice is 3 % faster, and a grey level off in the mean

INTERNAL = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # only compiled functions call these
JPEG = MODES["jpg"]
ZERO, HALF, MIDDLE, MOST = np.float32(0), np.float32(0.5), np.float32(128), np.float32(255)
# Weights of Cb and Cr in red, green and blue (JFIF).
RED_CR, GREEN_CB, GREEN_CR, BLUE_CB = np.float32(1.402), np.float32(-0.344136), np.float32(-0.714136), np.float32(1.772)


@njit(inline="always", **OPTIONS)
def decode_image(data, image, result):
    """Decode, crop, resize and flip one image, and write its pixels to `result` (side, side, 3).

    `image` is the image's row of the metadata, `data` its bytes.
    """
    top, left = np.int64(image["top"]), np.int64(image["left"])
    height, width, flip = np.int64(image["crop_height"]), np.int64(image["crop_width"]), image["flip"] != 0
    if image["mode"] == JPEG:
        decoded = decode_planes(data, np.intc(image["height"]), np.intc(image["width"]))
        resize_planes(*decoded, top, left, height, width, flip, result)
    else:
        resize_pixels(data, 3 * np.int64(image["width"]), top, left, height, width, flip, result)


@njit(**INTERNAL)
def decode_planes(data, height, width):
    """Return a JPEG's planes Y, Cb and Cr, the lengths of their lines, and the factors by which Cb and Cr are smaller.

    The planes are resized before they are converted to RGB, so that the conversion is computed for the pixels of the
    result alone. Every JPEG of a .beton file has three planes.
    """
    handle, begin = _start(), data.ctypes.data
    header = np.zeros(4, np.intc)  # width, height, sampling, colours
    first, size = header.ctypes.data, header.itemsize
    _read_header(handle, begin, data.size, first, first + size, first + 2 * size, first + 3 * size)
    sampling = header[2]
    strides = _plane_width(0, width, sampling), _plane_width(1, width, sampling)
    lines = _plane_height(0, height, sampling), _plane_height(1, height, sampling)
    luma = np.empty(strides[0] * lines[0], np.uint8)
    blue, red = np.empty(strides[1] * lines[1], np.uint8), np.empty(strides[1] * lines[1], np.uint8)
    planes = np.array([luma.ctypes.data, blue.ctypes.data, red.ctypes.data], np.uintp)
    _decode(handle, begin, data.size, planes.ctypes.data, width, 0, height, ACCURATE_DCT)
    _end(handle)
    return (luma, blue, red), strides, (lines[0] / lines[1], strides[0] / strides[1])


@njit(**INTERNAL)
def taps(begin, before, after, flip):
    """Return how `after` new pixels of a line are weighted sums of the old pixels from `begin` to `begin + before`.

    Both ends may lie within an old pixel. Returns for each new pixel the first old pixel with a weight, the number of
    old pixels with weights, and these weights, (most, after), padded with zeros. The new pixels stand in reverse order
    if `flip` is true. Call it with floats: for integers numba would compile it once more.
    """
    low, high = int(np.floor(begin)), int(np.ceil(begin + before))
    scale = before / after
    reach = max(scale, 1.0)
    firsts, counts, most = np.empty(after, np.int64), np.empty(after, np.int64), 2
    weights = np.zeros((int(np.ceil(reach)) * 2 + 1, after), np.float32)
    for i in range(after):
        center = begin + (i + 0.5) * scale
        first, end = max(low, int(center - reach + 0.5)), min(high, int(center + reach + 0.5))
        at = after - 1 - i if flip else i
        total = 0.0
        for k in range(first, end):
            weight = max(0.0, 1.0 - abs(k + 0.5 - center) / reach)
            weights[k - first, at] = weight
            total += weight
        for k in range(end - first):
            weights[k, at] /= np.float32(total)
        firsts[at], counts[at], most = first, end - first, max(most, end - first)
    return firsts, counts, weights[:most]


@njit(**INTERNAL)
def combine_lines(values, stride, low, y, rows, line):
    """Add to `line` the weighted sum of the old lines from which line `y` of the result comes.

    `rows` is what `taps` returns for the lines. The old lines have `stride` values each, and are read from value `low`.
    """
    firsts, counts, weights = rows
    for k in range(counts[y]):
        begin = (firsts[y] + k) * stride + low
        weight, source = weights[k, y], values[begin : begin + len(line)]
        for x in range(len(source)):
            line[x] += weight * source[x]


@njit(**INTERNAL)
def resize_pixels(pixels, stride, top, left, height, width, flip, result):
    """Resize, and flip if `flip`, the crop (height, width) at (top, left) of an image to `result` (rows, columns, 3).

    `pixels` holds the values of the image, `stride` values per line.
    """
    rows = taps(float(top), float(height), len(result), False)
    firsts, counts, weights = taps(float(left), float(width), result.shape[1], flip)
    line = np.empty(width * 3, np.float32)
    for y in range(len(result)):
        line[:] = HALF  # as the sums are cut off to integers, not rounded
        combine_lines(pixels, stride, 3 * left, y, rows, line)
        for x in range(len(firsts)):
            red = green = blue = ZERO
            for k in range(counts[x]):
                weight, at = weights[k, x], 3 * (firsts[x] - left + k)
                red += weight * line[at]
                green += weight * line[at + 1]
                blue += weight * line[at + 2]
            result[y, x, 0], result[y, x, 1], result[y, x, 2] = red, green, blue


@njit(**INTERNAL)
def resize_planes(planes, strides, shrunk, top, left, height, width, flip, result):
    """Resize, and flip if `flip`, a crop as `resize_pixels` does, of a JPEG's `planes` Y, Cb and Cr.

    `strides` are the values per line of Y and of Cb and Cr; Cb and Cr are smaller than Y by the factors `shrunk`
    (vertical, horizontal).
    """
    rows, columns, _ = result.shape
    luma = _part(float(top), float(left), float(height), float(width), rows, columns, flip)
    down, across = shrunk
    chroma = _part(top / down, left / across, height / down, width / across, rows, columns, flip)
    lines, pixels = np.empty((3, columns), np.float32), np.empty((3, columns), np.uint8)
    for y in range(rows):
        _resize_line(planes[0], strides[0], y, luma, lines[0])
        _resize_line(planes[1], strides[1], y, chroma, lines[1])
        _resize_line(planes[2], strides[1], y, chroma, lines[2])
        for x in range(columns):
            light, blue, red = lines[0, x] + HALF, lines[1, x] - MIDDLE, lines[2, x] - MIDDLE
            pixels[0, x] = _cut_off(light + RED_CR * red)
            pixels[1, x] = _cut_off(light + GREEN_CB * blue + GREEN_CR * red)
            pixels[2, x] = _cut_off(light + BLUE_CB * blue)
        for x in range(columns):  # a separate loop, so that the compiler vectorises the loop above
            result[y, x, 0], result[y, x, 1], result[y, x, 2] = pixels[0, x], pixels[1, x], pixels[2, x]


@njit(**INTERNAL)
def _part(top, left, height, width, rows, columns, flip):
    """Return what `_resize_line` needs for a crop of a plane.

    That is the taps of the lines, the first column, room for a line, the number of columns, and the columns' places in
    this line and weights.
    """
    low, high = int(np.floor(left)), int(np.ceil(left + width))
    firsts, _, weights = taps(left, width, columns, flip)
    line = np.zeros(high - low + len(weights), np.float32)  # its end is read too, with weights of zero
    return taps(top, height, rows, False), low, line, high - low, firsts - low, weights


@njit(**INTERNAL)
def _resize_line(values, stride, y, part, result):
    """Write line `y` of a resized plane to `result`; `part` is what `_part` returns."""
    rows, low, line, length, places, weights = part
    line[:length] = ZERO
    combine_lines(values, stride, low, y, rows, line[:length])
    if len(weights) == 2:
        _combine_2(line, places, weights, result)
    elif len(weights) == 3:
        _combine_3(line, places, weights, result)
    elif len(weights) == 4:
        _combine_4(line, places, weights, result)
    else:
        _combine(line, places, weights, len(weights), result)


@njit(**INTERNAL)
def _combine(line, places, weights, count, result):
    """Write to `result` the weighted sums of `count` neighbours in `line`, from `places` on."""
    for x in range(len(result)):
        total = ZERO
        for k in range(count):
            total += weights[k, x] * line[places[x] + k]
        result[x] = total


# For 2, 3 and 4 neighbours: with a constant count the compiler makes loops that are more than twice as fast.


@njit(**INTERNAL)
def _combine_2(line, places, weights, result):
    _combine(line, places, weights, 2, result)


@njit(**INTERNAL)
def _combine_3(line, places, weights, result):
    _combine(line, places, weights, 3, result)


@njit(**INTERNAL)
def _combine_4(line, places, weights, result):
    _combine(line, places, weights, 4, result)


@njit(**INTERNAL)
def _cut_off(value):
    return np.uint8(np.int32(min(max(value, ZERO), MOST)))


@njit(**CACHED)
def decode_alone(data, image, result):
    """Decode, crop, resize and flip one image, whose bytes are `data`, to `result` (side, side, 3)."""
    decode_image(data, image, result)


@njit(**CACHED)
def resize_alone(pixels, image, result):
    """Crop, resize and flip one image, whose values are `pixels`, to `result` (side, side, 3)."""
    top, left = np.int64(image["top"]), np.int64(image["left"])
    height, width, flip = np.int64(image["crop_height"]), np.int64(image["crop_width"]), image["flip"] != 0
    resize_pixels(pixels, 3 * np.int64(image["width"]), top, left, height, width, flip, result)


@njit(inline="always", **OPTIONS)
def decode_mapped(i, batch, memory, metadata, state):
    """Decode image `i` of a batch from a mapped file to `memory`, (batch, side, side, 3), which FFCV has allocated.

    `batch` holds indices of images, `metadata` a row per image, `state` the bytes of the file as its first item.
    """
    image = metadata[batch[i]]
    begin = image["data_ptr"]
    decode_image(state[0][begin : begin + image["size"]], image, memory[i])


# Two functions, as numba's cache does not distinguish parallel code from sequential code of the same function.


@njit(**CACHED)
def decode_images(batch, memory, metadata, state):
    """Decode a batch of images as `decode_mapped` does; return the part of `memory` that they fill."""
    for i in range(len(batch)):
        decode_mapped(i, batch, memory, metadata, state)
    return memory[: len(batch)]


@njit(parallel=True, **CACHED)
def decode_images_by_threads(batch, memory, metadata, state):
    """Decode a batch of images by several threads; return the part of `memory` that they fill."""
    for i in prange(len(batch)):
        decode_mapped(i, batch, memory, metadata, state)
    return memory[: len(batch)]


@njit(**CACHED)
def decode_labels(batch, memory, metadata, state):
    """Copy the labels of a batch to `memory`, and return the part that they fill; `metadata` holds all labels."""
    for i in range(len(batch)):
        memory[i] = metadata[batch[i]]
    return memory[: len(batch)]
