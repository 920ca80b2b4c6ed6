"""AutoAugment (Cubuk et al. 2019) of whole batches on the training device, equal in distribution to torchvision's.

What an image undergoes is drawn on the host, for all images of an epoch at once, and belongs to the sample, as crops
do. The operations then run where the batch lies: each takes all images that drew it, with a magnitude of their own.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files
from itertools import islice

import numpy as np
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

LEVELS = 9  # a level of 9 is the full magnitude
# The full magnitude of each operation (table 6 of the AutoAugment paper), in the unit that the operation takes.
SIGNED = {
    "ShearX": 0.3,  # pixels a pixel
    "ShearY": 0.3,
    "TranslateX": 150 / 331,  # of the image's side
    "TranslateY": 150 / 331,
    "Rotate": 30.0,  # degrees
    "Brightness": 0.9,  # added to 1, the share of the image against that of what it is blended with
    "Color": 0.9,
    "Contrast": 0.9,
    "Sharpness": 0.9,
}
UNSIGNED = ("Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")
NAMES = (*SIGNED, *UNSIGNED)
NOTHING = len(NAMES)
GROUPED_VALUES = {"cpu": 1 << 21, "cuda": 1 << 26}  # of images that are augmented together
BATCHES_READY = 4  # that the loader has at most: a GPU would wait for more
DRAWN = [("operation", "u1"), ("level", "i1")]  # an index into NAMES, or NOTHING; from -LEVELS to LEVELS


@cache
def policies() -> dict[str, list]:
    """Sub-policies by the policy's name: two operations, each with its probability and level (autoaugment.yaml)."""
    return yaml.safe_load(files("fastscale.data").joinpath("autoaugment.yaml").read_text())


def draw_augmentations(policy: str, images: int, seed: int, epoch: int) -> np.ndarray:
    """What each image undergoes: (images, 2) of dtype DRAWN. Row i depends on seed, epoch and i alone."""
    pairs = policies()[policy]
    operation = np.array([[NAMES.index(name) for name, _, _ in pair] for pair in pairs], "u1")
    probability = np.array([[share for _, share, _ in pair] for pair in pairs])
    level = np.array([[level or 0 for _, _, level in pair] for pair in pairs], "i1")

    uniform = np.random.default_rng([seed, epoch, 1]).random((images, 5))  # 1: not the stream of the crops
    chosen = (uniform[:, 0] * len(pairs)).astype(int)
    is_done = uniform[:, 1:3] < probability[chosen]
    is_negative = (uniform[:, 3:] < 0.5) & (operation[chosen] < len(SIGNED))
    drawn = np.empty((images, 2), DRAWN)
    drawn["operation"] = np.where(is_done, operation[chosen], NOTHING)
    drawn["level"] = np.where(is_negative, -level[chosen], level[chosen])
    return drawn


