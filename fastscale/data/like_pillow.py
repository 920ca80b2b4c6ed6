"""Operations of the official EfficientNet code's AutoAugment on batches, each as Pillow has it.

They take and return what those of fastscale/data/like_torchvision.py do. The authors' pycls has them from Pillow, and
differs from the official code, as is done here: it interpolates where that takes the nearest pixel, translates by a
share of the image's side and not by pixels, and keeps a bit at least.
"""

import numpy as np
import torch
from torch import Tensor

from fastscale.data.like_torchvision import per_image

AT_ONCE = 1 << 23  # values that are warped at once, as each takes a hundred bytes meanwhile
GREY = 128  # what an image is filled with where it has been moved away
FEWEST_BITS = 1
DARK = 128  # what SolarizeAdd adds to is darker
LUMA = 19595, 38470, 7471  # shares of red, green and blue in a pixel's grey, of 65536


def warp(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Shear (from the upper left corner), translate (a share of the side), rotate (anticlockwise): bilinear, grey."""
    height, width = images.shape[2:]
    angle = np.radians(np.where(names == "Rotate", magnitudes, 0))
    sine, cosine = np.sin(angle), np.cos(angle)
    x, y, up = (np.where(names == name, magnitudes, 0) for name in ("ShearX", "ShearY", "TranslateY"))
    left = (1 - cosine) * width / 2 + sine * height / 2
    top = (1 - cosine) * height / 2 - sine * width / 2 + up * height
    # From the place of a pixel's centre to where it comes from, in pixels; in double precision, as Pillow's.
    matrix = torch.from_numpy(np.stack([cosine, x - sine, left, y + sine, cosine, top]))
    pieces = max(1, AT_ONCE // images[0].numel())
    moved = map(_moved, images.split(pieces), matrix.to(images.device, non_blocking=True).split(pieces, dim=1))
    return torch.cat(list(moved))


def _moved(images: Tensor, matrix: Tensor) -> Tensor:
    height, width = images.shape[2:]
    a, b, c, d, e, f = matrix.view(6, -1, 1, 1)
    x, y = (torch.arange(size, device=images.device, dtype=torch.float64) + 0.5 for size in (width, height))
    across, down = a * x + b * y[:, None] + c, d * x + e * y[:, None] + f
    is_inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
    columns, to_right = _neighbours(across, width)
    rows, to_below = _neighbours(down, height)
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3)
    first = torch.arange(0, len(pixels), height * width, device=images.device).view(-1, 1, 1)  # of each image

    def along(row: Tensor) -> Tensor:
        start = first + row * width
        left, right = (pixels.index_select(0, (start + column).flatten()).double() for column in columns)
        return right.sub_(left).mul_(to_right).add_(left)

    above, below = map(along, rows)
    mixed = below.sub_(above).mul_(to_below).add_(above).to(torch.uint8)
    mixed.masked_fill_(~is_inside.view(-1, 1), GREY)
    return mixed.view(-1, height, width, 3).permute(0, 3, 1, 2)


def _neighbours(places: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The two pixels between whose centres each place lies, and how near it is to the second one, (n * h * w, 1)."""
    places = places - 0.5
    first = places.floor()
    share = (places - first).view(-1, 1)
    first = first.long()
    return (first.clamp(0, size - 1), (first + 1).clamp_(0, size - 1)), share


def colour(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Away from (above 1) or towards (below 1) each pixel's grey."""
    values = images.int()
    red, green, blue = values.split(1, dim=1)
    grey = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue + 0x8000) >> 16
    return (values - grey).mul(per_image(images, magnitudes)).add_(grey).clamp_(0, 255).to(torch.uint8)


def posterize(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Keep as many of the upper bits as the magnitude says, at least one."""
    dropped = 8 - np.maximum(magnitudes.astype("u1"), FEWEST_BITS)
    return images & per_image(images, 255 << dropped & 255, torch.uint8)


def solarize(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Invert what is as bright as a threshold, 0 at level 0; to invert is to do so from 0 on."""
    threshold = np.where(names == "Invert", 0, np.trunc(magnitudes))
    return torch.where(images >= per_image(images, threshold), ~images, images)


def solarize_add(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Brighten what is dark; the largest magnitude does not reach white."""
    return images + per_image(images, np.rint(magnitudes), torch.uint8) * (images < DARK)


def auto_contrast(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Stretch each channel from its darkest and brightest value to 0 and 255."""
    pixels = images.flatten(2)
    low, high = (edge(pixels, dim=2, keepdim=True).double() for edge in (torch.amin, torch.amax))
    # A table in double precision, as fractions are cut off. 255 divided by a tensor would be 255 times its reciprocal.
    scale = torch.full_like(low, 255) / (high - low)
    values = torch.arange(256, device=images.device, dtype=torch.float64)
    table = torch.where(high > low, (values * scale - low * scale).clamp_(0, 255), values)
    return table.to(torch.uint8).gather(2, pixels.long()).view_as(images)
