"""Operations of the AutoAugment article on batches, computed as torchvision does.

Each takes images (n, 3, h, w) of uint8 on any device, and the operation's name and magnitude for each image, both (n,)
on the host; each returns the changed images.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def per_image(images: Tensor, values: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return one value per image as a tensor (n, 1, 1, 1) on the images' device, to be broadcast over pixels."""
    return torch.from_numpy(values).to(images.device, dtype, non_blocking=True).view(-1, 1, 1, 1)


def warp(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Shear, translate or rotate images, taking the nearest pixels, with black where an image has been moved away.

    Shears are relative to the upper left corner, translations are shares of the side, cut to whole pixels, rotations
    are degrees anticlockwise.
    """
    height, width = images.shape[2:]
    # Maps the place of a new pixel to its place in the old image, in halves of the sides.
    matrix = np.zeros((len(magnitudes), 2, 3))
    angle = np.radians(np.where(names == "Rotate", magnitudes, 0))
    matrix[:, 0, 0] = matrix[:, 1, 1] = np.cos(angle)
    x, y = (np.where(names == axis, magnitudes, 0) for axis in ("ShearX", "ShearY"))
    matrix[:, 0, 1] = (x - np.sin(angle)) * height / width
    matrix[:, 1, 0] = (y + np.sin(angle)) * width / height
    left, up = (np.where(names == axis, magnitudes, 0) for axis in ("TranslateX", "TranslateY"))
    matrix[:, 0, 2] = x * height / width - np.trunc(left * width) * 2 / width
    matrix[:, 1, 2] = y * width / height - np.trunc(up * height) * 2 / height
    theta = torch.from_numpy(matrix).to(images.device, torch.float32, non_blocking=True)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, mode="nearest", align_corners=False).to(torch.uint8)


def blend(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Move pixels away from or towards black (Brightness), their grey (Color) or the image's mean grey (Contrast)."""
    factor = per_image(images, 1 + magnitudes)
    red, green, blue = images.split(1, dim=1)
    grey = (0.2989 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()
    is_colour, is_contrast = (per_image(images, names == name) for name in ("Color", "Contrast"))
    other = grey * is_colour + grey.mean(dim=(2, 3), keepdim=True) * is_contrast
    return (images * factor).add_(other.mul_(1 - factor)).clamp_(0, 255).to(torch.uint8)


def sharpen(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Move pixels away from or towards the mean of the pixel (weight 5) and its 8 neighbours; the border stays."""
    if min(images.shape[2:]) < 3:
        return images
    mixed = images.float()
    inner = mixed[:, :, 1:-1, 1:-1]
    smooth = (9 * F.avg_pool2d(mixed, 3, stride=1) + 4 * inner).mul_(1 / 13).round_()
    inner.lerp_(smooth, -per_image(images, magnitudes))
    return mixed.clamp_(0, 255).to(torch.uint8)


def posterize(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Keep the upper bits of each value: 8 bits at the first level (magnitude 0), 4 bits at the last (magnitude 1)."""
    dropped = np.rint(4 * magnitudes).astype("u1")
    return images & per_image(images, 255 << dropped & 255, torch.uint8)


def solarize(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Invert values from 255 * (1 - magnitude) upwards; the operation Invert inverts all values."""
    threshold = np.where(names == "Invert", 0, 255 * (1 - magnitudes))
    return torch.where(images >= per_image(images, threshold), ~images, images)


def auto_contrast(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Stretch each channel so that its darkest value becomes 0 and its brightest 255."""
    low, high = (edge(images, dim=(2, 3), keepdim=True).float() for edge in (torch.amin, torch.amax))
    is_flat = low == high
    low, scale = low.masked_fill_(is_flat, 0), ((high - low) * (1 / 255)).masked_fill_(is_flat, 1)
    return (images - low).div_(scale).clamp_(0, 255).to(torch.uint8)


def equalize(images: Tensor, names: np.ndarray, magnitudes: np.ndarray) -> Tensor:
    """Equalize the histogram of each channel, as Pillow does too."""
    pixels = images.flatten(2).long()
    histogram = torch.zeros(*pixels.shape[:2], 256, device=images.device)  # floats are exact up to 16 million pixels
    histogram.scatter_add_(2, pixels, torch.ones((), device=images.device).expand_as(pixels))
    before = histogram.cumsum(2) - histogram
    of_brightest = histogram.gather(2, pixels.amax(2, keepdim=True))
    step = ((pixels.shape[2] - of_brightest) / 255).floor_()
    table = before.add_((step / 2).floor_()).div_(step).floor_().clamp_(max=255)
    table = torch.where(step > 0, table, torch.arange(256.0, device=images.device))
    return table.to(torch.uint8).gather(2, pixels).view_as(images)