def group_size(images: int, resolution: int, device: torch.device) -> int:
    """Batches of so many images that are augmented together: several small ones, which would cost their launches."""
    fitting = max(1, GROUPED_VALUES[device.type] // (images * 3 * resolution**2))
    return fitting if device.type == "cpu" else min(fitting, BATCHES_READY)


def augment_in_groups(
    batches: Iterable[tuple[Tensor, Tensor, np.ndarray | None]], size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels, `augment`ed as was drawn for them, `size` batches at a time."""
    batches = iter(batches)
    while group := list(_kept(islice(batches, size))):
        images, labels, drawn = zip(*group, strict=True)
        changed = augment(torch.cat(images), np.concatenate(drawn))
        yield from zip(changed.split([len(one) for one in labels]), labels, strict=True)


def _kept(batches: Iterable[tuple[Tensor, Tensor, np.ndarray]]) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
    """Copies: the loader writes the next batch where it wrote one before."""
    return ((images.clone(), labels.clone(), drawn) for images, labels, drawn in batches)


def augment(images: Tensor, drawn: np.ndarray) -> Tensor:
    """Images (N, 3, h, w) of uint8, changed as `drawn` (N, 2) says: its first operation, then its second."""
    rows = images.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    now_at = np.arange(len(drawn))  # the image of each row
    for step in range(drawn.shape[1]):
        operation, level = drawn["operation"][:, step], drawn["level"][:, step].astype(int)
        kinds = KINDS[operation]
        # Sorted by what they undergo, the images of a kind lie together: none has to be picked out and put back.
        order = np.argsort(kinds, kind="stable")
        rows, now_at = _reordered(rows, now_at, order), order
        bounds = np.searchsorted(kinds[order], np.arange(len(OPERATIONS) + 1))
        for change, first, end in zip(OPERATIONS.values(), bounds[:-1], bounds[1:], strict=True):
            if first < end:
                these = order[first:end]
                some = rows[first:end].permute(0, 3, 1, 2)
                some.copy_(change(some, operation[these], _magnitudes()[operation[these], level[these]]))
    return _reordered(rows, now_at, np.arange(len(drawn))).permute(0, 3, 1, 2)


def _reordered(rows: Tensor, now_at: np.ndarray, order: np.ndarray) -> Tensor:
    """Rows that hold the images `now_at`, as copies in the order of `order`."""
    place = np.empty_like(now_at)
    place[now_at] = np.arange(len(now_at))
    return rows.index_select(0, torch.from_numpy(place[order]).to(rows.device, non_blocking=True))


@cache
def _magnitudes() -> np.ndarray:
    """The magnitude of each operation, NOTHING last, at each level; negative levels stand at the end."""
    full = [*SIGNED.values(), *[1.0] * (len(UNSIGNED) + 1)]
    positive = np.stack([torch.linspace(0, value, LEVELS + 1).double().numpy() for value in full])
    return np.concatenate([positive, -positive[:, :0:-1]], axis=1)


def _on(images: Tensor, values: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """A value for each image, to be broadcast over its pixels."""
    return torch.from_numpy(values).to(images.device, dtype, non_blocking=True).view(-1, 1, 1, 1)


def _warp(images: Tensor, operation: np.ndarray, magnitude: np.ndarray) -> Tensor:
    """Shear (from the upper left corner), translate (whole pixels), rotate (anticlockwise): nearest pixels, black."""
    height, width = images.shape[2:]
    name = np.array(NAMES)[operation]
    # From the place of a pixel to where it comes from, in halves of the sides.
    matrix = np.zeros((len(magnitude), 2, 3))
    angle = np.radians(np.where(name == "Rotate", magnitude, 0))
    matrix[:, 0, 0] = matrix[:, 1, 1] = np.cos(angle)
    x, y = (np.where(name == axis, magnitude, 0) for axis in ("ShearX", "ShearY"))
    matrix[:, 0, 1] = (x - np.sin(angle)) * height / width
    matrix[:, 1, 0] = (y + np.sin(angle)) * width / height
    matrix[:, 0, 2] = x * height / width - np.trunc(np.where(name == "TranslateX", magnitude * width, 0)) * 2 / width
    matrix[:, 1, 2] = y * width / height - np.trunc(np.where(name == "TranslateY", magnitude * height, 0)) * 2 / height
    theta = torch.from_numpy(matrix).to(images.device, torch.float32, non_blocking=True)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, mode="nearest", align_corners=False).to(torch.uint8)


def _blend(images: Tensor, operation: np.ndarray, magnitude: np.ndarray) -> Tensor:
    """Away from or towards black (brightness), each pixel's grey (colour), or the mean grey (contrast)."""
    factor = _on(images, 1 + magnitude)
    red, green, blue = images.split(1, dim=1)
    grey = (0.2989 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()
    is_colour, is_contrast = (_on(images, operation == NAMES.index(name)) for name in ("Color", "Contrast"))
    other = grey * is_colour + grey.mean(dim=(2, 3), keepdim=True) * is_contrast
    return (images * factor).add_(other.mul_(1 - factor)).clamp_(0, 255).to(torch.uint8)


def _sharpen(images: Tensor, operation: np.ndarray, magnitude: np.ndarray) -> Tensor:
    """Away from or towards the mean of the pixel (5 parts) and its 8 neighbours; the border stays."""
    if min(images.shape[2:]) < 3:
        return images
    mixed = images.float()
    inner = mixed[:, :, 1:-1, 1:-1]
    smooth = (9 * F.avg_pool2d(mixed, 3, stride=1) + 4 * inner).mul_(1 / 13).round_()
    inner.lerp_(smooth, -_on(images, magnitude))
    return mixed.clamp_(0, 255).to(torch.uint8)


def _posterize(images: Tensor, operation: np.ndarray, magnitude: np.ndarray) -> Tensor:
    """Keep the upper bits: 8 at level 0, 4 at the last."""
    dropped = np.rint(4 * magnitude).astype("u1")
    return images & _on(images, 255 << dropped & 255, torch.uint8)


def _solarize(images: Tensor, operation: np.ndarray, magnitude: np.ndarray) -> Tensor:
    """Invert what is as bright as a threshold, 255 at level 0; to invert is to do so from 0 on."""
    threshold = np.where(operation == NAMES.index("Invert"), 0, 255 * (1 - magnitude))
    return torch.where(images >= _on(images, threshold), ~images, images)


def _auto_contrast(images: Tensor, operation: np.ndarray, magnitude: np.ndarray) -> Tensor:
    """Stretch each channel from its darkest and brightest value to 0 and 255."""
    low, high = (edge(images, dim=(2, 3), keepdim=True).float() for edge in (torch.amin, torch.amax))
    is_flat = low == high
    low, scale = low.masked_fill_(is_flat, 0), ((high - low) * (1 / 255)).masked_fill_(is_flat, 1)
    return (images - low).div_(scale).clamp_(0, 255).to(torch.uint8)


def _equalize(images: Tensor, operation: np.ndarray, magnitude: np.ndarray) -> Tensor:
    """Each channel's values to their rank, as PIL does it."""
    pixels = images.flatten(2).long()
    histogram = torch.zeros(*pixels.shape[:2], 256, device=images.device)  # floats are exact up to 16 million pixels
    histogram.scatter_add_(2, pixels, torch.ones((), device=images.device).expand_as(pixels))
    before = histogram.cumsum(2) - histogram
    of_brightest = histogram.gather(2, pixels.amax(2, keepdim=True))
    step = ((pixels.shape[2] - of_brightest) / 255).floor_()
    table = before.add_((step / 2).floor_()).div_(step).floor_().clamp_(max=255)
    table = torch.where(step > 0, table, torch.arange(256.0, device=images.device))
    return table.to(torch.uint8).gather(2, pixels).view_as(images)


OPERATIONS: dict[tuple[str, ...], Callable[[Tensor, np.ndarray, np.ndarray], Tensor]] = {
    ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"): _warp,
    ("Brightness", "Color", "Contrast"): _blend,
    ("Sharpness",): _sharpen,
    ("Posterize",): _posterize,
    ("Solarize", "Invert"): _solarize,
    ("AutoContrast",): _auto_contrast,
    ("Equalize",): _equalize,
}
# Which of these an operation is computed by; NOTHING by none.
KINDS = np.array([next(k for k, names in enumerate(OPERATIONS) if name in names) for name in NAMES] + [len(OPERATIONS)])
