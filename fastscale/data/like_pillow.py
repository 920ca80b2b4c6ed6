"""Operations of the official EfficientNet code's AutoAugment (policy v0) on batches, computed as Pillow does.

They take and return the same as the operations of fastscale/data/like_torchvision.py. They follow pycls, the code of
the paper's authors, which calls Pillow and differs from the official code in three points: pycls interpolates between
pixels where the official code takes the nearest pixel; pycls translates by a share of the image's side, not by a number
of pixels; and posterize of pycls keeps at least one bit.
"""

import numpy as np
import torch
from torch import Tensor

from fastscale.data.like_torchvision import per_image

CHUNK_VALUES = 1 << 23  # values that are warped together: each needs a hundred bytes meanwhile
GREY = 128  # fills the places from which an image has been moved away
FEWEST_BITS = 1
DARK = 128  # SolarizeAdd brightens values below this one
LUMA = 19595, 38470, 7471  # weights of red, green and blue in a pixel's grey, in units of 1 / 65536


def warp(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Shear, translate or rotate images, with bilinear interpolation and grey where an image has been moved away.

    Shears are relative to the upper left corner, translations are shares of the side, rotations are degrees
    anticlockwise.
    """
    height, width = images.shape[2:]
    angle = np.radians(np.where(names == "Rotate", magnitudes, 0))
    sine, cosine = np.sin(angle), np.cos(angle)
    x, y, up = (np.where(names == name, magnitudes, 0) for name in ("ShearX", "ShearY", "TranslateY"))
    left = (1 - cosine) * width / 2 + sine * height / 2
    top = (1 - cosine) * height / 2 - sine * width / 2 + up * height
    # Maps the place of a new pixel's centre to its place in the old image, in pixels; in doubles, as in Pillow.
    matrix = torch.from_numpy(np.stack([cosine, x - sine, left, y + sine, cosine, top]))
    size = max(1, CHUNK_VALUES // images[0].numel())
    moved = map(_moved, images.split(size), matrix.to(images.device, non_blocking=True).split(size, dim=1))
    return torch.cat(list(moved))


def _moved(images: Tensor, matrix: Tensor) -> Tensor:
    """Return images (n, 3, h, w) whose pixels come from the places that `matrix`, (6, n), maps them to."""
    height, width = images.shape[2:]
    a, b, c, d, e, f = matrix.view(6, -1, 1, 1)
    x, y = (torch.arange(size, device=images.device, dtype=torch.float64) + 0.5 for size in (width, height))
    across, down = a * x + b * y[:, None] + c, d * x + e * y[:, None] + f
    is_inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
    columns, to_right = _neighbours(across, width)
    rows, to_below = _neighbours(down, height)
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3)
    first = torch.arange(0, len(pixels), height * width, device=images.device).view(-1, 1, 1)  # pixel of each image

    def interpolated(row: Tensor) -> Tensor:
        start = first + row * width
        left, right = (pixels.index_select(0, (start + column).flatten()).double() for column in columns)
        return right.sub_(left).mul_(to_right).add_(left)

    above, below = map(interpolated, rows)
    mixed = below.sub_(above).mul_(to_below).add_(above).to(torch.uint8)
    mixed.masked_fill_(~is_inside.view(-1, 1), GREY)
    return mixed.view(-1, height, width, 3).permute(0, 3, 1, 2)


def _neighbours(places: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return the two pixels between whose centres each place lies, and the weight of the second, (n * h * w, 1)."""
    places = places - 0.5
    first = places.floor()
    weight = (places - first).view(-1, 1)
    first = first.long()
    return (first.clamp(0, size - 1), (first + 1).clamp_(0, size - 1)), weight


def colour(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Move each pixel away from its grey (magnitudes above 1) or towards its grey (below 1)."""
    values = images.int()
    red, green, blue = values.split(1, dim=1)
    grey = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue + 0x8000) >> 16
    return (values - grey).mul(per_image(images, magnitudes)).add_(grey).clamp_(0, 255).to(torch.uint8)


def posterize(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Keep the upper bits of each value; the magnitude is the number of bits to keep, at least one."""
    dropped = 8 - np.maximum(magnitudes.astype("u1"), FEWEST_BITS)
    return images & per_image(images, 255 << dropped & 255, torch.uint8)


def solarize(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Invert values that are at least as bright as the magnitude; the operation Invert inverts all values."""
    threshold = np.where(names == "Invert", 0, np.trunc(magnitudes))
    return torch.where(images >= per_image(images, threshold), ~images, images)


def solarize_add(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Add the magnitude to dark values; the largest magnitude does not overflow."""
    return images + per_image(images, np.rint(magnitudes), torch.uint8) * (images < DARK)


def auto_contrast(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Stretch each channel so that its darkest value becomes 0 and its brightest 255."""
    pixels = images.flatten(2)
    low, high = (edge(pixels, dim=2, keepdim=True).double() for edge in (torch.amin, torch.amax))
    # In double precision, as Pillow cuts fractions off. `255 / tensor` would compute 255 times the reciprocal.
    scale = torch.full_like(low, 255) / (high - low)
    values = torch.arange(256, device=images.device, dtype=torch.float64)
    table = torch.where(high > low, (values * scale - low * scale).clamp_(0, 255), values)
    return table.to(torch.uint8).gather(2, pixels.long()).view_as(images)
